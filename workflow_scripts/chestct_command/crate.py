"""``chestct crate``: a finished study as a folder that explains itself to programs (Workflow Run RO-Crate).

The folder holds what is made to be passed on: report, figures, tables that name neither patients nor scans,
the manifests for publication, the workflow and its configuration. Local paths are cut to their last part, as
in the report.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml

import chestct
from chestct.errors import InputError
from chestct.evidence.how_it_ran import digests, wall_seconds
from chestct.evidence.publish import FinishedStudy, replaced_folder
from chestct.figures.claim_sentences import verdict_words
from chestct.figures.names import SCHEMAS, TABLES
from chestct.figures.wording import hide_folders
from chestct.files import sha256_file
from chestct.records import check_record, read_recorded
from chestct.status.events import read_events
from chestct.tables import is_private, read_table, without_formulas
from chestct_command.crate_metadata import (
    CONFIGURATION,
    CRATE_FILE,
    README,
    WORKFLOW,
    CrateFacts,
    CrateFile,
    crate_metadata,
)
from chestct_command.project import read_configuration

#: Files of the project that the run was made by, and its folders of code with what they hold.
_PROJECT = {
    WORKFLOW: "the workflow",
    "config.yaml": "the configuration of the default study",
    "requirements.lock": "every package of the environment with its hashes",
    "pyproject.toml": "the package",
    "LICENSE": "licence of the workflow",
    "CITATION.cff": "how to cite the workflow",
}
_FOLDERS = {
    "rules/": "rules of the workflow",
    "schemas/": "columns of every table, keys of the configuration",
    "envs/": "environments of the steps",
    "report/": "captions of the workflow's own report",
    "workflow_scripts/": "scripts of the rules, and the package chestct",
}
_FIGURES = {
    ".png": "figure",
    ".pdf": "figure",
    ".csv": "table for a manuscript",
    ".md": "table for a manuscript",
    ".tex": "table for a manuscript",
}
_PUBLISHED = "cases, splits and subsets in the form for publication"
_EVENTS = "events.jsonl"
_ABOUT = """# Run of the study {study}

