"""How long Snakemake needs for the paper's study beyond its own start-up, before the first job starts.

With all series listed (8,297 scans in 208 shards), which is when the most jobs are known. Beside it, a
workflow of as many jobs of one plain rule: what Snakemake itself takes for a job.

``python benchmarks/dry_run.py 45`` makes one measurement of the study with 45 seeds in the place of three.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml
from setting import ROOT, emit, scratch

from chestct.records import record

_COPIED = ("Snakefile", "config.yaml", "envs", "profiles", "rules", "schemas", "studies")
_SCANS = {"rspect": 7_279, "lidc": 1_018}
_NOTHING = 'rule all:\n    output: "done"\n    shell: "touch {output}"\n'
#: Jobs with as many files, logs and parameters as fine-tuning has, but without a function.
_PLAIN = """
rule all:
    input: expand("done/{number}/{name}", number=range(NUMBER), name=["weights", "history"])
rule first:
    output: "index", "windows", "splits"
    shell: "touch {output}"
rule job:
    input: "index", "windows", "splits"
    output: expand("done/{{number}}/{name}", name=["weights", "history", "record", "resolved"])
    log: "logs/{number}.log"
    benchmark: "benchmarks/{number}.tsv"
    resources: mem_mb=4000, runtime=60
    params: settings="settings", catalogue="catalogue", code="code"
    script: "job.py"
"""
_REPEATS = 3


def _write_listing(project: Path) -> None:
    """What ``list_series`` leaves, with made-up identifiers."""
    for dataset, number in _SCANS.items():
        folder = project / "data" / dataset
        folder.mkdir(parents=True)
        scans = pd.DataFrame({"patient_id": [f"patient-{i}" for i in range(number)]})
        scans = scans.assign(dataset=dataset, num_instances=240, num_bytes=0, path="folder")
        scans["study_id"] = scans["patient_id"] + "-study"
        scans["series_id"] = scans["patient_id"] + "-series"
        scans.assign(shard=scans.index // 40).to_csv(folder / "series.csv", index=False)
        record(folder / "series.csv")
        (folder / "left_out.csv").write_text("dataset,patient_id,study_id,series_id,reason\n")
        (folder / "manifest.json").write_text("{}")


class _DryRun(NamedTuple):
    """Jobs, seconds by the clock and of processor time."""

    jobs: int
    wall: float
    processor: float


def _dry_run(folder: Path, *arguments: str) -> _DryRun:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = os.times()
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    after = os.times()
    used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    jobs = next(line.split()[1] for line in done.stdout.splitlines() if "total" in line)
    return _DryRun(int(jobs), after.elapsed - before.elapsed, used)


def _projects(folder: Path) -> tuple[Path, Path, Path]:
    """Three folders: of the project, all series listed; of one rule; and of many plain jobs."""
    project, nothing, plain = folder / "project", folder / "nothing", folder / "plain"
    for path in (project, nothing, plain):
        path.mkdir()
    (nothing / "Snakefile").write_text(_NOTHING)
    (plain / "job.py").write_text("")
    for name in _COPIED:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, project / name)
    shutil.copytree(ROOT / "workflow_scripts", project / "workflow_scripts")
    _write_listing(project)
    return project, nothing, plain


def measure(seeds: int | None = None, repeats: int = _REPEATS) -> dict[str, _DryRun]:
    """The shortest of some dry runs in turn, of nothing, of the study, and of as many plain jobs.

    Args:
        seeds: of the study; None: as studies/paper.yaml has them.
        repeats: so many are measured, after a first one that is not, or that one alone.
    """
    with scratch() as folder:
        project, nothing, plain = _projects(folder)
        study = project / "studies" / "paper.yaml"
        if seeds is not None:
            values = yaml.safe_load(study.read_text()) | {"seeds": list(range(seeds))}
            study.write_text(yaml.safe_dump(values))
        runs: dict[str, list[_DryRun]] = {}
        for _ in range(repeats + 1):
            runs.setdefault("start", []).append(_dry_run(nothing))
            runs.setdefault("study", []).append(_dry_run(project, "--configfile", "studies/paper.yaml"))
            (plain / "Snakefile").write_text(f"NUMBER = {runs['study'][0].jobs}\n{_PLAIN}")
            runs.setdefault("plain", []).append(_dry_run(plain))
        # Other processes lengthen both times; the least counts.
        least = {
            name: [min(times) for times in zip(*kept[-repeats:], strict=True)] for name, kept in runs.items()
        }
        return {name: _DryRun(int(jobs), wall, used) for name, (jobs, wall, used) in least.items()}


def main() -> None:
    least = measure()
    start, study, plain = least["start"], least["study"], least["plain"]
    emit(
        "Dry run of the paper's study",
        baseline="a workflow of one rule",
        ours=f"studies/paper.yaml, {study.jobs:,} jobs",
        baseline_value=start.wall,
        our_value=study.wall,
        unit="s",
        ratio=(study.wall - start.wall) / 10,
        must=1.0,
        aim=0.8,
        at_most=True,
        data="all series listed, nothing done; ratio: seconds beyond start-up to 10 s",
    )
    ours, usual = ((run.processor - start.processor) / run.jobs * 1000 for run in (study, plain))
    emit(
        "A job of that dry run",
        baseline=f"{plain.jobs:,} jobs of one plain rule",
        ours=f"studies/paper.yaml, {study.jobs:,} jobs",
        baseline_value=usual,
        our_value=ours,
        unit="ms",
        ratio=ours / usual,
        must=None,
        aim=2.0,
        at_most=True,
        data="processor time beyond start-up, by the number of jobs",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        for name, run in measure(int(sys.argv[1]), repeats=0).items():
            print(f"{name}: {run.jobs:,} jobs, {run.wall:.1f} s, {run.processor:.1f} s of the processor")
    else:
        main()
