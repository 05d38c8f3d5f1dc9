"""How many scans and slices a study's datasets hold: as listed, or as published while nothing is listed.

What is not known is NaN, so that whatever is computed from it is NaN too.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chestct.catalogue import Sees
from chestct.download.phantoms.grid import SHAPE
from chestct.records import read_recorded
from chestct.tables import read_table
from chestct.user_csv import read_user_csv
from chestct.window_forms import window_rule

#: Scans, slices and bytes of the public datasets. LIDC-IDRI: Imaging Data Commons' index (CT series).
#: RSPECT: its labelled part as Kaggle has it, slices and bytes as others report them. The nodules: their
#: label table and archive.
PUBLISHED = {
    "rspect": (7_279, 1_790_000, 900e9),
    "lidc_idri": (1_018, 243_958, 128e9),
    "lidc_nodules": (2_604, 15_459, 153e6),
}


#: Slices of a user's own scan, where nothing is converted yet.
ASSUMED_SLICES = 150.0
#: Slices and bytes of a phantom scan of either source.
PHANTOM_SLICES, PHANTOM_BYTES = SHAPE[0], 0.5e6


@dataclass(frozen=True, kw_only=True)
class Scans:
    """What is known of a dataset.

    Attributes:
        num_scans: scans that the study takes, before any is refused or excluded.
        slices: of a scan on average.
        num_bytes: of the source's files.
        num_shards: jobs that download and convert.
        origin: where these numbers come from, in words.
    """

    num_scans: float
    slices: float
    num_bytes: float
    num_shards: float
    origin: str

    def windows(self, subsets: dict[str, Any], sees: Sees = "window") -> float:
        """Windows (or slices, or whole scans: what a model sees) that cover a scan of average length."""
        rule = window_rule(subsets, sees)
        if rule.stride is None:
            return 1.0
        return float(1 + np.ceil(np.maximum(0.0, self.slices - rule.window) / rule.stride))

    def split(self, name: str, subsets: dict[str, Any]) -> float:
        """Scans of train, validation or test in one fold."""
        share = subsets["split"][name]
        if subsets["folds"] > 1:
            share /= subsets["split"]["train"] + subsets["split"]["validation"]
            share = 1 / subsets["folds"] if name == "test" else share * (1 - 1 / subsets["folds"])
        return float(np.round(self.num_scans * share))


def _is_listed(entry: dict[str, Any], folder: Path) -> bool:
    """Whether a folder lists the dataset: of own scans, another study may have listed another table there."""
    if not (folder / "series.csv").is_file():
        return False
    manifest = folder / "manifest.json"
    if entry["source"] != "own_data" or not manifest.is_file():
        return True
    return json.loads(read_recorded(manifest))["source"] == str(entry["table"])


def count_scans(config: dict[str, Any], entry: dict[str, Any]) -> Scans:
    """What is known of a dataset now.

    Args:
        config: the study's configuration.
        entry: the dataset's entry in it, resolved.

    Raises:
        InputError: the dataset was listed, but its table is broken.
    """
    published, slices, num_bytes = PUBLISHED.get(entry["source"], (math.nan,) * 3)
    if "scans_of" in entry:  # obtained for the other dataset already
        num_bytes = 0.0
    folder = Path(config["data_dir"]) / entry["name"]
    series_path = folder / "series.csv"
    if _is_listed(entry, folder):
        series = read_table(series_path, "series")
        index_path = Path("results") / config["study"] / "volumes" / entry["name"] / "index.csv"
        # Converted scans say best; else files of a series, where a file is a slice.
        known = series.loc[series["num_instances"] > 0, "num_instances"]
        if index_path.is_file():
            known = read_table(index_path, "index")["num_slices"]
        is_assumed = entry["source"] == "own_data" and known.empty
        return Scans(
            num_scans=len(series),
            slices=float(entry.get("num_slices", ASSUMED_SLICES if is_assumed else known.mean())),
            num_bytes=float(series["num_bytes"].sum()) or num_bytes * len(series) / published,
            num_shards=series["shard"].nunique(),
            origin=f"listed in {series_path}" + (", slices assumed" if is_assumed else ""),
        )
    taken = entry.get("num_patients", published)  # phantoms: a scan a patient
    taken = len(entry["patients"]) if "patients" in entry else taken
    of_scan, bytes_of_scan, origin = slices / published, num_bytes / published, "as published"
    if entry["source"].startswith("phantom_"):
        of_scan, bytes_of_scan, origin = PHANTOM_SLICES, PHANTOM_BYTES, "as it will be drawn"
    elif entry["source"] == "own_data" and Path(entry["table"]).is_file():
        taken = len(read_user_csv(Path(entry["table"]), (), where=entry["table"]))
        of_scan, bytes_of_scan, origin = ASSUMED_SLICES, 0.0, "rows of the table, slices assumed"
    elif entry["source"] not in PUBLISHED:
        origin = "not listed yet"
    return Scans(
        num_scans=taken,
        slices=float(entry.get("num_slices", of_scan)),
        num_bytes=taken * bytes_of_scan,
        num_shards=float(np.ceil(taken / config["download"]["shard_size"])),
        origin=origin,
    )
