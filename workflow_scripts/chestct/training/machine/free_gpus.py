"""Which of a machine's GPUs a job uses, where no scheduler says so.

Snakemake on one machine counts GPUs (resource gpu) but does not hand them out: without this, all jobs would
compute on the first one.
"""

import errno
import fcntl
import os
import re
import socket
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from chestct.locks import open_lock

#: Lock files of this process; closed, and so released, when it and the processes it forked have ended.
_held: list[int] = []


def list_gpus() -> list[str]:
    """Names of the GPUs that this process may use: as CUDA_VISIBLE_DEVICES says, else all numbers."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in re.split(r"[,\s]+", visible) if name]
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number in range(len(re.findall(r"^GPU ", listing, re.MULTILINE)))]


def claim_gpus(count: int, *, gpus: Sequence[str] | None = None, folder: Path | None = None) -> None:
    """Take free GPUs for this process, by CUDA_VISIBLE_DEVICES; call it before anything uses CUDA.

    Does nothing without GPUs, inside a Slurm job (Slurm hands them out), or where the job takes all of them.
    A GPU counts as free if no other job of this study's code and user has claimed it.

    Args:
        count: that the job asks for.
        gpus: names to choose from; those of the machine where absent.
        folder: of the lock files; one of this user where absent.
    """
    if not count or "SLURM_JOB_ID" in os.environ:
        return
    names = list_gpus() if gpus is None else list(gpus)
    if len(names) <= count:
        return
    # Of all jobs of this user the same: the second only where somebody else took the name of the first.
    candidates = [
        Path(tempfile.gettempdir()) / f"chestct-gpus-{os.getuid()}",
        Path("~/.cache/chestct").expanduser() / f"gpus-{socket.gethostname()}",
    ]
    opened = (_open_private(path) for path in ([folder] if folder else candidates))
    place = next((handle for handle in opened if handle is not None), None)
    if place is None:
        print("there is no private folder for locks: CUDA chooses among the GPUs, set TMPDIR", flush=True)
        return
    try:
        claimed = _lock(names, count, place)
    finally:
        os.close(place)
    if not claimed:
        print(f"fewer than {count} GPUs are free of this study's jobs: CUDA chooses", flush=True)
        return
    _held.extend(claimed.values())
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(claimed)


def _open_private(folder: Path) -> int | None:
    """A descriptor of a folder that this user alone can write to, made if it is not there; None otherwise.

    In a folder that everybody may write to, somebody else may have made it, or a link of its name.
    """
    try:
        with suppress(FileExistsError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        print(f"{folder} cannot be used for locks: {error}", flush=True)
        return None
    state = os.fstat(handle)
    if state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o022:
        os.close(handle)
        print(f"{folder} is not used for locks: others can write to it", flush=True)
        return None
    return handle


def _lock(names: Sequence[str], count: int, folder: int) -> dict[str, int]:
    """Lock files of as many GPUs, by name, in an open folder; empty where fewer are free."""
    claimed: dict[str, int] = {}
    for name in names:
        if len(claimed) == count:
            break
        try:
            handle = open_lock(re.sub(r"\W", "_", name), mode=0o600, folder=folder)
        except OSError as error:
            print(f"GPU {name} is passed over, its lock cannot be opened: {error}", flush=True)
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                print(f"{error}: jobs side by side may take one GPU", flush=True)
                break
            continue
        claimed[name] = handle
    if len(claimed) < count:
        for handle in claimed.values():
            os.close(handle)
        return {}
    return claimed
