"""Shards on the node's own disk, where a job reads them many times and the file system is shared."""

import atexit
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chestct.tables import read_table, write_table

#: Room that is left on the node's disk for others.
_RESERVE_BYTES = 2 * 10**9
#: What Python takes where TMPDIR is not to be written to, before the working directory.
_INSTEAD = ("/tmp", "/var/tmp", "/usr/tmp")


def staged_index(index: str, resources: Mapping[str, Any]) -> str:
    """Copy a dataset's shards to the node, if the site's profile asks for it (resource ``stage_shards``).

    The copies lie in a folder that only this user can read, and vanish when the job ends. Where there is no
    room, or where several nodes work together, the job reads the shards where they are. So it does where the
    TMPDIR that the job was given (CHESTCT_TMPDIR, as the workflow found it) is no folder that can be written
    to: what Python takes instead, /tmp, may be a node's memory.

    Args:
        index: path of a table of schema ``index``.
        resources: of the job: ``tmpdir``, ``stage_shards``, ``nodes``.

    Returns:
        Path of an index that points to the copies; ``index`` itself where there are none.
    """
    if not resources.get("stage_shards") or resources.get("nodes", 1) > 1:
        return index
    asked = os.environ.get("CHESTCT_TMPDIR", "")
    is_instead = resources["tmpdir"] in (*_INSTEAD, str(Path.cwd()))
    if asked and is_instead and not os.access(asked, os.W_OK | os.X_OK):
        print(
            f"shards stay where they are: TMPDIR is {asked}, which is no folder that this job can write to "
            f"on {platform.node()}. Set TMPDIR to one on the node's own disk, or leave it to the site"
        )
        return index
    table = read_table(index, "index")
    stores = sorted(table["store"].unique())
    needed = sum(Path(store).stat().st_size for store in stores)
    free = shutil.disk_usage(resources["tmpdir"]).free
    if free < needed + _RESERVE_BYTES:
        print(f"shards stay where they are: {needed:,} bytes, and {resources['tmpdir']} has {free:,} free")
        return index
    folder = Path(tempfile.mkdtemp(dir=resources["tmpdir"], prefix="chestct-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copies = {store: str(folder / f"{number}{Path(store).suffix}") for number, store in enumerate(stores)}
    try:
        for store, copy in copies.items():
            shutil.copyfile(store, copy)
    except OSError as error:  # other jobs filled the disk meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        print(f"shards stay where they are: they cannot be copied to {folder}: {error.strerror}")
        return index
    write_table(table.assign(store=table["store"].map(copies)), folder / "index.csv", "index", of_job=True)
    print(f"{len(copies)} shard(s), {needed:,} bytes, copied to {folder}")
    return str(folder / "index.csv")
