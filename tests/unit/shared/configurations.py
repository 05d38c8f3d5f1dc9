"""The default configuration, and what tests change in it."""

import copy
from pathlib import Path

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
