"""What an interrupted job leaves for its next try, in a folder ``.checkpoint`` beside the run's results.

Snakemake deletes the declared outputs of a failed or killed job and of one that it starts again; this
folder is none of them. The state carries a key: a digest of all that decides the result (settings, data,
code, starting weights). A state with another key is never used.
"""

import shutil
import time
from pathlib import Path
from typing import Any

import torch

from chestct.files import atomic_path

FOLDER = ".checkpoint"
#: Writing a state may take as large a share of the time as this.
_LARGEST_SHARE = 0.05


class StateFile:
    """The last state of one run.

    Args:
        folder: of the run's results.
        key: digest of all that decides the result.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / FOLDER / "last.ckpt"
        self.key = key
        self._written, self._seconds = -float("inf"), 0.0

    def load(self) -> dict[str, Any] | None:
        """The state, on the CPU; None where there is none that fits. No code in the file is executed."""
        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(f"{self.path} cannot be read, training starts anew: {error}", flush=True)
            return None
        if content["key"] != self.key:
            print(f"{self.path} belongs to other settings, data or code: training starts anew", flush=True)
            return None
        return content["state"]

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last state for the time that writing one takes."""
        return time.monotonic() - self._written > self._seconds / _LARGEST_SHARE

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state, whole or not at all: tensors, numbers, text, lists and dicts."""
        start = time.monotonic()
        with atomic_path(self.path) as temporary:
            torch.save({"key": self.key, "state": state}, temporary)
        self._written = time.monotonic()
        self._seconds = self._written - start


def clear(folder: Path) -> None:
    """Remove all that was kept for a next try: the job is done."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of torch's generators, of the CPU and of the GPU that is used."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if device.type == "cuda" else {})


def set_random_state(states: dict[str, torch.Tensor]) -> None:
    """Go on from these states."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
