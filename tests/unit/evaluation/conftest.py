from pathlib import Path

import pytest
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
