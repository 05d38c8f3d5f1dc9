"""What a finished study does again when something changes: what depends on the change, and nothing else."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.workflow.project import Project

PACKAGE = "workflow_scripts/chestct"
EVALUATION = {"bootstrap_metrics", "simulate_coverage", "check_validity", "collect_evaluation"}
FIGURES = {"plot_figures", "plot_examples", "write_tables", "write_report"}
#: All that follows from a change of training.
RETRAINED = {"finetune", "predict", "predict_outside", "collect_runs", *EVALUATION, *FIGURES}
RETRAINED -= {"simulate_coverage"}
#: Changes that no result depends on: file, pattern (None: the file is new), and what comes in its place.
HARMLESS = {
    "a new model": [
        (f"{PACKAGE}/models/unused.py", None, "def build_full():\n    return None\n"),
        (
            f"{PACKAGE}/catalogue.yaml",
            r"models:\n",
            "models:\n  unused: {<<: *seven, title: Unused, module: unused}\n",
        ),
    ],
    "a new source": [
        (f"{PACKAGE}/download/sources/unused.py", None, "def manifest(entry):\n    return {}\n"),
        ("schemas/config.schema.yaml", r"enum: \[phantom_rspect", "enum: [unused, phantom_rspect"),
    ],
    "a new figure": [(f"{PACKAGE}/figures/unused.py", None, "WIDTH = 1\n")],
    "memory": [(f"{PACKAGE}/jobs/memory_and_time.csv", "finetune,", "finetune,1")],
}


@pytest.fixture(scope="module")
def copied(smoke: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the finished study in another folder, in which every file has a new time."""
    folder = tmp_path_factory.mktemp("copied") / "project"
    subprocess.run(["cp", "-r", smoke.folder, folder], check=True)
    return Project(folder)


