"""Whether what jobs ask for can ever be had, before the first of them waits for it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chestct.errors import InputError
from chestct.jobs.slurm_site import Partition

PROFILE = "profiles/slurm/config.yaml, default-resources"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a rule's jobs ask for at their first attempt.

    Attributes:
        rule: name of the rule.
        partition: that they name; None for the site's default.
        mem_mb, minutes, cpus: of one node.
    """

    rule: str
    partition: str | None
    mem_mb: int
    minutes: int
    cpus: int

    @classmethod
    def of(cls, rule: str, resources: Mapping[str, Any], threads: int) -> "Request":
        """The request of a job, by its resources; what is not known before it starts counts as nothing."""
        asked = {name: value for name, value in resources.items() if isinstance(value, int)}
        return cls(
            rule=rule,
            partition=resources.get("slurm_partition") or None,
            mem_mb=asked.get("mem_mb", 0),
            minutes=asked.get("runtime", 0),
            cpus=threads,
        )


@dataclass(frozen=True)
class _Limit:
    """What a partition has of one thing that jobs ask for."""

    asked: int
    largest: float
    grows: bool
    key: str
    words: str


def _limits(request: Request, partition: Partition) -> Iterator[_Limit]:
    yield _Limit(request.minutes, partition.minutes, True, "max_runtime", "minutes, after which it ends jobs")
    yield _Limit(request.mem_mb, partition.mem_mb, True, "max_mem_mb", "MB of memory on its largest node")
    yield _Limit(request.cpus, partition.cpus, False, "training.threads", "processors on its largest node")


def _largest_of(names: str, rule: str, partitions: Mapping[str, Partition]) -> Partition:
    """What the best of the partitions that jobs may go to gives; names are separated by commas."""
    chosen = [name.strip() for name in names.split(",")]
    absent = [name for name in chosen if name not in partitions]
    if absent:
        raise InputError(
            f"jobs of {rule} are for the partition {absent[0]}, which this site does not have",
            where=PROFILE,
            expected=f"one of {', '.join(sorted(partitions))}",
            remedy="correct slurm_partition, gpu_partition or download_partition",
        )
    found = [partitions[name] for name in chosen]
    return Partition(
        name=names,
        default=False,
        minutes=max(one.minutes for one in found),
        mem_mb=max(one.mem_mb for one in found),
        cpus=max(one.cpus for one in found),
    )


def check_requests(
    requests: Iterable[Request],
    partitions: Mapping[str, Partition],
    site: Mapping[str, str],
    *,
    retries: int,
) -> list[str]:
    """Compare what jobs ask for with what their partitions give.

    Args:
        requests: of all jobs that are to be submitted.
        partitions: of the site; none where it does not say.
        site: default resources of the profile.
        retries: after a job that ended badly; memory and time double with each, up to the site's
            ``max_mem_mb`` and ``max_runtime``.

    Returns:
        What is to be said of later attempts, which may ask for more than there is: a sentence for each key of
        the profile that would prevent it.

    Raises:
        InputError: jobs ask for more than their partition gives at the first attempt, or it does not exist:
            they would wait forever.
    """
    later: dict[tuple[str, str], tuple[float, str]] = {}
    default = next((name for name, partition in partitions.items() if partition.default), None)
    for request in sorted(set(requests), key=lambda one: (one.rule, one.minutes, one.mem_mb)):
        name = request.partition or default
        if not partitions or name is None:
            continue
        for limit in _limits(request, _largest_of(name, request.rule, partitions)):
            if limit.asked > limit.largest:
                where = PROFILE if limit.grows else f"configuration key '{limit.key}'"
                raise InputError(
                    f"jobs of {request.rule} ask for {limit.asked}, and partition {name} has "
                    f"{limit.largest:.0f} {limit.words}: they would wait forever",
                    where=where,
                    expected="no more than the partition has",
                    remedy=f"set {limit.key}: {math.floor(limit.largest)}, or name another partition",
                )
            cap = float(site.get(limit.key) or math.inf) if limit.grows else 0
            if limit.grows and min(limit.asked * 2**retries, cap) > limit.largest:
                sentence = (
                    f"A job of {request.rule} that ends for want of it would ask partition {name} for more "
                    f"than its {limit.largest:.0f} {limit.words}, in vain: set "
                    f"{limit.key}: {math.floor(limit.largest)} in {PROFILE}."
                )
                known = later.get((name, limit.key), (0, ""))
                later[name, limit.key] = max(known, (limit.asked, sentence))
    return [sentence for _, sentence in later.values()]


def too_many_for_arrays(
    numbers: Mapping[str, float], array_rules: Iterable[str], largest: int
) -> dict[str, str]:
    """Rules of arrays that have more jobs than the tasks of an array can be numbered, with a sentence each.

    The plugin (2.8.0) splits the ready jobs of a rule into arrays and numbers them onward, so that the last
    ones get numbers beyond the site's MaxArraySize: they are refused, and tried again with twice the memory.

    Args:
        numbers: of jobs by rule; NaN where it is not known yet.
        array_rules: rules whose jobs are submitted as arrays, or ``all``.
        largest: number that a task may have.
    """
    rules = {*array_rules}
    rules = {*numbers} if "all" in rules else rules & {*numbers}
    found = {}
    for rule in sorted(rules):
        if not numbers[rule] <= largest:
            shown = "a number of jobs that is not known yet" if math.isnan(numbers[rule]) else None
            shown = shown or f"{numbers[rule]:,.0f} jobs"
            found[rule] = (
                f"{rule} has {shown}, and this site numbers the tasks of an array up to {largest:,} "
                "(MaxArraySize): they are submitted one by one."
            )
    return found
