"""Signals with which a scheduler takes a machine back: the run saves its state, then ends."""

import signal
import threading
from types import FrameType

from chestct.training.machine.processes import Processes

#: What schedulers send before they kill; SIGUSR1 where a warning ahead of time is asked for.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class PreemptedError(Exception):
    """The run was asked to end and can go on later."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        #: What a shell reports for a process that a signal ended: no success, and no error of its own.
        self.exit_code = 128 + number


class Preemption:
    """Notes signals; the loop asks at moments when its state is whole."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.received = 0
        self._before: dict[int, object] = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number

    def listen(self) -> None:
        """From now on note signals; again after others set handlers of their own."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.signal(number, self._note)
            self._before.setdefault(number, before)

    def stop_listening(self) -> None:
        """Put back what handled the signals before."""
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._before.clear()

    def check(self) -> None:
        """End the run if any of its processes was asked to; all processes must call it together.

        Raises:
            PreemptedError: a signal came.
        """
        if self.processes.any(self.received > 0):
            raise PreemptedError(self.received or signal.SIGTERM)
