"""Scans of an unfinished shard, so that a job that was killed goes on where it stopped.

The outcome of a scan lies in two files beside the future shard: ``KEY.bin``, its slices as stored, and
``KEY.json``, which is written last and holds everything else. The key is a digest of all that decides the
outcome, so that a part made with other code, settings or files is never used. Snakemake deletes the
outputs that a rule declares before it runs the job again; this folder is not among them.
"""

import json
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from chestct.files import atomic_path, digested, undigested
from chestct.shard_files import write_errors
from chestct.volume_store import StoredScan

_SUFFIX = ".parts"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a scan.

    Attributes:
        ledger, index, acquisition: rows of the shard's tables.
        sop_uids: SOPInstanceUID of every slice.
        copies: SOPInstanceUID of every identical image that was dropped -> index of the slice that stayed.
        stored: the scan as stored.

    All but the ledger's row are empty where the scan is refused.
    """

    ledger: dict[str, Any]
    index: dict[str, Any] | None = None
    acquisition: dict[str, Any] | None = None
    sop_uids: Sequence[str | None] = ()
    copies: Mapping[str, int] = field(default_factory=dict)
    stored: StoredScan | None = None

    def facts(self) -> dict[str, Any]:
        """All but the slices, as plain data for ``to_text``."""
        return vars(self) | {"stored": self.stored and asdict(replace(self.stored, slices=()))}

    @staticmethod
    def from_facts(facts: Mapping[str, Any], slices: Sequence[bytes]) -> "Outcome":
        """The outcome of ``facts``, with its slices.

        Raises:
            ValueError, TypeError, KeyError: something is damaged.
        """
        stored = facts["stored"]
        if stored is not None:
            if [zlib.crc32(content) for content in slices] != stored["crc32"]:
                raise ValueError("damaged")
            stored = StoredScan(**stored | {"slices": slices})
        return Outcome(**{**facts, "stored": stored})


def to_text(facts: Mapping[str, Any]) -> str:
    """Facts of outcomes as JSON, among them NumPy's numbers."""
    return json.dumps(facts, default=lambda value: value.item())


#: Damage, as after a power cut, is found when a part is read, and the scan converted again.
_written = partial(atomic_path, private=True, durable=False)


def remove_parts(folder: Path) -> None:
    """Remove what killed jobs left in a folder of shards, once all its shards are complete."""
    for parts in folder.glob(f".*{_SUFFIX}"):
        shutil.rmtree(parts, ignore_errors=True)


class Parts:
    """The converted scans of one shard.

    Args:
        store_path: the future shard; parts lie in a hidden folder beside it.
    """

    def __init__(self, store_path: str | Path) -> None:
        self.store_path = Path(store_path)
        self.folder = self.store_path.parent / f".{self.store_path.name}{_SUFFIX}"

    @property
    def whole(self) -> Path:
        """Where the shard is written before it takes its place."""
        return self.folder / "whole.h5"

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove parts that belong to none of the keys, and what a killed job left half written."""
        wanted = {f"{key}{suffix}" for key in keys for suffix in (".bin", ".json")}
        for path in self.folder.glob("*") if self.folder.is_dir() else []:
            if path.name not in wanted:
                path.unlink()

    def save(self, key: str, outcome: Outcome) -> None:
        """Write a scan's outcome.

        Raises:
            InputError: it can't be written.
        """
        slices = outcome.stored.slices if outcome.stored is not None else ()
        if outcome.stored is not None:
            with _written(self._slices(key)) as temporary, write_errors(self.store_path):
                with open(temporary, "wb") as file:
                    file.writelines(slices)
        text = to_text({"outcome": outcome.facts(), "lengths": [len(content) for content in slices]})
        with _written(self._facts(key)) as temporary:
            temporary.write_text(digested(text), encoding="utf-8")

    def load(self, key: str) -> Outcome | None:
        """The outcome that an earlier job left whole and undamaged, or None."""
        try:
            saved = json.loads(undigested(self._facts(key).read_text(encoding="utf-8")))
            content = self._slices(key).read_bytes() if saved["outcome"]["stored"] is not None else b""
            bounds = pairwise(accumulate(saved["lengths"], initial=0))
            return Outcome.from_facts(saved["outcome"], [content[start:stop] for start, stop in bounds])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def remove(self) -> None:
        """Remove the parts of a shard that is whole, with its tables."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _slices(self, key: str) -> Path:
        return self.folder / f"{key}.bin"

    def _facts(self, key: str) -> Path:
        return self.folder / f"{key}.json"
