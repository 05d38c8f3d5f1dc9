"""What an interrupted job leaves for its next try, in a folder ``.checkpoint`` beside the run's results.

Snakemake deletes the declared outputs of a failed or killed job and of one that it starts again; this
folder is none of them. The state carries a key: a digest of all that decides the result (settings, data,
code, starting weights). A state with another key is never used. The file ends with the SHA-256 of what it
holds, which is compared before anything of it is read: PyTorch's own checksums are not.
"""

import hashlib
import io
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

import torch

from chestct.files import atomic_path

FOLDER = ".checkpoint"
#: Writing a state may take as large a share of the time as this.
_LARGEST_SHARE = 0.05
#: Bytes of the digest at the end of the file.
_DIGEST_BYTES = hashlib.sha256().digest_size


class _Digesting:
    """Passes on what is written and digests it; keeps its first failure, of which PyTorch tells no reason."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        if self.error is None:
            try:
                self.file.write(content)
                self.digest.update(content)
            except OSError as error:
                self.error = error
        return len(content)

    def flush(self) -> None: ...


class _Beginning(io.RawIOBase):
    """The first ``size`` bytes of an open file, as a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._size}[whence]
        return self._file.seek(base + offset)

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._size - self._file.tell())
        return self._file.readinto(memoryview(buffer)[:left])  # type: ignore[attr-defined]


class StateFile:
    """The last state of one run.

    Args:
        folder: of the run's results.
        key: digest of all that decides the result.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / FOLDER / "last.ckpt"
        self.key = key
        self._damaged = False
        self._written, self._seconds = -float("inf"), 0.0

    def load(self) -> dict[str, Any] | None:
        """The state, on the CPU; None where there is none that fits. No code in the file is executed.

        A damaged one is set aside as the next state is written: processes that train together all read it.
        """
        if not self.path.is_file():
            return None
        try:
            content = self._content()
        except Exception as error:  # damage can show in any way
            self._damaged = True
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            print(
                f"WARNING: the saved state {self.path} is damaged ({reason}) and not used: training starts "
                "from its beginning, and ends with the same result",
                flush=True,
            )
            return None
        if content["key"] != self.key:
            print(f"{self.path} belongs to other settings, data or code: training starts anew", flush=True)
            return None
        return content["state"]

    def _content(self) -> dict[str, Any]:
        """What the file holds; raises any exception where it is not what was written."""
        with open(self.path, "rb") as file:
            size = max(0, self.path.stat().st_size - _DIGEST_BYTES)
            part = _Beginning(file, size)
            found = hashlib.file_digest(part, "sha256").digest()  # type: ignore[arg-type]
            file.seek(size)
            if file.read() != found:
                raise ValueError("it does not match its digest")
            part.seek(0)
            content = torch.load(io.BufferedReader(part), map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or set(content) != {"key", "state"}:
            raise TypeError("it is no saved state")
        return content

    @property
    def due(self) -> bool:
        """Whether enough time has passed since the last state for the time that writing one takes."""
        return time.monotonic() - self._written > self._seconds / _LARGEST_SHARE

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state, whole or not at all: tensors, numbers, text, lists and dicts.

        Raises:
            InputError: it cannot be written.
        """
        start = time.monotonic()
        if self._damaged and self.path.is_file():
            self.path.replace(self.path.with_suffix(".damaged"))
            self._damaged = False
        with atomic_path(self.path) as temporary, open(temporary, "wb") as file:
            sink = _Digesting(file)
            try:
                torch.save({"key": self.key, "state": state}, sink)  # type: ignore[arg-type]
            finally:
                if sink.error is not None:
                    raise sink.error
            file.write(sink.digest.digest())
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
