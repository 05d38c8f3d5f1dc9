"""Copy what a finished study shows into a folder that is kept with the project, with a page about it."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from chestct.dataset_entries import outside_sets, trained_datasets
from chestct.errors import InputError
from chestct.evidence.how_it_ran import digests, job_times, machine, wall_seconds
from chestct.evidence.page import BY_MODEL, contrasts_by_model, page
from chestct.figures.names import TABLES
from chestct.figures.study_tables import StudyTables, read_study
from chestct.files import atomic_path, digest_object, sha256_file, write_text
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
    "auroc_by_percent_per_model",
    "forest",
    "video_3d_vs_2d",
    "probe_vs_finetuned",
    "label_efficiency",
    "learning_curves",
    "same_arm",
)
_MAX_WIDTH_PX, _NUM_COLOURS = 1600, 64


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
            InputError: a file or a run is missing, the report is older than a table that it shows, or it is
                of another configuration.
        """
        report = self.results / "report.html"
        tables = [self.table(name) for name in TABLES]
        others = [*COPIED.values(), "figures/figures.json", "events.jsonl", "report.html"]
        needed = [*tables, *(self.results / path for path in others)]
        missing = [str(path.relative_to(self.results)) for path in needed if not path.is_file()]
        if missing:
            missing = list(dict.fromkeys(missing))
            raise self._unfinished(f"{len(missing)} file(s) are missing: {', '.join(missing[:5])}")
        late = [path.name for path in tables if path.stat().st_mtime > report.stat().st_mtime]
        if late:
            raise self._unfinished(f"{late[0]} is newer than the report")
        digest = digest_object(self.configuration)
        if digest not in report.read_text(encoding="utf-8"):
            raise self._unfinished(f"its report is of another configuration than {digest}")

    def check_runs(self, study: StudyTables) -> None:
        """Stop where the table of runs lacks one that the configuration names.

        Raises:
            InputError: names the first of them.
        """
        columns = ["dataset", "model", "init", "percent", "seed", "fold"]
        done = set(study.runs[columns].itertuples(index=False, name=None))
        wanted = [tuple(run.asdict()[column] for column in columns) for run in list_runs(self.configuration)]
        missing = [run for run in wanted if run not in done]
        if missing:
            raise self._unfinished(f"{len(missing)} of {len(wanted)} runs are missing: {missing[0]}")
        lacking = set(trained_datasets(self.configuration["datasets"])) - set(study.means["dataset"])
        if lacking:
            raise self._unfinished(f"not evaluated: {', '.join(sorted(lacking))}")

    def _unfinished(self, what: str) -> InputError:
        return InputError(
            f"the study {self.name} is not finished: {what}",
            where=self.results,
            expected="the results of a whole run of this configuration",
            remedy="run it to its end (make study with the same STUDY) and publish again",
        )


def publish(study: FinishedStudy, folder: Path, command: str) -> list[Path]:
    """Write tables, figures, ``evidence.json`` and ``README.md`` of a finished study to a folder.

    Args:
        study: what to publish.
        folder: where; files of an earlier call are replaced.
        command: with which the study was run.

    Returns:
        The files written.

    Raises:
        InputError: the study is not finished, or a table of it is broken; nothing is written then.
    """
    study.check()
    tables = study.read()
    study.check_runs(tables)
    written = []
    for name, source in COPIED.items():
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(study.results / source, temporary)
        written.append(folder / name)
    with atomic_path(folder / BY_MODEL) as temporary:
        contrasts_by_model(tables).to_csv(temporary, index=False)
    written.append(folder / BY_MODEL)
    reasons = json.loads((study.results / "figures" / "figures.json").read_text(encoding="utf-8"))
    for name in FIGURES:
        target = folder / f"{name}.png"
        target.unlink(missing_ok=True)
        if name in reasons and not reasons[name]:
            _copy_small(study.results / "figures" / f"{name}.png", target)
            written.append(target)
    facts = _facts(study, tables, command, written)
    write_text(folder / "evidence.json", json.dumps(facts, indent=2) + "\n")
    write_text(folder / "README.md", page(tables, facts, [path.name for path in written]))
    return [*written, folder / "evidence.json", folder / "README.md"]


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
    with atomic_path(target) as temporary:
        small.save(temporary, "PNG", optimize=True)
