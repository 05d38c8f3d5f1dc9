"""Where torch.compile and Triton keep what they compile: of every job apart, on the node's own disk.

Their usual places are one for all jobs of a user: ~/.triton, which lies on a shared file system or cannot be
written to, and /tmp/torchinductor_USER, which jobs of different GPUs on a node share.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_PLACES = {"TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}


def own_compiler_caches() -> None:
    """Set the places, which vanish with this process, for it and those that it starts.

    What a user set stays.
    """
    wanted = {name: part for name, part in _PLACES.items() if name not in os.environ}
    if not wanted:
        return
    folder = Path(tempfile.mkdtemp(prefix="chestct-compiled-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not a process that was forked
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    os.environ.update({name: str(folder / part) for name, part in wanted.items()})
