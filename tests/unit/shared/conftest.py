import pytest
import yaml

from tests.unit.shared.configurations import ROOT


@pytest.fixture
def config():
    """The default study's configuration."""
    return yaml.safe_load((ROOT / "config.yaml").read_text())
