"""Copy what a finished study shows into a folder that is kept with the project, with a page about it."""

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from chestct.dataset_entries import outside_sets, trained_datasets
from chestct.errors import InputError
from chestct.evidence.how_it_ran import digests, job_times, machine, wall_seconds
from chestct.evidence.page import BY_MODEL, contrasts_by_model, page
from chestct.figures.names import TABLES
from chestct.figures.study_tables import StudyTables, read_study
from chestct.files import (
    cannot_write,
    digest_object,
    is_full,
    make_folder,
    sha256_file,
    sync_disk,
    sync_folder,
)
from chestct.records import read_recorded
from chestct.run_grid import list_runs

#: Tables to copy: name there, and path in the results folder.
COPIED = {
    "results.csv": "figures/results.csv",
    "contrasts.csv": "figures/contrasts.csv",
    "claims.csv": "figures/claims.csv",
    "budgets.csv": "figures/budgets.csv",
    "claims_numbers.csv": "evaluation/claims.csv",
    "claims_by_dataset.csv": "evaluation/claims_by_dataset.csv",
}
#: Figures to copy, if the study has what they show.
FIGURES = (
    "auroc_by_percent",
    "paired_differences",
    "auroc_by_percent_per_model",
    "forest",
    "video_3d_vs_2d",
    "probe_vs_finetuned",
    "label_efficiency",
    "learning_curves",
    "same_arm",
)
_MAX_WIDTH_PX, _NUM_COLOURS = 1600, 64
_PAGE, _FACTS = "README.md", "evidence.json"


@dataclass(frozen=True, kw_only=True)
class FinishedStudy:
    """A study whose last file, the report, has been written.

    Attributes:
        configuration: resolved, plain data.
        results: its folder of results.
        data: folder of the downloads.
    """

    configuration: dict[str, Any]
    results: Path
    data: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.configuration["study"])

    def table(self, name: str) -> Path:
        """A table that figures read."""
        return self.results / TABLES[name] / f"{name}.csv"

    def read(self) -> StudyTables:
        """The study's tables.

        Raises:
            InputError: a table is missing or broken.
        """
        entries = self.configuration["datasets"]
        outside = {one.name: (one.trained, one.tested) for one in outside_sets(entries)}
        datasets = [entry["name"] for entry in entries] + list(outside)
        scans = [outside[name][1] if name in outside else name for name in datasets]
        return read_study(
            manifests=[self.data / name / "manifest.json" for name in scans],
            datasets=datasets,
            confidence=self.configuration["evaluation"]["confidence"],
            outside=outside,
            **{name: self.table(name) for name in TABLES},
        )

    def check(self) -> None:
        """Stop unless the study is finished and its report is of this configuration.

        Raises:
            InputError: a file is missing, what is copied or the report is older than a table that it shows,
                a figure is newer than the report, or the report is of another configuration.
        """
        self.check_files()
        report, tables = self.results / "report.html", [self.table(name) for name in TABLES]
        figures = [self.results / "figures" / f"{name}.png" for name in self.shown_figures()]
        late = [path.name for path in [*tables, *figures] if _time(path) > _time(report)]
        if late:
            raise self._unfinished(f"{late[0]} is newer than the report")
        # The tables for publication are written beside the report, before or after it.
        newest = max(tables, key=_time)
        made = [self.results / path for path in COPIED.values() if path.startswith("figures/")]
        stale = [path.name for path in [*made, *figures] if _time(path) < _time(newest)]
        if stale:
            raise self._unfinished(f"{stale[0]} is older than {newest.name}, which it shows")

    def check_files(self) -> None:
        """As ``check``, but times do not count: a copy of a study may have lost them.

        Raises:
            InputError: a file is missing, or the report is of another configuration.
        """
        others = [*COPIED.values(), "figures/figures.json", "events.jsonl", "report.html"]
        needed = [*(self.table(name) for name in TABLES), *(self.results / path for path in others)]
        missing = [str(path.relative_to(self.results)) for path in needed if not path.is_file()]
        if missing:
            missing = list(dict.fromkeys(missing))
            raise self._unfinished(f"{len(missing)} file(s) are missing: {', '.join(missing[:5])}")
        digest = digest_object(self.configuration)
        if digest not in (self.results / "report.html").read_text(encoding="utf-8"):
            raise self._unfinished(f"its report is of another configuration than {digest}")

    def shown_figures(self) -> list[str]:
        """Those of ``FIGURES`` that show something: no reason against them is stated."""
        index = self.results / "figures" / "figures.json"
        reasons = json.loads(read_recorded(index))
        return [name for name in FIGURES if name in reasons and not reasons[name]]

    def check_runs(self, runs: pd.DataFrame, means: pd.DataFrame) -> None:
        """Stop where the table of runs lacks one that the configuration names.

        Args:
            runs, means: tables of the study.

        Raises:
            InputError: names the first of them.
        """
        columns = ["dataset", "model", "init", "percent", "seed", "fold"]
        done = set(runs[columns].itertuples(index=False, name=None))
        wanted = [tuple(run.asdict()[column] for column in columns) for run in list_runs(self.configuration)]
        missing = [run for run in wanted if run not in done]
        if missing:
            raise self._unfinished(f"{len(missing)} of {len(wanted)} runs are missing: {missing[0]}")
        lacking = set(trained_datasets(self.configuration["datasets"])) - set(means["dataset"])
        if lacking:
            raise self._unfinished(f"not evaluated: {', '.join(sorted(lacking))}")

    def _unfinished(self, what: str) -> InputError:
        return InputError(
            f"the study {self.name} is not finished: {what}",
            where=self.results,
            expected="the results of a whole run of this configuration",
            remedy="run it to its end (make study with the same STUDY) and give this command again",
        )


