"""Reports of synthetic studies, and a reader of their HTML."""

import io
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from synthetic_study import Study

from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS
from chestct.figures.names import EXAMPLES_INDEX, QUALITY
from chestct.figures.report import write_report
from chestct.figures.report_contents import DatasetFiles
from chestct.figures.study_tables import StudyTables, read_study
from chestct.records import record, write_recorded

_VOID = {"meta", "link", "img", "br", "hr", "input"}
#: A figure that the synthetic studies lack.
NOT_DRAWN = "video_vs_ct"
_ROOT = Path(__file__).parents[3]


def configuration_of(files: Study) -> dict[str, Any]:
    """The default configuration, with the datasets of a synthetic study and text that must be escaped."""
    configuration = yaml.safe_load((_ROOT / "config.yaml").read_text(encoding="utf-8"))
    entry = configuration["datasets"][0]
    configuration["training"]["learning_rates"] = [0.001, 0.0001]
    return configuration | {
        "study": "made up",
        "data_dir": "/home/a person/data",
        "note": "<b>bold</b>",
        "datasets": [entry | {"name": name} for name in files.datasets],
    }


class Page(HTMLParser):
    """Checks that tags close in order; collects addresses, identifiers, tables, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._texts: list[str] = []
        self.feed(html)
        self.close()
        self.text = "".join(self._texts)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self._texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def table(self, *columns: str) -> list[list[str]]:
        """Rows of the first table with exactly these headings."""
        return next(table[1:] for table in self.tables if table[0] == list(columns))


@cache
def page_of(path: Path) -> Page:
    """The page in a file that stays as it is, read once for all tests of a process."""
    return Page(path.read_text(encoding="utf-8"))


def draw_figures(folder: Path) -> None:
    """Stand-ins for the figures: the report's tests are about the report."""
    folder.mkdir(exist_ok=True)
    written = io.BytesIO()
    Image.radial_gradient("L").resize((700, 400)).save(written, "png")
    for name in [*CAPTIONS, *EXAMPLE_CAPTIONS, QUALITY]:
        (folder / f"{name}.png").write_bytes(written.getvalue())
        record(folder / f"{name}.png")
    reasons = {name: None if name != NOT_DRAWN else "no model with both" for name in CAPTIONS}
    write_recorded(folder / "figures.json", json.dumps(reasons))
    write_recorded(folder / EXAMPLES_INDEX, json.dumps(dict.fromkeys(EXAMPLE_CAPTIONS)))


def files_of(files: Study) -> DatasetFiles:
    """The tables of the datasets of a synthetic study."""
    return DatasetFiles(
        cohorts=files.of_datasets("subsets", "cohort.csv"),
        splits=files.of_datasets("subsets", "splits.csv"),
        ledgers=files.of_datasets("volumes", "ledger.csv"),
        indexes=files.of_datasets("volumes", "index.csv"),
        acquisitions=files.of_datasets("volumes", "acquisition.csv"),
        thumbnails=files.of_datasets("volumes", "thumbnails.csv"),
    )


def report_of(
    files: Study,
    figures: Path,
    path: Path,
    *,
    study: StudyTables | None = None,
    configuration: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write the report of a synthetic study; ``study`` replaces the tables in its files."""
    trials = files.table("trials")
    arguments: dict[str, Any] = {
        "study": study or read_study(**files.inputs),
        "study_name": "made up",
        "tables": {"evaluation/metrics.csv": files.table("metrics")},
        "figures_folder": figures,
        "dataset_files": files_of(files),
        "data_manifest": files.folder / "download/data_manifest.json",
        "trials": trials if trials.is_file() else None,
        "configuration": configuration or configuration_of(files),
        "provenance": {"code of evaluation": "0123456789abcdef"},
        "dpi": 100,
        "path": path,
    }
    write_report(**arguments | changes)
    return path
