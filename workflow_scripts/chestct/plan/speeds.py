"""How fast devices train and score: the table workflow_scripts/chestct/plan/throughput.csv."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chestct.catalogue import MODELS
from chestct.tables import read_table


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Windows a second of one model on one device.

    Attributes:
        train: forward, backward and update.
        score: forward alone.
        standing: "measured", or how it was estimated.
    """

    train: float
    score: float
    standing: str


def read_speeds(path: Path, config: Mapping[str, Any]) -> dict[str, dict[str, Speed]]:
    """Speeds by device and model, for the study's precision, window and crop.

    A probe without a row of its own trains as fast as its model scores: it has no backward pass to speak of.

    Args:
        path: table of schema ``throughput``; of several rows for the same thing the last counts.
        config: the study's configuration.

    Raises:
        InputError: the table is broken.
    """
    table = read_table(path, "throughput")
    same = (
        (table["precision"] == config["training"]["precision"])
        & (table["window"] == config["subsets"]["window_slices"])
        & (table["size"] == config["training"]["crop_px"])
    )
    speeds: dict[str, dict[str, Speed]] = {}
    for row in table[same].to_dict("records"):
        speed = Speed(
            train=row["train_windows_per_second"],
            score=row["score_windows_per_second"],
            standing=row["standing"],
        )
        speeds.setdefault(row["device"], {})[row["model"]] = speed
    for known in speeds.values():
        for name, entry in MODELS.items():
            if name not in known and entry.probe_of in known:
                base = known[entry.probe_of]
                known[name] = replace(base, train=base.score)
    return speeds
