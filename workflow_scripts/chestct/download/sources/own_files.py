"""What a user's own files were when they were taken, so that a change of them is noticed.

A file belongs to the user, who may replace it under its name; nothing in the workflow's own files changes
then. So the record of a shard keeps size and time of every file, and the digest of every scan's content.
``count_changes`` is a parameter of the rule that obtains the shard: it goes up by one where a content has
changed, and by nothing where a time has.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chestct.files import atomic_path, digested, undigested
from chestct.obtained_files import content_digest, state_of


def _record_path(root: Path, shard: int) -> Path:
    return root / "shards" / f".shard-{shard}.files.json"


def _record(root: Path, shard: int) -> dict[str, Any]:
    """The record of a shard; one that is damaged, or lost, has a version of its own, which is a change."""
    path = _record_path(root, shard)
    try:
        content = path.read_bytes()
    except OSError:
        return {"version": -1 if (root / "shards" / f"shard-{shard}.csv").is_file() else 0, "scans": {}}
    try:
        text = content.decode("utf-8")
        # Records of earlier versions have no digest.
        record = json.loads(text if text.startswith("{") else undigested(text))
        scans = {str(name): (str(state), str(digest)) for name, (state, digest) in record["scans"].items()}
        return {"version": int(record["version"]), "scans": scans}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {"version": -2 - zlib.crc32(content), "scans": {}}


def count_changes(root: Path, shard: int) -> int:
    """How often files of a shard have changed since they were first taken; 0 before that.

    Files whose size and time are as recorded are not read; of others the content decides.

    Args:
        root: the dataset's data folder.
        shard: its number.
    """
    record = _record(root, shard)
    return int(record["version"]) + any(
        _is_changed(Path(name), *seen) for name, seen in record["scans"].items()
    )


def remember(
    root: Path, shard: int, scans: Mapping[str, tuple[str, str]], *, version: int | None = None
) -> None:
    """Write the record of a shard.

    Args:
        root: the dataset's data folder.
        shard: its number.
        scans: state (``FilesState.times``) and digest of the content of every scan, by path. The digest of
            what could not be read is empty.
        version: with which the workflow started the job; by default as ``count_changes`` has it now.
    """
    path = _record_path(root, shard)
    if version is None:
        version = count_changes(root, shard) if path.is_file() else 0
    record = {"version": version, "scans": scans}
    with atomic_path(path, private=True) as temporary:
        temporary.write_text(digested(json.dumps(record, indent=1) + "\n"), encoding="utf-8")


def _is_changed(scan: Path, state: str, digest: str) -> bool:
    try:
        return state_of(scan).times != state and content_digest(scan) != digest
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return True
