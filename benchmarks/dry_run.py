"""How long Snakemake needs for the paper's study beyond its own start-up, before the first job starts.

With all series listed (8,297 scans in 208 shards), which is when the most jobs are known.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
from setting import ROOT, best_seconds, emit, scratch

from chestct.records import record

_COPIED = ("Snakefile", "config.yaml", "docs", "envs", "profiles", "rules", "schemas", "studies")
_SCANS = {"rspect": 7_279, "lidc": 1_018}
_NOTHING = 'rule all:\n    output: "done"\n    shell: "touch {output}"\n'


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


def _dry_run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


def main() -> None:
    with scratch() as folder:
        project, nothing = folder / "project", folder / "nothing"
        project.mkdir()
        nothing.mkdir()
        (nothing / "Snakefile").write_text(_NOTHING)
        for name in _COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, project / name)
        shutil.copytree(ROOT / "workflow_scripts", project / "workflow_scripts")
        _write_listing(project)
        study = ("--configfile", "studies/paper.yaml")
        jobs = next(line.split()[1] for line in _dry_run(project, *study).splitlines() if "total" in line)
        seconds = best_seconds(
            {"start": lambda: _dry_run(nothing), "study": lambda: _dry_run(project, *study)}, 3
        )
        more = seconds["study"].wall - seconds["start"].wall
        emit(
            "Dry run of the paper's study",
            baseline="a workflow of one rule",
            ours=f"studies/paper.yaml, {int(jobs):,} jobs",
            baseline_value=seconds["start"].wall,
            our_value=seconds["study"].wall,
            unit="s",
            ratio=more / 10,
            must=1.0,
            aim=0.8,
            at_most=True,
            data="all series listed, nothing done; ratio: seconds beyond start-up to 10 s",
        )


if __name__ == "__main__":
    main()
