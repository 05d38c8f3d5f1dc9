"""What the parts of the GPU check found: rows, failures, what the time did not allow."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


class OutOfTimeError(BaseException):
    """The time given is over; no Exception, which code that goes on after a failure would swallow."""


@dataclass(frozen=True)
class Row:
    """A finding.

    Attributes:
        part: that it belongs to.
        what: was checked or measured.
        found: numbers, in words.
        passed: whether it is as it must be; None for what is measured only.
    """

    part: str
    what: str
    found: str
    passed: bool | None = None

    @property
    def verdict(self) -> str:
        """For the table."""
        return {True: "ok", False: "FAILED", None: ""}[self.passed]


@dataclass
class Report:
    """Collects rows; prints each as it comes, since a machine may be taken back at any moment.

    Attributes:
        seconds: that all parts together may take.
    """

    seconds: float
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.begun)

    def add(self, part: str, what: str, found: str, passed: bool | None = None) -> None:
        """Note a finding."""
        row = Row(part, what, found, passed)
        self.rows.append(row)
        print(
            f"[{self.seconds - self.left:5.0f} s] {part}: {what}: {found} {row.verdict}".rstrip(), flush=True
        )

    def run(self, part: str, what: str, needs: float, check: Callable[[], None]) -> None:
        """Run a check that notes its own findings; whatever it raises is a failure, and the next one follows.

        Args:
            part: of the check.
            what: it looks at.
            needs: seconds that it takes, about; it is left out where fewer are left.
            check: the check.
        """
        if self.left < needs:
            self.left_out.append(
                f"{part}: {what} (takes about {needs:.0f} s, {max(0, self.left):.0f} s were left)"
            )
            return
        try:
            check()
        except OutOfTimeError:
            self.left_out.append(f"{part}: {what} (cut short: the time was over)")
        except Exception as error:  # the others must still run
            first = next(iter(str(error).splitlines()), "")
            self.add(part, what, f"{type(error).__name__}: {first}"[:300], False)

    @property
    def failed(self) -> int:
        """How many findings are not as they must be."""
        return sum(row.passed is False for row in self.rows)

    def table(self) -> str:
        """All that was found, failures and what was left out at its end."""
        lines = ["| part | what | found | |", "| --- | --- | --- | --- |"]
        lines += [f"| {row.part} | {row.what} | {row.found} | {row.verdict} |" for row in self.rows]
        lines += [f"left out, for want of time: {what}" for what in self.left_out]
        passed = sum(row.passed is True for row in self.rows)
        lines.append(
            f"{passed} checks passed, {self.failed} failed, {len(self.left_out)} parts left out, "
            f"{self.seconds - self.left:.0f} s of {self.seconds:.0f}"
        )
        return "\n".join(lines)
