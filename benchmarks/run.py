"""Runs the benchmarks one after another, each in a process of its own, and writes one Markdown table."""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

BENCHMARKS = (
    "conversion",
    "metadata_calls",
    "window",
    "memory",
    "bootstrap",
    "dry_run",
    "startup",
    "training",
)
_HEAD = ["what", "baseline", "", "ours", "", "ratio", "of processor time", "must", "aim", "data"]


def _machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    load = os.getloadavg()[0]
    return f"{cpu}, {os.cpu_count()} CPUs, load {load:.1f} at the start, Python {platform.python_version()}"


def _verdict(row: dict) -> str:
    def holds(limit: float) -> bool:
        return row["ratio"] <= limit if row["at_most"] else row["ratio"] >= limit

    if holds(row["aim"]):
        return "aim met"
    if row["must"] is None:
        return "below the aim"
    return "must met" if holds(row["must"]) else "MISSED"


def _line(row: dict) -> str:
    sign = "at most " if row["at_most"] else ""
    form = "{:.3g}".format if row["at_most"] else "{:.1f}x".format
    cells = [
        row["what"],
        row["baseline"],
        f"{row['baseline_value']:.4g} {row['unit']}",
        row["ours"],
        f"{row['our_value']:.4g} {row['unit']}",
        f"{form(row['ratio'])} ({_verdict(row)})",
        "" if row["processor_ratio"] is None else f"{row['processor_ratio']:.1f}x",
        "" if row["must"] is None else sign + form(row["must"]),
        sign + form(row["aim"]),
        row["data"],
    ]
    return "| " + " | ".join(cells) + " |"


def main(path: str) -> int:
    """Write the table; returns 1 where something required is missed."""
    lines = [f"# Benchmarks, {date.today().isoformat()}", ""]
    lines += [f"{_machine()}. One thread a process, both ways in turn, the least of many runs.", ""]
    lines += [f"| {' | '.join(_HEAD)} |", f"|{' --- |' * len(_HEAD)}"]
    rows = []
    # OpenCV and torch are told so in the scripts; this is for whatever else starts threads.
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    for name in BENCHMARKS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run(
            [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment, check=True
        )
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    lines += [_line(row) for row in rows]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(any(_verdict(row) == "MISSED" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
