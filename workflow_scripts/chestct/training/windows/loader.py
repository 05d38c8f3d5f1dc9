"""Loaders of windows: worker processes that fail with one clear message, and time spent waiting."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from chestct.errors import InputError
from chestct.volume_store import WindowReader


def relay(kind: type[InputError], text: str) -> InputError:
    """An error that was raised in another process, with its text as it was."""
    error = kind.__new__(kind, text)
    error.what = text.splitlines()[0]
    return error


class _Failure:
    """An error on its way out of a worker process, where raising it would bury it in tracebacks."""

    def __init__(self, error: InputError) -> None:
        self.kind, self.text = type(error), str(error)


class _Relaying(Dataset):
    """A dataset that returns what a user can mend instead of raising it."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key]
        except InputError as error:
            return _Failure(error)


def _collate(items: list[Any]) -> Any:
    failures = [item for item in items if isinstance(item, _Failure)]
    return failures[0] if failures else default_collate(items)


#: Seconds that a worker process goes on once a signal asked the job to end; Slurm kills after as many.
_GRACE_SECONDS = 30


def _start_worker(_: int) -> None:
    # Preemption signals go to all processes of a job. The training process decides when it ends; were its
    # workers gone before, it could not finish the step.
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: signal.alarm(_GRACE_SECONDS))
    dataset = get_worker_info().dataset.dataset  # type: ignore[union-attr]
    if hasattr(dataset, "reader"):
        # Open HDF5 files do not survive a fork.
        dataset.reader = WindowReader()


#: Where processes hand batches over, and below how many free bytes it is full.
_SHARED_MEMORY = Path("/dev/shm")
_NO_ROOM = 1 << 20


def _lacks_shared_memory(text: str) -> bool:
    """Whether an error of a worker process comes from a full /dev/shm, which it need not say."""
    if "shared memory" in text or "Bus error" in text:
        return True
    try:
        return shutil.disk_usage(_SHARED_MEMORY).free < _NO_ROOM
    except OSError:
        return False


def _too_little_shared_memory(error: Exception) -> InputError:
    try:
        state = shutil.disk_usage(_SHARED_MEMORY)
        room = f"{state.total / 2**20:.1f} MiB, {state.free / 2**20:.1f} MiB free"
    except OSError:
        room = "not there"
    return InputError(
        f"a process that reads windows ended, since {_SHARED_MEMORY} is full: {str(error).splitlines()[0]}",
        where=f"{_SHARED_MEMORY} ({room}), where processes hand over batches",
        expected="room for two batches of every process of training.num_workers",
        remedy=f"give the job a larger {_SHARED_MEMORY} (of a container: --shm-size=1g or --ipc=host), or "
        "set training.num_workers to 0",
    )


class Loader:
    """Batches of a dataset, read ahead by worker processes where there are any.

    Args:
        dataset: gives samples; an ``InputError`` that it raises arrives here as it is.
        num_workers: processes; they live as long as the loader, over all passes.
        pin_memory: for batches that go to a GPU.
        sampling: ``batch_sampler``, or ``batch_size`` and ``sampler``.

    Attributes:
        waited: seconds that were spent waiting for batches so far.
    """

    def __init__(self, dataset: Dataset, *, num_workers: int, pin_memory: bool, **sampling: Any) -> None:
        self.waited = 0.0
        self._batches: Any = None
        self.loader = DataLoader(
            _Relaying(dataset),
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            # Started afresh, as macOS does by itself, workers would run the job's script once more.
            multiprocessing_context="fork" if num_workers else None,
            worker_init_fn=_start_worker,
            collate_fn=_collate,
            generator=torch.Generator(),  # see batch_order.begin_pass
            **sampling,
        )

    def __len__(self) -> int:
        return len(self.loader)

    def close(self) -> None:
        """End the worker processes."""
        # DataLoader has no public way; left to the interpreter's end, they would be waited for.
        if hasattr(self._batches, "_shutdown_workers"):
            self._batches._shutdown_workers()

    def __iter__(self) -> Iterator[Any]:
        start = time.perf_counter()
        self._batches = iter(self.loader)
        while True:
            try:
                batch = next(self._batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error) and "shared memory" not in str(error):
                    raise
                if _lacks_shared_memory(str(error)):
                    raise _too_little_shared_memory(error) from None
                raise InputError(
                    f"a process that reads windows ended: {str(error).splitlines()[0]}",
                    where="training.num_workers",
                    expected="memory for a few batches in every such process",
                    remedy="ask for more memory (mem_mb), or lower training.num_workers",
                ) from None
            self.waited += time.perf_counter() - start
            if isinstance(batch, _Failure):
                raise relay(batch.kind, batch.text)
            yield batch
            start = time.perf_counter()
