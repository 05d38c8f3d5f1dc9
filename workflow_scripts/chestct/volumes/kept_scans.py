"""Scans of the last complete shards, so that a shard that changes converts only what is new in it.

Beside a complete shard lies a second name of it (a hard link, which takes no room) and a list of the outcomes
of its scans, in a hidden folder that no rule declares. Snakemake deletes a shard before the job that makes it
anew; that job takes over every scan whose key is as it was: a digest of all that decides the outcome
(``converted_parts``). Where a row is added or removed, later scans move to the next shard or the last:
neighbours are looked at, too. What no complete shard holds any more is removed once all shards of the
dataset are complete, and with it the voxels of scans that the user took out. A disk without hard links keeps
nothing, and converts the shard again.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chestct.errors import InputError
from chestct.files import digest_object
from chestct.open_scan import stored_slice
from chestct.records import read_recorded, record_path, recorded_path
from chestct.shard_files import open_shard
from chestct.volumes.converted_parts import Outcome, to_text

_FOLDER = ".kept"
_SHARD_FILE = re.compile(r"\.?shard-([0-9]+)\..+")
#: How far a scan may have moved: to the shard before, or to the next.
_NEIGHBOURS = (0, -1, 1)


class KeptScans:
    """Outcomes of the scans of complete shards, of one conversion.

    Args:
        store_path: the future shard, ``shard-N.h5``.
        conversion: digest of code and settings; what was kept of this shard under another one is removed.
    """

    def __init__(self, store_path: str | Path, conversion: str) -> None:
        self._store = Path(store_path)
        self._folder = self._store.parent / _FOLDER
        self._conversion = conversion
        self._found: dict[str, tuple[Path, dict[str, Any]]] | None = None

    def load(self, key: str) -> Outcome | None:
        """The outcome that a complete shard holds whole and undamaged, or None."""
        if self._found is None:
            self._found = dict(self._read())
        if key not in self._found:
            return None
        shard, facts = self._found[key]
        try:
            return Outcome.from_facts(facts, _read_slices(shard, facts["stored"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, InputError):
            return None

    def keep(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keep a shard that is complete.

        Args:
            outcomes: of its scans, by key, but for scans that are to be tried again.
        """
        facts = {key: outcome.facts() for key, outcome in outcomes.items()}
        path = self._folder / f"{self._store.stem}.{self._conversion}.{digest_object(sorted(facts))}.json"
        with suppress(OSError, InputError):
            self._folder.mkdir(exist_ok=True)
            link = path.with_suffix(".h5")
            link.unlink(missing_ok=True)
            os.link(self._store, link)
            with recorded_path(path, private=True, made_from=False) as temporary:
                temporary.write_text(to_text({"outcomes": facts}), encoding="utf-8")

    def _read(self) -> Iterator[tuple[str, tuple[Path, dict[str, Any]]]]:
        """Shard and outcome of every scan of this shard and its neighbours, by key."""
        match = _SHARD_FILE.fullmatch(self._store.name)
        number = int(match[1]) if match else 0
        for step in _NEIGHBOURS if match else ():
            for path in self._folder.glob(f"shard-{number + step}.*.json"):
                if path.name.split(".")[1] != self._conversion:
                    if step == 0:
                        _remove(path)
                    continue
                with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # InputError, too
                    outcomes = json.loads(read_recorded(path))["outcomes"]
                    yield from ((key, (path.with_suffix(".h5"), facts)) for key, facts in outcomes.items())


def _read_slices(shard: Path, stored: dict[str, Any] | None) -> list[bytes]:
    """The slices of a scan as they lie in a kept shard."""
    if stored is None:
        return []
    with open_shard(shard) as file:
        dataset = file[stored["study_id"]]
        return [stored_slice(dataset, z) for z in range(len(stored["crc32"]))]


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.with_suffix(".h5").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        record_path(path).unlink(missing_ok=True)


def remove_outdated(folder: Path, stores: Iterable[Path]) -> None:
    """Remove what is kept of shards that have changed since, and files of shards that are no more.

    Args:
        folder: of the dataset's shards.
        stores: all shards that the dataset has now, which are complete.
    """
    stores = list(stores)
    inodes = {_inode(path) for path in stores} - {None}
    for path in list((folder / _FOLDER).glob("*.h5")):
        if _inode(path) not in inodes:
            _remove(path.with_suffix(".json"))
    numbers = {match[1] for path in stores if (match := _SHARD_FILE.fullmatch(path.name))}
    for path in folder.iterdir() if numbers else ():
        match = _SHARD_FILE.fullmatch(path.name)
        if match and match[1] not in numbers and path.is_file():
            with suppress(OSError):
                path.unlink()


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
