"""What a user's own files were when they were taken, so that a change of them is noticed.

A file belongs to the user, who may replace it under its name; nothing in the workflow's own files changes
then. So the record of a shard keeps size and time of every file, and the digest of every scan's content.
``version`` is a parameter of the rule that obtains the shard: it goes up by one where a content has changed,
and by nothing where a time has.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chestct.files import atomic_path
from chestct.obtained_files import content_digest, state_of


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


def remember(root: Path, shard: int, scans: Mapping[str, tuple[str, str]]) -> None:
    """Write the record of a shard.

    Args:
        root: the dataset's data folder.
        shard: its number.
        scans: state (``FilesState.times``) and digest of the content of every scan, by path. The digest of
            what could not be read is empty.
    """
    path = _record_path(root, shard)
    record = {"version": version(root, shard), "scans": scans}
    with atomic_path(path, private=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _is_changed(scan: Path, state: str, digest: str) -> bool:
    if state_of(scan).times == state:
        return False
    try:
        return content_digest(scan) != digest
    except OSError:
        return True
