"""What the figures step writes of the smoke study, and the workflow's own report of it."""

import zipfile
from pathlib import Path

from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS
from chestct.figures.names import FLOW, QUALITY

_FIGURES = {f"{name}.png" for name in [*CAPTIONS, *EXAMPLE_CAPTIONS, QUALITY, FLOW]}
_TABLES = ("claims", "results", "contrasts")


def test_rules_write_figures_tables_and_report(smoke):
    results = smoke.folder / "results" / "smoke"
    assert {path.name for path in (results / "figures").glob("*.png")} >= _FIGURES
    for name in _TABLES:
        for suffix in ("csv", "md", "tex"):
            assert (results / "figures" / f"{name}.{suffix}").stat().st_size > 100
    page = (results / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5e6 and "did not search for learning rates" in page
    assert smoke.planned() == {}


def test_workflow_report_has_captions_and_categories(smoke, tmp_path):
    smoke.run("--report", str(tmp_path / "report.zip"))
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        files = {Path(name).name for name in archive.namelist()}
        html = archive.read("report/report.html").decode()
    assert _FIGURES | {f"{name}.csv" for name in _TABLES} <= files
    text = " ".join(html.replace("\\n", " ").split())
    for caption in [*CAPTIONS.values(), *EXAMPLE_CAPTIONS.values()]:
        assert caption.replace("'", "\u2019") in text or caption in text
    for words in ["1. Report", "2. Tables", "3. Figures", "pretrained on generated clips"]:
        assert words in text
