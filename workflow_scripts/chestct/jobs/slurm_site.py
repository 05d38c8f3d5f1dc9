"""What a Slurm site says of itself: how long its arrays may be, and what its partitions give a job."""

import math
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Slurm's own MaxArraySize, where the site's cannot be read.
_USUAL_ARRAY_SIZE = 1001
#: What ``sinfo`` is asked for, a line a node and partition.
SINFO = ("sinfo", "--all", "--Node", "--noheader", "--format=%P|%l|%m|%c")


@dataclass(frozen=True, kw_only=True)
class Partition:
    """What a partition gives one job at most.

    Attributes:
        name: of the partition.
        default: whether jobs go there that name none.
        minutes: after which it ends jobs; infinite without a limit.
        mem_mb: of its largest node.
        cpus: of its largest node.
    """

    name: str
    default: bool
    minutes: float
    mem_mb: int
    cpus: int


def output_of(command: Iterable[str], environment: Mapping[str, str] | None = None) -> str | None:
    """Output of a command of Slurm; None where there is no such command, or it fails."""
    try:
        done = subprocess.run(
            [*command], capture_output=True, text=True, timeout=60, env=environment, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def largest_array(configuration: str | None) -> int:
    """The largest number that a task of an array may have: one less than the site's MaxArraySize.

    Args:
        configuration: output of ``scontrol show config``; None where it cannot be had.
    """
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", configuration or "", re.MULTILINE)
    return (int(found[1]) if found else _USUAL_ARRAY_SIZE) - 1


def in_minutes(limit: str) -> float:
    """Minutes of a time limit as Slurm prints it (``30:00``, ``1-12:00:00``); infinite where it is none.

    >>> in_minutes("1-02:03:30")
    1563.5
    """
    days, _, clock = limit.strip().rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if days else []))):
        return math.inf  # infinite, n/a
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return int(days or 0) * 1440 + seconds / 60


def read_partitions(lines: str) -> dict[str, Partition]:
    """The partitions of a site by name, from the output of ``SINFO``; other lines are passed over."""
    found: dict[str, Partition] = {}
    for line in lines.splitlines():
        fields = line.strip().split("|")
        numbers = [re.fullmatch(r"(\d+)\+?", field.strip()) for field in fields[2:]]
        if len(fields) != 4 or not all(numbers):
            continue
        name, (mem_mb, cpus) = fields[0].strip(), (int(number[1]) for number in numbers if number)
        known = found.get(name.rstrip("*"))
        found[name.rstrip("*")] = Partition(
            name=name.rstrip("*"),
            default=name.endswith("*"),
            minutes=in_minutes(fields[1]),
            mem_mb=max(mem_mb, known.mem_mb if known else 0),
            cpus=max(cpus, known.cpus if known else 0),
        )
    return found
