from contextlib import closing
from functools import cache
from pathlib import Path

import pytest
from chromium import Browser
from matplotlib.figure import Figure
from report_page import draw_figures, report_of
from synthetic_study import Study, make_study

from chestct.figures.render import FIGURES, project_style
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
def plots(tables):
    """Figures of synthetic studies by kind and name, each made once; tests at most lay them out."""

    @cache
    def get(kind: str, name: str) -> Figure:
        with project_style():
            return FIGURES[name](tables(kind))

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


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    with closing(Browser(tmp_path_factory.mktemp("profile"))) as running:
        yield running


@pytest.fixture
def page(browser, reports):
    """Open a report; at the end of the test the console must be empty and nothing fetched."""

    def open_page(kind="default", *, width=1400, mobile=False):
        browser.problems.clear()
        browser.requests.clear()
        browser.open(reports(kind), width=width, height=844, mobile=mobile)
        return browser

    yield open_page
    assert browser.problems == []
    asked = [address for address in browser.requests if not address.startswith(("data:", "about:"))]
    assert [address.rsplit("/", 1)[1] for address in asked] == ["report.html"]
