"""The paper's study, for the tests of the plan."""

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def paper(tmp_path):
    """The paper's study, with nothing listed yet."""
    config, overlay = (yaml.safe_load((ROOT / p).read_text()) for p in ("config.yaml", "studies/paper.yaml"))
    update_config(config, overlay)
    return config | {"data_dir": str(tmp_path)}
