"""How fast devices train and score: the table throughput.csv beside this file."""

from pathlib import Path
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.tables import read_table
from chestct.window_forms import slices_seen

THROUGHPUT = Path(__file__).with_name("throughput.csv")


def read_speeds(config: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Speeds by device, for the study's precision, crop, and number of slices that each model sees at once.

    Of several rows for the same thing the last counts. The network of a frozen probe computes features as
    fast as its model scores.

    Returns:
        tables with a row a model: ``train`` (what it sees at once, a second: forward, backward and update),
        ``score`` (forward alone) and ``standing`` ("measured", or how it was estimated).

    Raises:
        InputError: the table is broken.
    """
    table = read_table(THROUGHPUT, "throughput", recorded=False)
    seen = {name: slices_seen(config["subsets"], name) for name in set(table["model"]) & MODELS.keys()}
    same = (
        (table["precision"] == config["training"]["precision"])
        & (table["window"] == table["model"].map(seen))
        & (table["size"] == config["training"]["crop_px"])
    )
    columns = {"train_windows_per_second": "train", "score_windows_per_second": "score"}
    table = table[same].rename(columns=columns).drop_duplicates(["device", "model"], keep="last")
    speeds = {}
    for device, rows in table.set_index("model").groupby("device"):
        known = rows[["train", "score", "standing"]].copy()
        for name, entry in MODELS.items():
            if name not in known.index and entry.probe_of in known.index:
                known.loc[name] = known.loc[entry.probe_of]
        speeds[str(device)] = known
    return speeds
