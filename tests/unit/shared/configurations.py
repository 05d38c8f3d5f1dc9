"""The default configuration, and what tests change in it."""

import copy
from pathlib import Path

import yaml
from snakemake.utils import update_config

from chestct.check_configuration import check_configuration

ROOT = Path(__file__).resolve().parents[3]
RSPECT = {"name": "rspect", "source": "rspect", "display_window_hu": {"centre": 400, "width": 1000}}


def change(config, path, value):
    """Set one key, given as a dotted path with list positions."""
    changed = copy.deepcopy(config)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = changed
    for part in parents:
        target = target[part]
    target[last] = value
    return changed


def overlaid(config, *names):
    """The configuration with studies over it, in their order, checked."""
    changed = copy.deepcopy(config)
    for name in names:
        update_config(changed, yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text()))
    check_configuration(changed)
    return changed
