from pathlib import Path

import pytest
from evaluated import SEVEN, Evaluated, evaluate
from synthetic_predictions import StudyFiles, write_study


@pytest.fixture
def small_study(tmp_path: Path) -> StudyFiles:
    """One dataset, one 3D and one 2D model: the least in which runs are compared."""
    return write_study(
        tmp_path,
        {"lidc_phantom": {"num_patients": 40}},
        ["slow_narrow", "efficientnet_lite0"],
        ["scratch", "video", "imagenet"],
        [100],
    )


@pytest.fixture(scope="session")
def full_study(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The seven, another 3D model, a frozen probe, two 2D models, a baseline; two percents, two seeds."""
    folder = tmp_path_factory.mktemp("full_study")
    files = write_study(
        folder,
        {"lidc_phantom": {"num_patients": 60, "baseline": True}},
        [*SEVEN, "x3d_narrow", "slow_narrow_probe", "efficientnet_lite0", "lrcn_efficientnet_lite0"],
        ["scratch", "video", "imagenet"],
        [10, 100],
        seeds=(0, 1),
    )
    return Evaluated(files, folder / "evaluation", evaluate(files, folder / "evaluation"))
