"""The rules of the figures step on a synthetic study, and the workflow's own report of it."""

import shutil
import zipfile
from pathlib import Path

import pytest
from synthetic_files import write_windows
from synthetic_study import DEFAULT, make_study

from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS
from chestct.figures.names import FLOW, QUALITY
from chestct.tables import read_table
from tests.workflow.project import copy_project

#: The figures step alone: what the other steps write is made up.
_SNAKEFILE = """
configfile: "config.yaml"
include: "rules/common.smk"
from chestct.catalogue import rows_of
TRIALS = []
MANIFESTS = expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS)
STUDY_MODELS = rows_of(MODELS)
SOURCE_MODULES = {}
SCORED = [(dataset, model) for dataset in DATASETS for model in MODELS]
include: "rules/figures.smk"
rule all:
    default_target: True
    input:
        rules.plot_figures.output,
        rules.plot_quality.output,
        rules.plot_examples.output,
        rules.write_tables.output,
        rules.write_report.output,
"""
_TABLES = ("claims", "results", "contrasts")


@pytest.fixture(scope="module")
def project(root, tmp_path_factory):
    """A copy of the project in which the figures of a made-up default study were drawn."""
    project = copy_project(root, tmp_path_factory.mktemp("figures") / "project")
    results = project.folder / "results" / "default"
    files = make_study("default", results, num_resamples=50)
    examples = read_table(files.table("examples"), "examples")
    write_windows(results, files.datasets, DEFAULT, examples)
    shutil.copytree(results / "data", project.folder / "data", dirs_exist_ok=True)
    (project.folder / "Snakefile").write_text(_SNAKEFILE)
    (project.folder / "studies" / "made_up.yaml").write_text("figures: {formats: [png], dpi: 60}\n")
    project.run(study="made_up")
    return project


def test_rules_write_figures_tables_and_report(project):
    results = project.folder / "results" / "default"
    for name in [*CAPTIONS, *EXAMPLE_CAPTIONS, QUALITY, FLOW]:
        assert (results / "figures" / f"{name}.png").is_file()
    for name in _TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (results / "figures" / f"{name}.{suffix}").stat().st_size > 100
    page = (results / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5e6 and "did not search for learning rates" in page
    assert project.planned(study="made_up") == {}


def test_workflow_report_has_captions_and_categories(project):
    project.run("--report", "report.zip", study="made_up")
    with zipfile.ZipFile(project.folder / "report.zip") as archive:
        files = {Path(name).name for name in archive.namelist()}
        html = archive.read("report/report.html").decode()
    wanted = {f"{name}.png" for name in [*CAPTIONS, *EXAMPLE_CAPTIONS, QUALITY, FLOW]} | {
        f"{name}.csv" for name in _TABLES
    }
    assert wanted <= files
    text = " ".join(html.replace("\\n", " ").split())
    for caption in [*CAPTIONS.values(), *EXAMPLE_CAPTIONS.values()]:
        assert caption.replace("'", "\u2019") in text or caption in text
    for words in ["1. Report", "2. Tables", "3. Figures", "pretrained on generated clips"]:
        assert words in text
