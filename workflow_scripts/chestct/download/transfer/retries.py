"""Retries of transfers, several transfers at once, and their progress.

Three kinds of failure: ``Transient`` is worth another try; ``Unobtainable`` concerns one scan, which
goes to the ledger while the others go on; ``InputError`` concerns all (access, disk, connection) and stops
the job; whole files stay.
"""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, TypeVar

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


class Transient(Exception):  # noqa: N818 (the name says what it is)
    """A failure that may pass: a dropped connection, a busy service, a short or altered body.

    Args:
        message: what happened.
        retry_after_s: how long the service asked to wait, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Altered(Transient):
    """What arrived is not what was announced."""


class Unobtainable(Exception):  # noqa: N818 (the name says what it is)
    """The service answers, but this one file or scan cannot be obtained.

    Args:
        reason: short code for the ledger: not_found, altered, incomplete.
        detail: the facts behind it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def retrying(
    function: Callable[[], T],
    settings: TransferSettings,
    where: str,
    remedy: str = "check the connection and rerun: whole files are kept",
) -> T:
    """Call ``function`` until it succeeds, at most ``settings.attempts`` times.

    Waits grow exponentially with full jitter, so that many jobs do not return at once; a service that
    says how long to wait is obeyed.

    Args:
        function: raises ``Transient`` where another try may help.
        settings: attempts and waits.
        where: what is asked for, for messages.
        remedy: for the message after the last attempt.

    Raises:
        InputError: every attempt failed.
        Unobtainable: ``altered``, where the last attempt brought something else than was announced.
    """
    backoff = wait_random_exponential(multiplier=settings.first_wait_s, max=settings.max_wait_s)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Transient) else None
        return min(asked, 10 * settings.max_wait_s) if asked is not None else backoff(state)

    attempts = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(settings.attempts),
        wait=pause,
        reraise=True,
    )
    try:
        return attempts(function)
    except Altered as error:
        raise Unobtainable("altered", str(error)) from error
    except Transient as error:
        raise InputError(
            f"no good answer after {settings.attempts} attempts: {error}",
            where=where,
            expected="a server that answers",
            remedy=remedy,
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
    """
    failed: dict[str, Unobtainable] = {}
    with ThreadPoolExecutor(max_workers=settings.parallel) as pool:
        futures = {pool.submit(job): key for key, job in jobs.items()}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except Unobtainable as error:
                    failed[futures[future]] = error
        finally:
            # After a failure, also on Ctrl-C in this thread: running transfers come to their end.
            pool.shutdown(cancel_futures=True)
    return failed


class ByteProgress(tqdm):
    """Progress of a transfer in bytes with rate and time left, for several threads; a context manager.

    Args:
        total_bytes: of the whole transfer; 0 where it is not known.
        title: what is transferred.
    """

    def __init__(self, total_bytes: int, title: str) -> None:
        # Logs are files: a line every few seconds is enough.
        super().__init__(
            total=total_bytes or None, desc=title, unit="B", unit_scale=True, mininterval=2, file=sys.stderr
        )

    def update(self, n: float | None = 1) -> bool | None:
        """Count bytes that arrived."""
        with self.get_lock():
            return super().update(n)
