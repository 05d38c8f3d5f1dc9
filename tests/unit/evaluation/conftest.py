from pathlib import Path

import pytest
from evaluated import SEVEN, Evaluated, evaluate
from synthetic_predictions import StudyFiles, write_study


def write_small_study(folder: Path) -> StudyFiles:
    """One dataset, one 3D and one 2D model: the least in which runs are compared."""
    return write_study(
        folder,
        {"lidc_phantom": {"num_patients": 40}},
        ["slow_narrow", "efficientnet_lite0"],
        ["scratch", "video", "imagenet"],
        [100],
    )


@pytest.fixture
def small_study(tmp_path: Path) -> StudyFiles:
    """The small study, for a test that changes it."""
    return write_small_study(tmp_path)


@pytest.fixture(scope="session")
def evaluated_small_study(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The small study as it is, evaluated once."""
    folder = tmp_path_factory.mktemp("small_study")
    files = write_small_study(folder)
    return Evaluated(files, folder / "evaluation", evaluate(files, folder / "evaluation"))


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
