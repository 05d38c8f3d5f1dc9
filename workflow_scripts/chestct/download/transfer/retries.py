"""Retries of transfers, several transfers at once, and their progress.

Three kinds of failure: ``Transient`` is worth another try; ``Unobtainable`` concerns one scan, which
goes to the ledger while the others go on; ``InputError`` concerns all (access, disk, connection) and stops
the job; whole files stay. A server that limits requests (``Limited``) has not failed: it is waited for as
long as its limit lasts, up to a time that the configuration says.
"""

import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, TypeVar

from tqdm import tqdm

from chestct.errors import InputError

T = TypeVar("T")
GIB = 1024**3
#: Longest wait for a limit, in longest waits between tries, where no other is configured: two hours.
_LIMIT_IN_WAITS = 120
#: Least seconds between two lines of the log that say what is waited for.
_SAY_EVERY_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """How a job transfers files.

    Attributes:
        parallel: transfers at once.
        attempts: tries of one transfer before it counts as failed.
        first_wait_s, max_wait_s: bounds of the waits between tries, which grow exponentially.
        reserve_bytes: space on the disk that stays free.
        limit_wait_s: for so long in all does a transfer wait for a server that limits requests; None for 120
            times ``max_wait_s``.
    """

    parallel: int = 8
    attempts: int = 6
    first_wait_s: float = 1.0
    max_wait_s: float = 60.0
    reserve_bytes: int = 5 * GIB
    limit_wait_s: float | None = None

    @property
    def longest_limit_s(self) -> float:
        """How long a transfer waits for a server that limits requests, in all."""
        return _LIMIT_IN_WAITS * self.max_wait_s if self.limit_wait_s is None else self.limit_wait_s

    def backoff_s(self, number: int) -> float:
        """A wait before the next try: it grows exponentially with the number of tries, with full jitter."""
        return random.uniform(0, min(self.max_wait_s, self.first_wait_s * 2.0 ** min(number, 30)))


def transfer_settings(resources: Any) -> TransferSettings:
    """Settings from a job's resources: connections, attempts, reserve_mb, limit_wait_min."""
    return TransferSettings(
        parallel=int(resources.connections),
        attempts=int(resources.attempts),
        reserve_bytes=int(resources.reserve_mb) * 1_000_000,
        limit_wait_s=60.0 * float(resources.limit_wait_min),
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


class Limited(Transient):
    """The server answers that it limits requests: HTTP 429, or that it is busy until a time that it says."""


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


class _Notice:
    """Lines of the log about a wait; of many threads that wait, one line in a while tells enough."""

    def __init__(self) -> None:
        self._lock, self._said = threading.Lock(), -_SAY_EVERY_S

    def say(self, text: str, *values: object) -> None:
        """Log it, unless a line was logged shortly before."""
        with self._lock:
            now = time.monotonic()
            if now - self._said < _SAY_EVERY_S:
                return
            self._said = now
        _log.warning(text, *values)


_notice = _Notice()


def retrying(
    function: Callable[[], T], settings: TransferSettings, where: str, alternative: str | None = None
) -> T:
    """Call ``function`` until it succeeds, at most ``settings.attempts`` times.

    Waits grow exponentially with full jitter, so that many jobs do not return at once; a service that says
    how long to wait is obeyed. Answers of a server that limits requests are no attempts: it is waited for, up
    to ``settings.longest_limit_s`` in all.

    Args:
        function: raises ``Transient`` where another try may help.
        settings: attempts and waits.
        where: what is asked for, for messages.
        alternative: what else the user may do, for the message after the last attempt.

    Raises:
        InputError: every attempt failed, or the server's limit lasts longer.
        Unobtainable: ``altered``, where the last attempt brought something else than was announced.
    """
    failures, limits, waited_s = 0, 0, 0.0
    while True:
        try:
            return function()
        except Limited as error:
            limits += 1
            pause_s = error.retry_after_s
            if pause_s is None:
                # The second half of the wait alone is left to chance: sooner is of no use.
                longest_s = min(settings.max_wait_s, settings.first_wait_s * 2.0 ** min(limits, 30))
                pause_s = random.uniform(longest_s / 2, longest_s)
            pause_s = max(pause_s, settings.first_wait_s)
            if waited_s + pause_s > settings.longest_limit_s:
                raise _still_limited(error, settings, where, waited_s, alternative) from error
            waited_s += pause_s
            _notice.say(
                "%s: the server limits requests; waiting %.0f s (%.0f of at most %.0f min)",
                error,
                pause_s,
                waited_s / 60,
                settings.longest_limit_s / 60,
            )
        except Transient as error:
            failures += 1
            if failures >= settings.attempts:
                if isinstance(error, Altered):
                    raise Unobtainable("altered", str(error)) from error
                more = f"; or {alternative}" if alternative else ": whole files are kept"
                raise InputError(
                    f"no good answer after {settings.attempts} attempts: {error}",
                    where=where,
                    expected="a server that answers",
                    remedy=f"check the connection and rerun{more}",
                ) from error
            asked_s = error.retry_after_s
            pause_s = settings.backoff_s(failures - 1) if asked_s is None else asked_s
            pause_s = min(pause_s, 10 * settings.max_wait_s)
        time.sleep(pause_s)


def _still_limited(
    error: Limited, settings: TransferSettings, where: str, waited_s: float, alternative: str | None
) -> InputError:
    asks = f"; it asks for {error.retry_after_s:.0f} s more" if error.retry_after_s is not None else ""
    return InputError(
        f"the server's rate limit lasts too long: {error}, after waits of {waited_s / 60:.0f} min{asks}",
        where=where,
        expected=f"a limit that is over within {settings.longest_limit_s / 60:.0f} min "
        "(download.limit_wait_min)",
        remedy="rerun when the limit is over (a quota of a day counts from its first request): all that was "
        "obtained is kept; a smaller download.parallel asks less at once, a longer download.limit_wait_min "
        f"waits longer{f'; or {alternative}' if alternative else ''}",
    )


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