def publish(study: FinishedStudy, folder: Path, command: str) -> list[Path]:
    """Write tables, figures, ``evidence.json`` and ``README.md`` of a finished study to a folder.

    The folder is new or old as a whole: all is written beside it, and then takes its place.

    Args:
        study: what to publish.
        folder: where; it is new, empty, or that of an earlier call for the same study, which is replaced.
        command: with which the study was run.

    Returns:
        The files written.

    Raises:
        InputError: the study is not finished, a table of it is broken, or the folder holds anything else;
            nothing is written then.
    """
    folder = folder.resolve()
    study.check()
    tables = study.read()
    study.check_runs(tables.runs, tables.means)
    _check_folder(folder, study.name)
    with replaced_folder(folder) as new:
        for name, source in COPIED.items():
            shutil.copyfile(study.results / source, new / name)
        contrasts_by_model(tables).to_csv(new / BY_MODEL, index=False)
        figures = [f"{name}.png" for name in study.shown_figures()]
        for name in figures:
            _copy_small(study.results / "figures" / name, new / name)
        written = [*COPIED, BY_MODEL, *figures]
        facts = _facts(study, tables, command, [new / name for name in written])
        (new / _FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        (new / _PAGE).write_text(page(tables, facts, written), encoding="utf-8")
    return [folder / name for name in (*written, _FACTS, _PAGE)]


def _time(path: Path) -> float:
    return path.stat().st_mtime


def _check_folder(folder: Path, name: str) -> None:
    """Stop where the folder holds another study's evidence, or what is no evidence."""
    if not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        earlier, own = facts["study"], {*facts["sha256"], _FACTS, _PAGE}
    except (OSError, ValueError, KeyError, TypeError):
        earlier, own = name, set()
    others = sorted(found - own)
    if others or earlier != name:
        raise InputError(
            f"the folder holds other files: {', '.join(others[:5])}"
            if others
            else f"the folder holds the evidence of another study: {earlier}",
            where=folder,
            expected=f"a new folder, or one with the evidence of {name} alone",
            remedy="name another one (make evidence EVIDENCE=folder), or move what is there elsewhere",
        )


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` on success and vanishes on failure.

    Raises:
        InputError: the disk or quota is full, or there is no permission.
    """
    try:
        with _replaced_folder(folder) as new:
            yield new
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) or is_full(error, folder.parent):
            raise cannot_write(folder, error) from error
        raise


@contextmanager
def _replaced_folder(folder: Path) -> Iterator[Path]:
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        new, old = Path(beside, "new"), Path(beside, "old")
        new.mkdir()
        yield new
        sync_disk(new)
        if folder.exists():
            folder.replace(old)
        try:
            new.replace(folder)
        except OSError:
            if old.exists():
                old.replace(folder)
            raise
        sync_folder(folder.parent)


def _facts(study: FinishedStudy, tables: StudyTables, command: str, written: list[Path]) -> Mapping[str, Any]:
    seconds = job_times(study.results / "benchmarks")
    return {
        "study": study.name,
        "command": command,
        "machine": machine() | {"devices": sorted(tables.runs["device"].unique())},
        "num_runs": len(tables.runs),
        "wall_seconds": round(wall_seconds(study.results / "events.jsonl"), 1),
        "cpu_seconds": round(sum(own["cpu_seconds"] for own in seconds.values()), 1),
        "jobs": seconds,
        **digests(study.configuration, tables.runs, study.results / "download" / "data_manifest.json"),
        "sha256": {path.name: sha256_file(path) for path in written},
    }


def _copy_small(source: Path, target: Path) -> None:
    """A figure with a palette of few colours, no wider than a page on screen."""
    with Image.open(source) as image:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
    flat.thumbnail((_MAX_WIDTH_PX, 10 * _MAX_WIDTH_PX), Image.Resampling.LANCZOS)
    small = flat.quantize(_NUM_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(target, "PNG", optimize=True)
