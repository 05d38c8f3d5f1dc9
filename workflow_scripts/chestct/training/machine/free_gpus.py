"""Which of a machine's GPUs a job uses, where no scheduler says so.

Snakemake on one machine counts GPUs (resource gpu) but does not hand them out: without this, all jobs would
compute on the first one.
"""

import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

#: Lock files of this process; closed, and so released, when it and the processes it forked have ended.
_held: list[IO[str]] = []


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
        folder: of the lock files; one of this user in the temporary folder where absent.
    """
    if not count or "SLURM_JOB_ID" in os.environ:
        return
    names = list_gpus() if gpus is None else list(gpus)
    if len(names) <= count:
        return
    folder = folder or Path(tempfile.gettempdir()) / f"chestct-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    claimed: dict[str, IO[str]] = {}
    for name in names:
        file = open(folder / re.sub(r"\W", "_", name), "w")  # noqa: SIM115 (held as long as the process lives)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        claimed[name] = file
        if len(claimed) == count:
            _held.extend(claimed.values())
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(claimed)
            return
    for lock in claimed.values():
        lock.close()
    print(f"fewer than {count} GPUs are free of this study's jobs: CUDA chooses", flush=True)
