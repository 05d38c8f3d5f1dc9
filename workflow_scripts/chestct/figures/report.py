"""The report: one self-contained HTML page with the study's setup, results and provenance."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chestct.figures import report_contents, report_tables
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.names import FLOW, TABLES
from chestct.figures.report_attachments import archive_tables
from chestct.figures.report_checklist import answered, checklist_of
from chestct.figures.report_contents import DatasetFiles
from chestct.figures.report_figures import figure_file, figures_of
from chestct.figures.report_methods import methods_of
from chestct.figures.report_plan import plan_of
from chestct.figures.report_provenance import provenance_of, settings_of
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import hide_folders
from chestct.files import write_text
from chestct.tables import read_table

_log = logging.getLogger(__name__)
_TEMPLATE = "report.html.j2"
#: Of a report whose figures tell the values of their points: such a page can still be mailed.
MAX_BYTES = 5_000_000
_PAPER = (
    "Ke, Huang, O'Connell, Klimont, Yeung, Rajpurkar: Video pretraining advances 3D deep learning on chest "
    "CT tasks, MIDL 2023, PMLR 227:758-774"
)
#: Sections by group, in the order of the page.
_NAVIGATION = {
    "Outcome": {
        "answers": "Answers",
        "stand-ins": "Origin of the data",
        "claims": "Claims",
        "figures": "Figures",
    },
    "Numbers": {
        "efficiency": "Label efficiency",
        "results": "Results",
        "comparisons": "Comparisons",
        "metadata": "Without the image",
        "subgroups": "Subgroups",
        "failures": "Single scans",
        "outside": "Other test sets",
        "variance": "Sources of variance",
        "valid": "Validity",
    },
    "Study": {
        "study": "What was run",
        "data": "Data and weights",
        "cohort": "Cohort",
        "quality": "Scan quality",
        "training": "Training",
        "costs": "Costs",
    },
    "Origin": {"provenance": "Provenance", "configuration": "Configuration", "cite": "How to cite"},
    "Reporting": {"methods": "Methods", "plan": "Pre-specified analysis", "checklist": "Checklist"},
}
_SECTIONS = {key: title for group in _NAVIGATION.values() for key, title in group.items()}
#: Tables that the archive leaves out: they are large, and drawn as figures, or name scans.
_NOT_ARCHIVED = ("curves", "calibration", "histories", "failures", "examples")


def write_report(
    *,
    study: StudyTables,
    study_name: str,
    tables: dict[str, str | Path],
    figures_folder: str | Path,
    dataset_files: DatasetFiles,
    data_manifest: str | Path,
    trials: str | Path | None,
    configuration: dict[str, Any],
    provenance: dict[str, str],
    dpi: int,
    path: str | Path,
    made: Sequence[str] = (),
    points: str | Path | None = None,
) -> None:
    """Write the report of a study.

    Args:
        study: tables of the study.
        study_name: name of the study.
        tables: files whose digests the report lists, by name.
        figures_folder: holds NAME.png of every figure and of scan_quality, figures.json and examples.json.
        dataset_files: tables of the datasets.
        data_manifest: JSON of the download step, for the published weights.
        trials: table "choices" of all arms, if the study searched for learning rates.
        configuration: the resolved configuration, plain data.
        provenance: further versions and digests by name.
        dpi: of the figures, for their size on screen.
        path: file to write.
        made: when and from which state of the workflow the report is made, in words.
        points: file with the points of the figures (``hover.points_of``), for a report whose figures tell
            their values; left out of a page that they would make larger than ``MAX_BYTES``.

    Raises:
        InputError: a table is missing or broken.
    """
    searched = None if trials is None else read_table(trials, "choices")
    flows = [
        cohort_flow(*paths)
        for paths in zip(
            study.scanned, dataset_files.cohorts, dataset_files.splits, dataset_files.ledgers, strict=True
        )
    ]
    formats = configuration.get("figures", {}).get("formats", ())
    contents: dict[str, Any] = {
        "study_name": study_name,
        "made": list(made),
        "paper": _PAPER,
        "navigation": _NAVIGATION,
        "most": report_tables.MAX_ROWS,
        "flow_file": figure_file(FLOW, formats),
        "archive": archive_tables(_archived(study, searched)),
        "plan": plan_of(configuration),
        "methods": methods_of(study, configuration, flows),
        "settings": settings_of(configuration),
        "configuration": yaml.safe_dump(hide_folders(configuration), sort_keys=False, allow_unicode=True),
        "provenance": provenance_of(study, configuration, provenance, tables),
        **report_contents.outcome(study, configuration, dataset_files),
        **report_contents.numbers(study, configuration, dataset_files),
        **report_contents.data_and_weights(study, configuration, dataset_files, data_manifest, flows),
        **report_contents.training(study, searched),
        **_checklist(study, configuration),
    }
    page = _environment().get_template(_TEMPLATE)

    def render(points: str | Path | None) -> str:
        figures = figures_of(Path(figures_folder), dpi=dpi, formats=formats, points=points)
        return page.render(contents, figures=figures, interactive=points is not None)

    text = render(points)
    if points is not None and len(text.encode()) > MAX_BYTES:
        _log.warning("with the points of its figures the report is too large to mail: they are left out")
        text = render(None)
    write_text(path, text)


def _archived(study: StudyTables, searched: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """Tables of the archive that the page carries, by name."""
    archived = {name: getattr(study, name) for name in TABLES if name not in _NOT_ARCHIVED}
    return archived if searched is None else archived | {"trials": searched}


def _checklist(study: StudyTables, configuration: dict[str, Any]) -> dict[str, Any]:
    """The checklist of reporting, and how much of it this report answers."""
    features = {name for name in ("subgroups", "localisation", "failures") if len(getattr(study, name))}
    if any(entry.get("test_on") for entry in configuration["datasets"]):
        features.add("outside")
    checklist = checklist_of(_SECTIONS, features)
    num_answered, num_items = answered(checklist)
    return {"checklist": checklist, "num_answered": num_answered, "num_items": num_items}


def _environment() -> Environment:
    """Templates escape all text; an undefined name in a template is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
