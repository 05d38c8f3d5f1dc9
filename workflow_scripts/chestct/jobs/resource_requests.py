"""What jobs ask for: memory and time, nodes and GPUs, and the site's partitions.

What a site has stands among the default resources of its profile (profiles/slurm/config.yaml); here it is a
mapping of their names to text, empty where no profile states anything.
"""

import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from chestct.tables import read_table

#: What every rule's jobs ask for, beside the measurement that each number is derived from.
MEMORY_AND_TIME = Path(__file__).with_name("memory_and_time.csv")


@cache
def _rows() -> dict[str, Any]:
    rows = read_table(MEMORY_AND_TIME, "resources", recorded=False)
    return dict(zip(rows["rule"], rows.itertuples(), strict=True))


def growing(first: int, most: int | str | None = None) -> Callable[[Any, int], int]:
    """A resource that doubles with every attempt, for jobs that were ended for want of it.

    Args:
        first: what the first attempt asks for.
        most: what the site allows; beyond it a job would wait forever. None: no limit.

    Returns:
        Function of the job's wildcards and attempt (1, 2, ...).
    """
    limit = int(most or sys.maxsize)
    return lambda wildcards, attempt: min(int(first) * 2 ** (attempt - 1), limit)


def memory_and_time(rule: str, site: Mapping[str, str], *, readers: int = 0) -> dict[str, Any]:
    """Memory (MB) and time (minutes) of a rule's jobs, growing with the attempt.

    Args:
        rule: name of the rule.
        site: ``max_mem_mb`` and ``max_runtime``, where the site has such limits.
        readers: processes that read windows beside the job's own.
    """
    row, reader = _rows()[rule], _rows()["reader"]
    return {
        "mem_mb": growing(row.mem_mb + readers * reader.mem_mb, site.get("max_mem_mb")),
        "runtime": growing(row.runtime_min, site.get("max_runtime")),
    }


def partition(purpose: str, site: Mapping[str, str]) -> dict[str, str]:
    """The Slurm partition for a purpose, where the site names one beside its usual partition."""
    name = site.get(f"{purpose}_partition")
    return {"slurm_partition": name} if name else {}


def nodes_and_gpus(nodes: int, gpus: int, site: Mapping[str, str]) -> dict[str, Any]:
    """Nodes, and GPUs of every node.

    Args:
        nodes: that work together on one job.
        gpus: of every node.
        site: ``gpu_request`` says whether GPUs are asked for by number (gpu) or by name (gres);
            ``gpu_type`` and ``gpu_partition``, where only those will do.
    """
    resources: dict[str, Any] = {"nodes": nodes}
    model = site.get("gpu_type")
    if gpus and site.get("gpu_request") == "gres":
        resources["gres"] = ":".join(filter(None, ["gpu", model, str(gpus)]))
    else:
        resources["gpu"] = nodes * gpus
        resources |= {"gpu_model": model} if gpus and model else {}
    if nodes > 1:
        # The launcher starts a task a node by srun itself; the job must not begin inside one.
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
    return resources | (partition("gpu", site) if gpus else {})
