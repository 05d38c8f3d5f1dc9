"""How fast devices train and score: the table throughput.csv beside this file."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.tables import read_table
from chestct.training.compile_choice import AUTO, NEVER, THROUGHPUT, measured_both_ways, wish
from chestct.training.measure.prediction_speed import with_prediction
from chestct.window_forms import slices_seen

#: What windows pass through: training steps, validations, and the scoring of predictions and features.
PASSES = ("train", "score", "predict")
#: What ``read_speeds`` says of compiled networks.
COMPILED = ("compiled_train", "compiled_score", "compiled_predict", "compile_seconds")


def compile_setting(config: Mapping[str, Any]) -> str:
    """never, auto or always: what ``training.compile`` comes to on the study's devices."""
    chosen = wish(config["training"]["compile"])
    return NEVER if chosen == AUTO and not config["training"]["gpus"] else chosen


def read_speeds(config: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Speeds by device, for the study's precision, crop, and number of slices that each model sees at once.

    Of several rows for the same thing the last counts. The network of a frozen probe computes features as
    fast as its model scores.

    Returns:
        tables with a row a model: ``train`` (what it sees at once, a second: forward, backward and update),
        ``score`` (forward alone, as in validation), ``predict`` (the same as scores are stored), ``standing``
        and ``predict_standing`` ("measured", or how it was estimated); and, where networks may be compiled
        and both ways were measured, ``compiled_train``, ``compiled_score``, ``compiled_predict`` and
        ``compile_seconds``, else NaN.

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
    chosen, form = compile_setting(config), config["training"]["compile_form"]
    both = measured_both_ways(table[same], form) if chosen != NEVER else {}
    plain, compiled = table["compiled"].isna(), (table["compiled"] == form).fillna(False)
    # What was measured in one way only counts, too.
    table = with_prediction(pd.concat([table[same & compiled & (chosen != NEVER)], table[same & plain]]))
    table = table.rename(columns={f"{name}_windows_per_second": name for name in PASSES})
    table = table.drop_duplicates(["device", "model"], keep="last")
    speeds = {}
    for device, rows in table.set_index("model").groupby("device"):
        known = rows[[*PASSES, "standing", "predict_standing"]].copy()
        for column in COMPILED:
            known[column] = [
                getattr(both.get((str(device), name)), column, float("nan")) for name in known.index
            ]
        for name, entry in MODELS.items():
            if name not in known.index and entry.probe_of in known.index:
                known.loc[name] = known.loc[entry.probe_of]
        speeds[str(device)] = known
    return speeds
