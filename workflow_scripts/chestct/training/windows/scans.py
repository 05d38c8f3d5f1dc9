"""The scans that a run trains and validates on."""

from collections.abc import Mapping, Sequence

import pandas as pd

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.files import digest_object
from chestct.run import Run
from chestct.tables import read_table
from chestct.training.windows.dataset import Scan, collect_scans
from chestct.window_forms import without_marks


def load_scans(
    tables: Mapping[str, str], subset: str, run: Run, num_slices: int
) -> tuple[list[Scan], list[Scan], str]:
    """Training and validation scans of a run, and the digest of the data they stand for.

    Args:
        tables: paths of ``index``, ``windows`` and ``splits``.
        subset: path of the table of the scans whose labels the run sees.
        run: whose fold counts.
        num_slices: that its model sees at once.

    Raises:
        InputError: a table is not as it must be, one of the two sets has scans of one class only, or the
            model learns from marked slices and the training subset has none.
    """
    index, windows = read_table(tables["index"], "index"), read_table(tables["windows"], "windows")
    splits = read_table(tables["splits"], "splits")
    _check_columns(splits, tables["splits"], dataset=run.dataset)
    splits = splits[splits["fold"] == run.fold]
    members = read_table(subset, "subset")
    _check_columns(members, subset, dataset=run.dataset, percent=run.percent, seed=run.seed)
    members = members[members["fold"] == run.fold]
    members, held_out = (members[members["split"] == name] for name in ("train", "validation"))
    own = windows["study_id"].isin(members["study_id"])
    if MODELS[run.model].sees == "slice" and not windows.loc[own, "num_positive_slices"].any():
        raise without_marks("no slice of the training subset is marked", tables["windows"])
    labels = dict(zip(splits["study_id"], splits["label"].astype(int), strict=True))
    used = [*members["study_id"], *held_out["study_id"]]
    voxels = index[index["study_id"].isin(used)].sort_values("study_id")["sha256"]
    digest = digest_object([sorted(members["study_id"]), sorted(held_out["study_id"]), labels, list(voxels)])
    training, validation = (
        collect_scans(part, index, windows, labels, num_slices) for part in (members, held_out)
    )
    remedy = "take more data or another subsets.seed"
    _check_classes(training, "training subset", subset, f"{remedy}, or a larger percent")
    _check_classes(validation, "validation split", subset, f"{remedy}, or a larger share of it")
    return training, validation, digest


def _check_columns(table: pd.DataFrame, path: str, **values: str | int) -> None:
    """Refuse a whole table of another run, which lies in the place of this one's with its record."""
    for name, value in values.items():
        found = sorted(set(table[name]) - {value})
        if found:
            raise InputError(
                f"the table is that of another run: {name} {found[0]}",
                where=path,
                expected=f"{name} {value}",
                remedy=f"put the right one back, or make it again: snakemake --cores all --forcerun {path}",
            )


def _check_classes(scans: Sequence[Scan], what: str, where: str, remedy: str) -> None:
    positive = sum(scan.label for scan in scans)
    if not 0 < positive < len(scans):
        raise InputError(
            f"the {what} holds {positive} positive and {len(scans) - positive} negative scans",
            where=where,
            expected="at least one of each",
            remedy=remedy,
        )