A Workflow Run RO-Crate: `ro-crate-metadata.json` says what ran, on which data and weights, with which
software, and what came out. Begin with `results/{study}/report.html`. What to cite, and the licences of data
and weights: `results/{study}/download/citations.md`. The workflow is under the MIT licence (`LICENSE`).
"""


def crate(
    folder: Path, names: Sequence[str], target: Path | None, results: Path | None, agent: str | None
) -> int:
    """Write the crate of a finished study; prints where.

    Args:
        folder: of the project.
        names: of the study's overlays; none is the default study.
        target: folder to write; results/STUDY/crate without. An earlier crate there is replaced as a whole.
        results: of the study; results/STUDY without.
        agent: who ran the study, if that is to be said.

    Raises:
        InputError: the study is not finished or damaged, or the folder holds anything else.
    """
    configuration = read_configuration(folder, names)
    study = FinishedStudy(
        configuration=configuration,
        results=results or folder / "results" / configuration["study"],
        data=folder / configuration["data_dir"],
    )
    command = " ".join(["make study", *([f'STUDY="{" ".join(names)}"'] if names else [])])
    print(write_crate(study, folder, target or study.results / "crate", command, agent))
    return 0


def write_crate(study: FinishedStudy, folder: Path, target: Path, command: str, agent: str | None) -> Path:
    """Write the crate of a finished study; returns the path of its metadata.

    Args:
        study: to write.
        folder: of the project.
        target: folder to write.
        command: with which the study was run.
        agent: who ran it, if that is to be said.

    Raises:
        InputError: as of ``crate``.
    """
    configuration, results = study.configuration, study.results
    study.check_files()
    runs, means, claims = (read_table(study.table(name), name) for name in ("runs", "means", "claims"))
    study.check_runs(runs, means)
    target = target.resolve()
    _check_target(target)
    manifest = results / "download" / "data_manifest.json"
    facts = hide_folders(json.loads(read_recorded(manifest)))
    known = digests(configuration, runs, manifest)
    started, ended = _times(results / _EVENTS)
    with replaced_folder(target) as new:
        files = [*_copy_project(folder, new), *_copy_results(study, new)]
        content = crate_metadata(
            CrateFacts(
                study=study.name,
                answers=[f"{row['contrast']}: {verdict_words(row)}." for row in claims.to_dict("records")],
                version=chestct.__version__,
                started=started,
                ended=ended,
                published=datetime.now(UTC).date().isoformat(),
                command=command,
                seconds=wall_seconds(results / _EVENTS),
                agent=agent,
                datasets=facts.get("datasets", []),
                weights=facts["weights"],
                software=_software(runs, known["versions"]),
                settings={
                    "seeds": ", ".join(map(str, configuration["seeds"])),
                    "digest of the configuration": known["configuration"],
                    "digests of the training code": ", ".join(known["training_code"]),
                    **{
                        f"digests of the data of {name}": ", ".join(own)
                        for name, own in known["data"].items()
                    },
                },
                files=files,
                folders=_FOLDERS,
            )
        )
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (new / CRATE_FILE).write_text(text, encoding="utf-8")
    return target / CRATE_FILE


def _check_target(target: Path) -> None:
    """Stop where the folder holds anything but an earlier crate of this command."""
    if not target.exists():
        return
    found = {path.name for path in target.iterdir()} if target.is_dir() else {target.name}
    own = {CRATE_FILE, README, CONFIGURATION, "results", *_PROJECT, *(name.rstrip("/") for name in _FOLDERS)}
    others = sorted(found - own) if CRATE_FILE in found else sorted(found)
    if others:
        raise InputError(
            f"the folder holds other files: {', '.join(others[:5])}",
            where=target,
            expected="a new folder, or one with an earlier crate alone",
            remedy="name another one (chestct crate -o FOLDER), or move what is there elsewhere",
        )


def _copy_project(folder: Path, new: Path) -> Iterator[CrateFile]:
    for name, what in _PROJECT.items():
        text = hide_folders((folder / name).read_text(encoding="utf-8")) if name == "config.yaml" else None
        yield _put(new, name, what, text=text, source=folder / name)
    for name in _FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", ".*", "*.pyc", "*.egg-info")
        shutil.copytree(folder / name, new / name, ignore=ignored)


def _copy_results(study: FinishedStudy, new: Path) -> Iterator[CrateFile]:
    results, where = study.results, f"results/{study.name}"
    text = yaml.safe_dump(hide_folders(dict(study.configuration)), sort_keys=False, allow_unicode=True)
    yield _put(new, README, "what this folder is", text=_ABOUT.format(study=study.name))
    yield _put(new, CONFIGURATION, "the whole configuration of the study", text=text)
    report = results / "report.html"
    yield _put(new, f"{where}/report.html", "the study on one page", source=report, is_result=True)
    for path in sorted((results / "figures").iterdir()):
        if path.suffix in _FIGURES and not path.name.startswith("."):
            what = f"{_FIGURES[path.suffix]} {path.stem}"
            yield _put(new, f"{where}/figures/{path.name}", what, source=path, is_result=True)
    for name, step in TABLES.items():
        schema = SCHEMAS.get(name, name)
        if is_private(schema):
            continue
        text = _shown(read_table(study.table(name), schema))
        what = f"table {name} (schemas/{schema}.schema.yaml)"
        yield _put(new, f"{where}/{step}/{name}.csv", what, text=text, is_result=True)
    for path in sorted((results / "publication").glob("*/*.csv")):
        check_record(path, "table for publication")
        name = f"{where}/publication/{path.parent.name}/{path.name}"
        yield _put(new, name, _PUBLISHED, source=path, is_result=True)
    manifest = json.loads(read_recorded(results / "download" / "data_manifest.json"))
    text = json.dumps(hide_folders(manifest), indent=2) + "\n"
    yield _put(new, f"{where}/download/data_manifest.json", "which data and weights were used", text=text)
    citations = results / "download" / "citations.md"
    if citations.is_file():
        text = hide_folders(citations.read_text(encoding="utf-8"))
        yield _put(new, f"{where}/download/citations.md", "what to cite, and licences of data", text=text)
    text = hide_folders((results / _EVENTS).read_text(encoding="utf-8", errors="replace"))
    yield _put(new, f"{where}/{_EVENTS}", "jobs of the workflow, started, finished and failed", text=text)


def _shown(table: pd.DataFrame) -> str:
    """A table as CSV without local paths, and without what a spreadsheet would compute."""
    texts = table.select_dtypes(include=["string", "object"]).columns
    shown = table.assign(**{name: hide_folders(table[name].tolist()) for name in texts})
    return without_formulas(shown).to_csv(index=False)


def _put(
    new: Path,
    name: str,
    what: str,
    *,
    text: str | None = None,
    source: Path | None = None,
    is_result: bool = False,
) -> CrateFile:
    """Put a text, or a copy of a file, into the crate."""
    path = new / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.write_text(text, encoding="utf-8")
    else:
        assert source is not None
        shutil.copyfile(source, path)
    size = path.stat().st_size
    return CrateFile(path=name, what=what, size_bytes=size, sha256=sha256_file(path), is_result=is_result)


def _times(events: Path) -> tuple[str, str]:
    """When the first job began and the last event came, ISO 8601."""
    times = [float(event["time"]) for event in read_events(events)]
    if not times:
        raise InputError(
            "the study has no events, by which a run is known",
            where=events,
            expected="lines that a run of the workflow writes",
            remedy="run the study with a profile of the project (make study), which also writes events",
        )
    first, last = (datetime.fromtimestamp(time, UTC) for time in (min(times), max(times)))
    return first.isoformat(timespec="seconds"), last.isoformat(timespec="seconds")


def _software(runs: pd.DataFrame, versions: dict[str, str]) -> dict[str, str]:
    """Versions: of Python and torch those that trained, of the others those of this environment."""
    trained = {name: sorted(runs[name].dropna().astype(str).unique()) for name in ("python", "torch")}
    return versions | {name: ", ".join(found) for name, found in trained.items() if found}
