"""Where torch.compile and Triton keep what they compile: by user, on the node's own disk.

Their usual places suit no cluster: ~/.triton lies on a shared file system or cannot be written to, and
/tmp/torchinductor_USER is taken as it is found, whoever made it, though what it holds is run. Both write a
file under another name and rename it, so that jobs side by side never read half of one; they find a result by
a digest of its source, of the options and of the GPU.
"""

import atexit
import os
import platform
import re
import shutil
import stat
import tempfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import torch

_PLACES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
#: File systems of one machine; others may be shared, slow to rename, or both.
_LOCAL = {
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs",
}  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")


def own_compiler_caches() -> None:
    """Set the places for this process and those that it starts; what a user set stays.

    They lie in a folder of this user and these releases of Python, PyTorch and Triton, which stays, in the
    folder for temporary files (TMPDIR). Where that is not known to be on this machine's disk, or where
    somebody else made the folder or can write to it, the places are of this process alone and vanish with it.
    """
    wanted = {name: part for name, part in _PLACES.items() if name not in os.environ}
    if not wanted:
        return
    folder = shared_folder(Path(tempfile.gettempdir())) or _folder_of_process()
    os.environ.update({name: str(folder / part) for name, part in wanted.items()})


def shared_folder(place: Path) -> Path | None:
    """The folder for all jobs of this user, made if it is not there; None where it cannot be trusted.

    Args:
        place: folder for temporary files.
    """
    if file_system(place) not in _LOCAL:
        return None
    folder = place / f"chestct-compiled-{os.getuid()}"
    # Who may write to its parent might put another folder in its place, but for the sticky bit.
    state = place.stat()
    if state.st_mode & 0o022 and not state.st_mode & stat.S_ISVTX:
        print(f"{folder} is not used for compiled kernels: others can rename it", flush=True)
        return None
    for path in (folder, folder / _releases()):
        try:
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            state = path.lstat()
        except OSError as error:
            print(f"{path} cannot be used for compiled kernels: {error.strerror}", flush=True)
            return None
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
            print(f"{path} is not used for compiled kernels: it is not this user's alone", flush=True)
            return None
    return path


def file_system(path: Path) -> str:
    """Kind of the file system that a path is on, as the kernel names it; empty where that is not known."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    # A blank is written as \\040. Of several at one place the last counts.
    kinds = {Path(mount[1].replace("\\040", " ")): mount[2] for mount in mounts}
    path = path.resolve()
    return next((kinds[above] for above in (path, *path.parents) if above in kinds), "")


def _releases() -> str:
    try:
        triton = metadata.version("triton")
    except metadata.PackageNotFoundError:
        triton = "none"
    name = f"python-{platform.python_version()}-torch-{torch.__version__}-triton-{triton}"
    return re.sub(r"[^\w.+-]", "_", name)


def _folder_of_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chestct-compiled-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not a process that was forked
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
