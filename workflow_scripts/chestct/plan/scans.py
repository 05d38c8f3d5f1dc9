"""How many scans and slices a study's datasets hold: as listed, or as published while nothing is listed."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.tables import read_table

#: Scans, slices and bytes of the public datasets. LIDC-IDRI: Imaging Data Commons' index (CT series).
#: RSPECT: its labelled part as Kaggle has it, slices and bytes as others report them.
PUBLISHED = {"rspect": (7_279, 1_790_000, 900e9), "lidc_idri": (1_018, 243_958, 128e9)}


@dataclass(frozen=True, kw_only=True)
class Scans:
    """What is known of a dataset.

    Attributes:
        num_scans: scans that the study takes, before any is refused or excluded; None if unknown.
        slices: of a scan on average; None if unknown.
        num_bytes: of the source's files; None if unknown.
        num_shards: jobs that download and convert; None if unknown.
        origin: where these numbers come from, in words.
    """

    num_scans: int | None
    slices: float | None
    num_bytes: float | None
    num_shards: int | None
    origin: str

    def windows(self, window: int, stride: int) -> int | None:
        """Windows that cover a scan of average length, its last slices included."""
        if self.slices is None:
            return None
        return 1 + math.ceil(max(0.0, self.slices - window) / stride)

    def split(self, name: str, subsets: dict[str, Any]) -> int | None:
        """Scans of train, validation or test in one fold."""
        if self.num_scans is None:
            return None
        share = subsets["split"][name]
        if subsets["folds"] > 1:
            share /= subsets["split"]["train"] + subsets["split"]["validation"]
            share = 1 / subsets["folds"] if name == "test" else share * (1 - 1 / subsets["folds"])
        return round(self.num_scans * share)


def count_scans(config: dict[str, Any], entry: dict[str, Any]) -> Scans:
    """What is known of a dataset now.

    Args:
        config: the study's configuration.
        entry: the dataset's entry in it.

    Raises:
        InputError: the dataset was listed, but its table is broken.
    """
    shard_size = config["download"]["shard_size"]
    series_path = Path(config["data_dir"]) / entry["name"] / "series.csv"
    if series_path.is_file():
        series = read_table(series_path, "series")
        return Scans(
            num_scans=len(series),
            slices=_mean_slices(config, entry, series),
            num_bytes=float(series["num_bytes"].sum()) or _published_bytes(entry, len(series)),
            num_shards=int(series["shard"].nunique()),
            origin=f"listed in {series_path}",
        )
    if entry["source"] in PUBLISHED:
        num_scans, num_slices, num_bytes = PUBLISHED[entry["source"]]
        taken = len(entry["patients"]) if "patients" in entry else num_scans
        return Scans(
            num_scans=taken,
            slices=num_slices / num_scans,
            num_bytes=num_bytes * taken / num_scans,
            num_shards=math.ceil(taken / shard_size),
            origin="as published",
        )
    num_patients: int | None = entry.get("num_patients")  # phantoms: a scan a patient
    return Scans(
        num_scans=num_patients,
        slices=None,
        num_bytes=None,
        num_shards=None if num_patients is None else math.ceil(num_patients / shard_size),
        origin="not listed yet",
    )


def _mean_slices(config: dict[str, Any], entry: dict[str, Any], series: pd.DataFrame) -> float | None:
    """Converted scans say best; else files of a series, where a file is a slice."""
    index_path = Path("results") / config["study"] / "volumes" / entry["name"] / "index.csv"
    if index_path.is_file():
        return float(read_table(index_path, "index")["num_slices"].mean())
    known = series.loc[series["num_instances"] > 0, "num_instances"]
    return float(known.mean()) if len(known) else None


def _published_bytes(entry: dict[str, Any], num_scans: int) -> float | None:
    if entry["source"] not in PUBLISHED:
        return None
    all_scans, _, num_bytes = PUBLISHED[entry["source"]]
    return num_bytes * num_scans / all_scans
