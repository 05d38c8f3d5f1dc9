"""How fast scores are computed as they are stored, where that was not measured.

Validation scores in the precision of the training; predictions and features of frozen probes are computed in
float32, with TF32 after mixed training on a GPU (``chestct.training.precision``). Without torch, for the plan
of a study too.
"""

import pandas as pd

from chestct.training.measure.data_sheets import sheet_of
from chestct.training.precision import is_mixed

#: Of a GPU whose data sheet is not known: values are twice as large, and most peaks of TF32 half of bf16's.
_HALF = 0.5


def with_prediction(table: pd.DataFrame) -> pd.DataFrame:
    """The table of speeds with ``predict_windows_per_second`` in every row, and where each comes from.

    A network is taken to reach the share of the peak that it reaches in validation, by operations alike.

    Args:
        table: of schema ``throughput``.

    Returns:
        a copy; its further column ``predict_standing`` is measured, as scoring (the same pass), or estimated
        and how.
    """
    table = table.copy()
    known = table["predict_windows_per_second"].notna()
    ways = [
        ("measured", 1.0) if measured else _from_scoring(str(device), str(precision))
        for measured, device, precision in zip(known, table["device"], table["precision"], strict=True)
    ]
    factors = pd.Series([factor for _, factor in ways], index=table.index, dtype=float)
    estimated = table["score_windows_per_second"] * factors
    table["predict_windows_per_second"] = table["predict_windows_per_second"].fillna(estimated)
    table["predict_standing"] = pd.Series([words for words, _ in ways], index=table.index, dtype="string")
    return table


def _from_scoring(device: str, precision: str) -> tuple[str, float]:
    """How prediction follows from scoring in the training's precision: in words, and the factor."""
    if not is_mixed(precision):
        return "as scoring", 1.0
    sheet = sheet_of(device)
    peak = sheet.peak(precision) if sheet else None
    if sheet is None or peak is None:
        return f"estimated: {_HALF:g} of validation in {precision}, whose values are half as large", _HALF
    ours, kind = sheet.scoring_peak(precision), "TF32" if sheet.tf32 else "float32"
    words = f"estimated: the share that validation reaches of {peak:g} TFLOP/s, of {ours:g} in {kind}"
    return words, ours / peak
