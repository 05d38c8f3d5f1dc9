from functools import cache
from pathlib import Path

import pytest
from report_page import draw_figures, report_of
from synthetic_study import Study, make_study

from chestct.figures.study_tables import StudyTables, read_study


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory):
    """Synthetic studies by kind, each written once per session."""

    @cache
    def get(kind: str) -> Study:
        return make_study(kind, tmp_path_factory.mktemp(kind))

    return get


@pytest.fixture(scope="session")
def tables(studies):
    """Tables of synthetic studies by kind, read once per session; tests leave them as they are."""

    @cache
    def get(kind: str) -> StudyTables:
        return read_study(**studies(kind).inputs)

    return get


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of stand-ins for the figures."""
    folder = tmp_path_factory.mktemp("figures")
    draw_figures(folder)
    return folder


@pytest.fixture(scope="session")
def reports(studies, figures: Path, tmp_path_factory: pytest.TempPathFactory):
    """Paths of the reports of synthetic studies by kind, each written once per session."""

    @cache
    def get(kind: str) -> Path:
        return report_of(studies(kind), figures, tmp_path_factory.mktemp(f"report-{kind}") / "report.html")

    return get
