"""Speeds of a device on which nothing was measured: ``python -m chestct.training.measure.estimates DEVICE``.

A model is taken to use the same share of a device's peak (MFU) as where it was measured; of a model that was
measured nowhere, the share is that of a network of its kind. Backward counts as two forward passes, scoring
as one. An estimate: another device may move memory faster or slower beside what it computes.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from chestct.errors import InputError
from chestct.tables import read_table
from chestct.training.measure.data_sheets import DataSheet, sheet_of, why_no_peak
from chestct.training.measure.throughput import TABLE, update_table

PRECISION = "bf16-mixed"
#: Whose share a model takes that was not measured.
LIKE = {
    "resnext101_32x8d": "lrcn_resnext101_32x8d",
    "resnext101_32x8d_slices": "lrcn_resnext101_32x8d",
    "lrcn_resnext101_32x8d_scan": "lrcn_resnext101_32x8d",
    "resnet18_slices": "resnet18",
    "dinov2_small": "videomae_base",
}


def num_passes(model: str) -> int:
    """Forward passes that training costs: an LRCN's network is frozen."""
    return 1 if model.startswith("lrcn") else 3


def estimated_rows(table: pd.DataFrame, device: str, source: str) -> list[dict[str, object]]:
    """Rows of a device for every full-size model of the table that was not measured there.

    Args:
        table: of schema ``throughput``.
        device: whose data sheet is known (``data_sheets``).
        source: device of the measurements, likewise.

    Raises:
        InputError: none of a model, nor of one of its kind, was measured on ``source``, or a device's peak is
            not known.
    """
    sheet, sheet_there = _sheet(device), _sheet(source)
    peak, peak_there = sheet.peak(PRECISION), sheet_there.peak(PRECISION)
    assert peak and peak_there
    full = table[(table["precision"] == PRECISION) & (table["size"] == 224) & table["compiled"].isna()]
    measured = full[full["standing"].str.startswith("measured")]
    there = measured[measured["device"] == source].drop_duplicates("model", keep="last").set_index("model")
    known = set(measured.loc[measured["device"] == device, "model"])
    rows: list[dict[str, object]] = []
    for _, row in full.drop_duplicates("model").iterrows():
        name = str(row["model"])
        like = name if name in there.index else LIKE.get(name, name)
        if name in known:
            continue
        if like not in there.index:
            raise InputError(
                f"nothing like '{name}' was measured on {source}",
                where=str(TABLE),
                expected="a measured row of every model, or of one of its kind (LIKE in this module)",
                remedy=f"python -m chestct.training.measure.throughput {name} on that device",
            )
        of: pd.Series = there.loc[like]  # type: ignore[assignment]
        work_tflop = num_passes(like) * float(of["gflops_per_window"]) / 1e3
        share = work_tflop * float(of["train_windows_per_second"]) / peak_there
        score = share * peak * 1e3 / float(row["gflops_per_window"])
        predicted = of.get("predict_windows_per_second")
        predict = None
        if pd.notna(predicted):
            ratio = sheet.scoring_peak(PRECISION) / sheet_there.scoring_peak(PRECISION)
            ratio *= float(of["gflops_per_window"]) / float(row["gflops_per_window"])
            predict = float(f"{float(predicted) * ratio:.4g}")
        rows.append(
            {
                **{str(key): value for key, value in row.items()},
                "device": device,
                "train_windows_per_second": float(f"{score / num_passes(name):.4g}"),
                "score_windows_per_second": float(f"{score:.4g}"),
                "predict_windows_per_second": predict,
                "peak_memory_gb": None,
                "standing": f"estimated: {100 * share:.3g} % of {peak:g} TFLOP/s, as {like} on {source}",
                "date": date.today().isoformat(),
            }
        )
    return rows


def _sheet(device: str) -> DataSheet:
    sheet = sheet_of(device)
    if sheet is None or sheet.peak(PRECISION) is None:
        raise InputError(
            why_no_peak(device, PRECISION),
            where="chestct/training/measure/data_sheets.py",
            expected=f"a device that computes in {PRECISION}, by the name that PyTorch gives it",
            remedy="add its data sheet's numbers there, or measure on it",
        )
    return sheet


def main(arguments: Sequence[str] | None = None) -> int:
    """Put the estimated rows of a device into the table of speeds."""
    parser = argparse.ArgumentParser(prog="python -m chestct.training.measure.estimates", description=__doc__)
    parser.add_argument("device", help="its name in the table")
    parser.add_argument("--source", default="NVIDIA H200", help="device that was measured")
    parser.add_argument("--output", type=Path, default=TABLE, help="table to update")
    given = parser.parse_args(arguments)
    try:
        rows = estimated_rows(
            read_table(given.output, "throughput", recorded=False), given.device, given.source
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    for row in rows:
        update_table(given.output, row)
    print(f"{len(rows)} models of {given.device} estimated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
