"""Whether compiling pays in a run of which the table of speeds does not know it: by the run's own steps."""

import time
from collections.abc import Callable

from chestct.training.machine.compiled import CompiledModel
from chestct.training.machine.processes import Processes

#: What compiling is expected to save of a step, and to take: guesses until speeds are measured. The step of
#: MViT compiled as a whole was shorter by 30 %, for 100 s.
EXPECTED_SHARE, EXPECTED_SECONDS = 0.15, 120.0


class CompileTrial:
    """Times some steps of a run as they are, compiles where the rest is long enough, and times again.

    If compiled steps are no shorter, the run goes on without.

    Args:
        compiled: the network, which is switched.
        num_steps: of the run.
        processes: that train together, which all do the same.
        say: takes a line for the log.
    """

    def __init__(
        self, compiled: CompiledModel, num_steps: int, processes: Processes, say: Callable[[str], None]
    ) -> None:
        compiled.switch(False)
        self.compiled, self.num_steps, self.processes, self._say = compiled, num_steps, processes, say
        self.over = False
        self._plain: float | None = None
        self._begun: tuple[int, float] | None = None

    def interrupted(self) -> None:
        """Something else than steps takes time, such as a validation."""
        self._begun = None

    def look(self, done: int) -> None:
        """To be called when all work of the GPU is done, every so many steps.

        Args:
            done: steps that were taken.
        """
        if self.over:
            return
        if self._begun is None:
            self._begun = done, time.perf_counter()
            return
        step, begun = self._begun
        seconds = (time.perf_counter() - begun) / (done - step)
        self._begun = None
        if self._plain is None:
            self._plain = seconds
            saved = EXPECTED_SHARE * seconds * (self.num_steps - done)
            words = f"a step takes {seconds:.3g} s; compiling, a guess, saves {saved:.0f} s of the run"
            if self.processes.any(saved > EXPECTED_SECONDS):
                self._say(f"{words} and takes {EXPECTED_SECONDS:.0f}: compiled")
                self.compiled.switch(True)
                return
            self._say(f"{words} and takes {EXPECTED_SECONDS:.0f}: not compiled")
        elif not self.compiled.failed_anywhere():
            slower = self.processes.any(seconds >= self._plain)
            self._say(
                f"a compiled step takes {seconds:.3g} s, a plain one {self._plain:.3g} s: "
                f"{'not compiled any more' if slower else 'stays compiled'}"
            )
            self.compiled.switch(not slower)
        self.over = True
