"""Scans that two datasets share (key ``scans_of``): listed and obtained once, for the first of them.

The second has tables of its own, in which the series' paths lead to the folder of the first.
"""

import json
import os
from pathlib import Path

from chestct.obtained_files import read_states, write_states
from chestct.records import read_recorded, write_recorded
from chestct.tables import read_table, write_table


def data_root(entry: dict, own_root: Path) -> Path:
    """The folder of a dataset's scans and label files: its own, or that of the dataset it shares with."""
    return own_root.parent / entry["scans_of"] if "scans_of" in entry else own_root


def share_listing(
    entry: dict, root: Path, *, series_path: Path, left_out_path: Path, manifest_path: Path
) -> None:
    """Write a dataset's tables ``series`` and ``left_out`` and its manifest, from those of the other dataset.

    Args:
        entry: the dataset's entry, with ``scans_of``.
        root: data folder of the other dataset, whose tables are there.
        series_path, left_out_path, manifest_path: files to write.

    Raises:
        InputError: a table of the other dataset is missing or broken.
    """
    name = entry["name"]
    # What is shared is not obtained again: no plan may count its bytes twice.
    series = read_table(root / "series.csv", "series").assign(dataset=name, num_bytes=0)
    if len(series):
        series["path"] = [_path_from(series_path.parent, root, path) for path in series["path"]]
    left_out = read_table(root / "left_out.csv", "left_out").assign(dataset=name)
    facts = json.loads(read_recorded(root / "manifest.json"))
    facts |= {"dataset": name, "scans_of": entry["scans_of"], "num_bytes": 0}
    write_table(left_out, left_out_path, "left_out")
    write_recorded(manifest_path, json.dumps(facts, indent=2) + "\n")
    write_table(series, series_path, "series")


def _path_from(folder: Path, root: Path, path: str) -> str:
    """A series' path, relative to ``root`` or absolute, as the other dataset's table names it."""
    return path if Path(path).is_absolute() else os.path.relpath(root / path, folder)


def share_shard(entry: dict, shared_path: Path, shard_path: Path) -> None:
    """Write a dataset's table ``shard`` from that of the dataset it shares with.

    Raises:
        InputError: that table is missing or broken.
    """
    write_table(read_table(shared_path, "shard").assign(dataset=entry["name"]), shard_path, "shard")
    write_states(shard_path, read_states(shared_path))
