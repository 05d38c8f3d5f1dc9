"""Transfers of many files: bounded, retried, resumable, with progress, and one clear end.

Three kinds of failure: ``Transient`` is worth another try; ``Unobtainable`` concerns one scan, which
goes to the ledger while the others go on; ``InputError`` concerns all (credentials, disk, connection)
and stops the job, whole files stay.
"""

import errno
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential
from tqdm import tqdm

from chestct.errors import InputError

T = TypeVar("T")
GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """How a job transfers files.

    Attributes:
        parallel: transfers at once.
        attempts: tries of one transfer before it counts as failed.
        first_wait_s, max_wait_s: bounds of the waits between tries, which grow exponentially.
        reserve_bytes: space on the disk that stays free.
    """

    parallel: int = 8
    attempts: int = 6
    first_wait_s: float = 1.0
    max_wait_s: float = 60.0
    reserve_bytes: int = 5 * GIB


def transfer_settings(resources: Any) -> TransferSettings:
    """Settings from a job's resources: connections, attempts, reserve_mb."""
    return TransferSettings(
        parallel=int(resources.connections),
        attempts=int(resources.attempts),
        reserve_bytes=int(resources.reserve_mb) * 1_000_000,
    )


class Transient(Exception):  # noqa: N818 (it says what it is)
    """A failure that may pass: a dropped connection, a busy service, a short or altered body.

    Args:
        message: what happened.
        retry_after_s: how long the service asked to wait, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unobtainable(Exception):  # noqa: N818 (likewise)
    """The service answers, but this one file or scan cannot be had.

    Args:
        reason: short code for the ledger: not_found, altered, incomplete.
        detail: the facts behind it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def retrying(function: Callable[[], T], settings: TransferSettings) -> T:
    """Call ``function`` until it succeeds, at most ``settings.attempts`` times.

    Waits grow exponentially with full jitter, so that many jobs do not return at once; a service that
    says how long to wait is heeded.

    Raises:
        Transient: of the last try.
    """
    backoff = wait_random_exponential(multiplier=settings.first_wait_s, max=settings.max_wait_s)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Transient) else None
        return min(asked, 10 * settings.max_wait_s) if asked is not None else backoff(state)

    return Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(settings.attempts),
        wait=pause,
        reraise=True,
    )(function)


def free_bytes(folder: Path) -> int:
    """Free space of the disk that ``folder``, or the nearest parent that exists, lies on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(folder: Path, num_bytes: int, settings: TransferSettings) -> None:
    """Stop before a transfer that the disk cannot hold.

    Raises:
        InputError: less than ``num_bytes`` and the reserve is free.
    """
    free = free_bytes(folder)
    if num_bytes > 0 and num_bytes + settings.reserve_bytes > free:
        raise InputError(
            f"the disk is too small: {num_bytes / 1e9:.3g} GB to download, {free / 1e9:.3g} GB free",
            where=folder,
            expected=f"{(num_bytes + settings.reserve_bytes) / 1e9:.3g} GB free, "
            f"{settings.reserve_bytes / 1e9:.3g} GB of them in reserve (download.reserve_gb)",
            remedy="free space, set data_dir to a larger disk, or narrow the dataset by `patients`",
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or quota into one clear message.

    Raises:
        InputError: the disk or the user's quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"the disk is full: {error.strerror}",
            where=path.parent,
            expected="space for the files of the dataset (see `snakemake plan_download`)",
            remedy="free space or move data_dir, then rerun: what is whole is kept and not fetched again",
        ) from error


def transfer_all(
    jobs: Mapping[str, Callable[[], None]], settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Run transfers in a bounded pool of threads.

    Args:
        jobs: what to do, by key.
        settings: of the pool.

    Returns:
        Those that are unobtainable, by key.

    Raises:
        InputError: the first failure that concerns all; transfers that had not begun are cancelled.
        Transient: likewise, a service that failed at every try.
    """
    failed: dict[str, Unobtainable] = {}
    stopped = threading.Event()

    def run(key: str) -> None:
        if stopped.is_set():
            return
        try:
            jobs[key]()
        except Unobtainable as error:
            failed[key] = error
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(max_workers=settings.parallel) as pool:
        futures: list[Future[None]] = [pool.submit(run, key) for key in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Also on SIGTERM or Ctrl-C in this thread: transfers that run come to their end.
            stopped.set()
            pool.shutdown(cancel_futures=True)
    for future in futures:
        if not future.cancelled():
            future.result()
    return failed


class ByteProgress:
    """Progress of a transfer in bytes with rate and time left, for several threads; a context manager.

    Args:
        total_bytes: of the whole transfer; 0 where it is not known.
        title: what is transferred.
    """

    def __init__(self, total_bytes: int, title: str) -> None:
        self._lock = threading.Lock()
        # Logs are files: a line every few seconds is enough.
        self._bar = tqdm(
            total=total_bytes or None,
            desc=title,
            unit="B",
            unit_scale=True,
            mininterval=2,
            file=sys.stderr,
        )

    def update(self, num_bytes: int) -> None:
        """Count bytes that arrived."""
        with self._lock:
            self._bar.update(num_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