class Edits:
    """Changes of files of a project that can be undone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before: dict[Path, bytes | None] = {}

    def edit(self, path: str, old: str | None, new: str) -> None:
        """Replace the first match of the pattern ``old`` in a file, or write a new file."""
        file = self.folder / path
        self.before.setdefault(file, file.read_bytes() if old is not None else None)
        text, count = re.subn(old, lambda _: new, file.read_text(), count=1) if old is not None else (new, 1)
        assert count == 1, f"{path} does not hold {old}"
        file.write_text(text)

    def undo(self) -> None:
        """Bring every file back; their times stay new."""
        for file, content in self.before.items():
            file.unlink() if content is None else file.write_bytes(content)
        self.before.clear()


@pytest.fixture
def edits(copied: Project) -> Iterator[Edits]:
    """Changes of the copy, which are undone after the test."""
    edits = Edits(copied.folder)
    yield edits
    edits.undo()


def pending(project: Project, start: Callable = Project.ask) -> dict[str, str]:
    """Files that a run would make again, with the names of their rules."""
    rows = (line.split("\t") for line in start(project, "--summary").stdout.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 6 and row[-1] == "update pending"}


def test_what_no_result_depends_on_redoes_nothing(copied: Project, edits: Edits) -> None:
    code = [str(path.relative_to(copied.folder)) for path in copied.folder.glob("workflow_scripts/**/*.py")]
    changes = HARMLESS | {
        "comments": [(path, r"\Z", "# A remark.\n") for path in code],
        "docstrings": [(path, r'\A"""', '"""In other words: ') for path in code],
    }
    # First all at once, with new times; only where that redoes something, each alone, to say which.
    for change in chain.from_iterable(changes.values()):
        edits.edit(*change)
    for path in [*copied.folder.glob("workflow_scripts/*.py"), *copied.folder.rglob("*.csv")]:
        path.touch()
    if pending(copied, Project.run):
        guilty = {}
        for name in changes:
            edits.undo()
            for change in changes[name]:
                edits.edit(*change)
            guilty[name] = sorted(set(pending(copied).values()))
        pytest.fail(
            f"redone, by what was changed: {guilty}; if none names a rule, the new times are the cause"
        )


@pytest.mark.parametrize(
    ("change", "redone", "untouched"),
    [
        pytest.param(
            (f"{PACKAGE}/evaluation/metrics.py", r"\Z", "_NEW = 1\n"),
            EVALUATION | FIGURES,
            None,
            id="metrics",
        ),
        pytest.param(
            (f"{PACKAGE}/figures/report_macros.html.j2", r"\Z", "\n"), {"write_report"}, None, id="template"
        ),
        pytest.param(
            (f"{PACKAGE}/models/swin.py", r"\Z", "_NEW = 1\n"),
            {"pretrain"} | RETRAINED,
            "efficientnet_lite0/",
            id="model",
        ),
        pytest.param(
            (f"{PACKAGE}/catalogue.yaml", r"0\.485", "0.5"),
            RETRAINED,
            "swin_narrow/",
            id="row of a model",
        ),
        pytest.param(
            (f"{PACKAGE}/download/sources/phantom_lidc.py", r"\Z", "_NEW = 1\n"),
            {"list_series", "finetune", "write_report"},
            "rspect_phantom_smoke/",
            id="source",
        ),
        pytest.param(
            ("studies/smoke.yaml", "num_resamples: 200", "num_resamples: 201"),
            EVALUATION | FIGURES,
            None,
            id="resamples",
        ),
        pytest.param(
            ("studies/smoke.yaml", "num_clips: 40", "num_clips: 44"),
            {"pretrain"} | RETRAINED,
            "/scratch/",
            id="clips",
        ),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_nothing_else(
    copied: Project, edits: Edits, change: tuple[str, str, str], redone: set[str], untouched: str | None
) -> None:
    edits.edit(*change)
    files = pending(copied)
    if change[0].endswith("phantom_lidc.py"):
        assert redone <= set(files.values())  # which jobs follow is known once the series are listed
    else:
        assert set(files.values()) == redone
    assert not [path for path in files if untouched and untouched in path]


def test_new_starting_weights_redo_their_runs(copied: Project) -> None:
    (weights,) = (copied.folder / "data/weights").glob("efficientnet*")
    content = weights.read_bytes()
    try:
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        files = pending(copied)
    finally:
        weights.write_bytes(content)
    assert "finetune" in files.values()
    assert not [path for path in files if "swin_narrow/" in path or "volumes/" in path]


def test_no_parameter_of_a_job_names_the_folder_of_the_study(smoke: Project) -> None:
    records = [path for path in (smoke.folder / ".snakemake/metadata").rglob("*") if path.is_file()]
    parameters = [json.loads(path.read_text())["params"] for path in records]
    assert len(parameters) > 100
    assert str(smoke.folder) not in json.dumps(parameters)


@pytest.mark.parametrize(
    "rules",
    [
        # In one plan what does not depend on each other.
        {
            "evaluation/claims.csv": "collect_evaluation",
            "training/runs.csv": "collect_runs",
            "publication/*/cases.csv": "publish_manifests",
            "download/citations.md": "write_citations",
        },
        {"evaluation/claims_by_dataset.csv": "collect_evaluation"},
        {"evaluation/subgroups.csv": "collect_evaluation"},
        {"training/*/*/predictions.csv": "predict"},
        {"subsets/*/cohort.csv": "select_cohort"},
        {"figures/results.csv": "write_tables"},
    ],
)
def test_a_result_that_was_deleted_comes_back(copied: Project, rules: dict[str, str]) -> None:
    found = (sorted((copied.folder / "results/smoke").glob(path)) for path in rules)
    files = [next(one for one in some if "_on_" not in str(one)) for some in found]
    contents = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    try:
        planned = copied.planned()
        # Scores of probes have a rule of their own.
        assert all(any(name.startswith(rule) for name in planned) for rule in rules.values())
    finally:
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
