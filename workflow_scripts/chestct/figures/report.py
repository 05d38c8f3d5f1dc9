"""The report: one self-contained HTML page with the study's setup, results and provenance."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chestct.dataset_entries import intensity_of
from chestct.figures import report_tables, style
from chestct.figures.budget_table import budgets_table
from chestct.figures.characteristics import characteristics_of
from chestct.figures.claim_sentences import margin_words, read_claims, verdicts_by_dataset
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.failure_pictures import failures_of
from chestct.figures.names import FLOW, TABLES
from chestct.figures.publication_tables import captions_of, contrasts_table, results_table
from chestct.figures.report_answer import cards_of, is_own, kind_of
from chestct.figures.report_attachments import archive_tables
from chestct.figures.report_beyond import localisation_table, subgroups_table, without_image
from chestct.figures.report_checklist import answered, checklist_of
from chestct.figures.report_costs import arms_table, costs_of, runs_table
from chestct.figures.report_figures import figure_file, figures_of
from chestct.figures.report_head import datasets_line
from chestct.figures.report_methods import methods_of
from chestct.figures.report_outside import outside_of
from chestct.figures.report_plan import plan_of
from chestct.figures.report_provenance import provenance_of, settings_of
from chestct.figures.report_uncertainty import (
    few_runs_notes,
    no_interval_notes,
    small_data_notes,
    variance_of,
)
from chestct.figures.report_validity import validity_of
from chestct.figures.scan_quality import quality_of
from chestct.figures.study_tables import StudyTables, origin_of_weights
from chestct.figures.wording import hide_folders
from chestct.files import write_text
from chestct.intensity import DISPLAY, DISPLAY_WORDS
from chestct.pictures import of_dataset
from chestct.records import read_recorded
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
    cohorts: Sequence[str | Path],
    splits: Sequence[str | Path],
    ledgers: Sequence[str | Path],
    indexes: Sequence[str | Path],
    acquisitions: Sequence[str | Path],
    thumbnails: Sequence[str | Path],
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
        cohorts, splits, ledgers, indexes, acquisitions, thumbnails: one table per dataset, as in
            ``study.scanned``.
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
    weights = origin_of_weights(study)
    stand_ins = [name for name in study.scanned if study.manifests[name]["stand_in"]]
    searched = None if trials is None else read_table(trials, "choices")
    flows = [cohort_flow(*files) for files in zip(study.scanned, cohorts, splits, ledgers, strict=True)]
    checklist = checklist_of(_SECTIONS, _features(study, configuration))
    num_answered, num_items = answered(checklist)
    archived = {name: getattr(study, name) for name in TABLES if name not in _NOT_ARCHIVED}
    formats = configuration.get("figures", {}).get("formats", ())
    page = _environment().get_template(_TEMPLATE)
    contents: dict[str, Any] = dict(
        study_name=study_name,
        made=list(made),
        asked=datasets_line(configuration["datasets"]),
        kind=kind_of(study, weights, own=is_own(configuration)),
        cards=cards_of(study),
        is_own=is_own(configuration),
        paper=_PAPER,
        navigation=_NAVIGATION,
        most=report_tables.MAX_ROWS,
        datasets=[{**hide_folders(study.manifests[name]), "name": name} for name in study.scanned],
        published_weights=hide_folders(json.loads(read_recorded(data_manifest))["weights"]),
        weights=hide_folders(weights),
        any_stand_in=bool(stand_ins) or any(origin["stand_in"] for origin in weights),
        any_narrow=any("(narrow)" in style.model_title(model) for model in study.runs["model"].unique()),
        num_runs=len(study.runs),
        confidence=f"{100 * study.confidence:g} %",
        level=f"{1 - study.confidence:.2g}",
        margin=margin_words(float(study.claims["margin"].max())),
        few_runs_notes=few_runs_notes(study),
        no_interval_notes=no_interval_notes(study),
        small_data_notes=small_data_notes(
            study,
            splits,
            {entry["name"]: entry["split_by"] for entry in configuration["datasets"] if "split_by" in entry},
        ),
        num_resamples=int(study.means["num_resamples"].max()),
        claims=[
            vars(claim) | {"tested": claim.tested, "cells": report_tables.show(claim.cells), "place": place}
            for place, claim in enumerate(read_claims(study), start=1)
        ],
        verdicts_by_dataset=report_tables.show(verdicts_by_dataset(study)),
        flow_file=figure_file(FLOW, formats),
        multipliers=report_tables.multipliers_table(study),
        results=[
            (str(name), report_tables.show(part.drop(columns="Dataset")))
            for name, part in results_table(study).groupby("Dataset", sort=False)
        ],
        captions=captions_of(study),
        means=report_tables.means_table(study),
        metrics=report_tables.metrics_table(study),
        archive=archive_tables(archived if searched is None else archived | {"trials": searched}),
        contrasts=report_tables.show(contrasts_table(study)),
        mean_comparisons=report_tables.comparisons_table(study, means=True),
        model_comparisons=report_tables.comparisons_table(study, means=False),
        calibration=report_tables.calibration_table(study),
        operating_point=report_tables.operating_point_table(study),
        without_image=without_image(study),
        display_note=study.display_note,
        subgroups=subgroups_table(study),
        localisation=localisation_table(study),
        failures=failures_of(
            study,
            ledgers,
            indexes,
            {entry["name"]: entry["display_window_hu"] for entry in configuration.get("datasets", ())},
            {entry["name"]: of_dataset(entry) for entry in configuration.get("datasets", ())},
        ),
        outside=outside_of(study, configuration.get("datasets", [])),
        variance=variance_of(study),
        validity=validity_of(study),
        settings=settings_of(configuration),
        arms=arms_table(study),
        budgets=report_tables.show(budgets_table(study)),
        flows=[
            flow | {"characteristics": characteristics_of(*tables_of)}
            for flow, tables_of in zip(flows, zip(splits, acquisitions, strict=True), strict=True)
        ],
        methods=methods_of(study, configuration, flows),
        plan=plan_of(configuration),
        checklist=checklist,
        num_answered=num_answered,
        num_items=num_items,
        quality=[quality_of(*paths) for paths in zip(study.scanned, ledgers, thumbnails, strict=True)],
        display_words={
            entry["name"]: DISPLAY_WORDS
            for entry in configuration.get("datasets", ())
            if intensity_of(entry) == DISPLAY
        },
        trials=None if searched is None else report_tables.trials_table(searched),
        runs=runs_table(study.runs),
        costs=costs_of(study, searched),
        configuration=yaml.safe_dump(hide_folders(configuration), sort_keys=False, allow_unicode=True),
        provenance=provenance_of(study, configuration, provenance, tables),
    )

    def render(points: str | Path | None) -> str:
        figures = figures_of(Path(figures_folder), dpi=dpi, formats=formats, points=points)
        return page.render(contents, figures=figures, interactive=points is not None)

    text = render(points)
    if points is not None and len(text.encode()) > MAX_BYTES:
        _log.warning("with the points of its figures the report is too large to mail: they are left out")
        text = render(None)
    write_text(path, text)


def _features(study: StudyTables, configuration: dict[str, Any]) -> set[str]:
    """What this study has of that not every study has, in the words of the checklist."""
    found = {name for name in ("subgroups", "localisation", "failures") if len(getattr(study, name))}
    return found | (
        {"outside"} if any(entry.get("test_on") for entry in configuration["datasets"]) else set()
    )


def _environment() -> Environment:
    """Templates escape all text; an undefined name in a template is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
