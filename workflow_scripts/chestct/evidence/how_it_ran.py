"""On what machine a study ran, how long, with which versions, data and weights."""

import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.figures.wording import hide_folders
from chestct.files import digest_object
from chestct.processor import line_of
from chestct.status.events import read_events

_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "snakemake")
_OVER = ("finished", "failed")


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine, as far as it says so."""
    facts: dict[str, Any] = {"system": platform.system(), "cores": os.cpu_count()}
    processor, memory = line_of("/proc/cpuinfo", "model name"), line_of("/proc/meminfo", "MemTotal")
    facts |= {"processor": processor} if processor else {}
    return facts | ({"memory": f"{int(memory.split()[0]) / 1e6:.0f} GB"} if memory else {})


def wall_seconds(events: Path) -> float:
    """Seconds in which at least one job of the study ran, over all its runs.

    Args:
        events: the study's events.jsonl; broken lines are left out.
    """
    spans: list[tuple[float, float]] = []
    running: dict[str, float] = {}
    for event in read_events(events):
        if event["event"] == "begun":
            running = {}  # jobs of a run that was killed never end
        elif event["event"] == "started":
            running[event["job"]] = event["time"]
        elif event["event"] in _OVER and event["job"] in running:
            spans.append((running.pop(event["job"]), event["time"]))
    return _length(spans)


def _length(spans: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals.

    >>> _length([(0, 2), (1, 3), (5, 6)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def job_times(benchmarks: Path) -> dict[str, dict[str, float]]:
    """By rule: number of jobs, their wall and processor seconds, from Snakemake's benchmark files."""
    times: dict[str, dict[str, float]] = defaultdict(lambda: {"jobs": 0, "seconds": 0.0, "cpu_seconds": 0.0})
    for path in sorted(benchmarks.rglob("*.tsv")):
        rows = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        of_rule = times[path.relative_to(benchmarks).parts[0].removesuffix(".tsv")]
        of_rule["jobs"] += 1
        of_rule["seconds"] += float(rows["s"].sum())
        of_rule["cpu_seconds"] += float(rows["cpu_time"].sum())
    return {rule: {name: round(value, 1) for name, value in own.items()} for rule, own in times.items()}


def digests(configuration: dict[str, Any], runs: pd.DataFrame, data_manifest: Path) -> dict[str, Any]:
    """Versions and digests of configuration, code, data and weights.

    Args:
        configuration: resolved.
        runs: table of the study.
        data_manifest: JSON of the download step.
    """
    data = json.loads(data_manifest.read_text(encoding="utf-8"))
    columns = {"training_code": "code_digest", "training_configuration": "config_digest"}
    return {
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "configuration": digest_object(configuration),
        **{name: sorted(runs[column].dropna().unique()) for name, column in columns.items()},
        "data": {
            str(dataset): sorted(part["data_digest"].dropna().unique())
            for dataset, part in runs.groupby("dataset", sort=False)
        },
        "data_versions": {
            dataset["dataset"]: hide_folders({key: dataset.get(key) for key in ("version", "source")})
            for dataset in data.get("datasets", ())
        },
        "weights": {row["weights_id"]: row["sha256"] for row in data["weights"]},
    }
