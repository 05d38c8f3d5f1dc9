"""What a user's own files were when they were taken, so that a change of them is noticed.

A file belongs to the user, who may replace it under its name; nothing in the workflow's own files changes
then. So the record of a shard keeps size and time of every file, and the digest of every scan's content.
``version`` is a parameter of the rule that obtains the shard: it goes up by one where a content has changed,
and by nothing where a time has.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chestct.file_state import files_digest, files_state
from chestct.files import atomic_path, digest_object


def _record_path(root: Path, shard: int) -> Path:
    return root / "shards" / f".shard-{shard}.files.json"


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scans = {str(name): (str(state), str(digest)) for name, (state, digest) in record["scans"].items()}
        return {"version": int(record["version"]), "scans": scans}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"version": 0, "scans": {}}


def version(root: Path, shard: int) -> int:
    """How often files of a shard have changed since they were first taken; 0 before that.

    Files whose size and time are as recorded are not read; of others the content decides.

    Args:
        root: the dataset's data folder.
        shard: its number.
    """
    record = _record(_record_path(root, shard))
    return int(record["version"]) + any(
        _is_changed(Path(name), *seen) for name, seen in record["scans"].items()
    )


def remember(root: Path, shard: int, series: Sequence[Mapping[str, Any]]) -> None:
    """Write the record of a shard. Scans that have a record, also in another shard, are read only if changed.

    Args:
        root: the dataset's data folder.
        shard: its number.
        series: its rows of the table ``series``.
    """
    path = _record_path(root, shard)
    number = version(root, shard)
    known: dict[str, tuple[str, str]] = {}
    for earlier in [*path.parent.glob(".shard-*.files.json"), path]:
        known |= _record(earlier)["scans"]
    scans = {}
    for row in series:
        scan = root / row["path"]
        state = _state(scan)
        is_known = known.get(str(scan), ("", ""))[0] == state
        scans[str(scan)] = (state, known[str(scan)][1] if is_known else files_digest(scan))
    with atomic_path(path, private=True) as temporary:
        temporary.write_text(
            json.dumps({"version": number, "scans": scans}, indent=1) + "\n", encoding="utf-8"
        )


def _state(scan: Path) -> str:
    return digest_object(files_state(scan))


def _is_changed(scan: Path, state: str, digest: str) -> bool:
    if _state(scan) == state:
        return False
    try:
        return files_digest(scan) != digest
    except OSError:
        return True
