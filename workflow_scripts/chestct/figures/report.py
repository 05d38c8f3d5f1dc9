"""The report: one self-contained HTML page with what was run, what came out, and what leads back to it."""

import base64
import json
import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chestct.figures import style
from chestct.figures.claims import check_claims, contrast_title
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.names import CAPTIONS, QUALITY
from chestct.figures.quality import quality_of
from chestct.figures.result_tables import results_caption, results_table
from chestct.figures.study_tables import StudyTables, origin_of_weights
from chestct.files import digest_object, sha256_file, write_text
from chestct.tables import read_table

_TEMPLATE = "report.html.j2"
_PACKAGES = ("numpy", "pandas", "matplotlib", "jinja2", "pyyaml")
_SCREEN_DOTS_AN_INCH = 125
_MAX_DIGESTS = 4
_WEIGHTS_COLUMNS = ["model", "initial_weights", "initial_weights_sha256"]
_ABSOLUTE = re.compile(
    r"(?<![\w:/.\u2026~])~?/(?:[^\s/,;:]+/)*([^\s/,;:]+)/?"  # /home/me/ct, ~/ct
    r"|\b[A-Za-z]:\\(?:[^\s\\]+\\)*([^\s\\]+)"  # C:\Users\me\ct
)


def hide_folders(value: Any) -> Any:
    """Plain data with absolute paths cut to their last part: where files lie says who ran the study.

    A text that is a path is cut whole, blanks and all; in other text, runs without blanks that look like
    one. Addresses (with ``://``) stay.
    """
    if isinstance(value, dict):
        return {key: hide_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [hide_folders(part) for part in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~/")):
        return f"\u2026/{PurePosixPath(value).name}"
    return _ABSOLUTE.sub(lambda match: f"\u2026/{match[1] or match[2]}", value)


def write_report(
    *,
    study: StudyTables,
    study_name: str,
    metrics_path: str | Path,
    tables: dict[str, str | Path],
    figures_folder: str | Path,
    cohorts: Sequence[str | Path],
    splits: Sequence[str | Path],
    ledgers: Sequence[str | Path],
    thumbnails: Sequence[str | Path],
    data_manifest: str | Path,
    configuration: dict[str, Any],
    provenance: dict[str, str],
    dpi: int,
    path: str | Path,
) -> None:
    """Write the report of a study.

    Args:
        study: tables of the study.
        study_name: name of the study.
        metrics_path: table "metrics".
        tables: files whose digests the report states, by name.
        figures_folder: holds NAME.png of every figure, scan_quality.png and figures.json.
        cohorts, splits, ledgers, thumbnails: tables a dataset, in the order of the study's datasets.
        data_manifest: JSON of the download step, for the published weights.
        configuration: the resolved configuration, plain data.
        provenance: further versions and digests by name.
        dpi: of the figures, for their size on screen.
        path: file to write.

    Raises:
        InputError: a table is missing or broken.
    """
    reasons = json.loads((Path(figures_folder) / "figures.json").read_text(encoding="utf-8"))
    metrics = read_table(metrics_path, "metrics")
    weights = origin_of_weights(study)
    stand_ins = [name for name in study.datasets if study.manifests[name]["stand_in"]]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = style.signed
    page = environment.get_template(_TEMPLATE).render(
        study_name=study_name,
        datasets=[{**hide_folders(study.manifests[name]), "name": name} for name in study.datasets],
        published_weights=json.loads(Path(data_manifest).read_text(encoding="utf-8"))["weights"],
        stand_in_datasets=stand_ins,
        weights=hide_folders(weights),
        any_stand_in=bool(stand_ins) or any(origin["stand_in"] for origin in weights),
        any_narrow=any("(narrow)" in style.model_title(model) for model in study.runs["model"].unique()),
        num_runs=len(study.runs),
        hours=float(study.runs["seconds"].sum()) / 3600,
        confidence=f"{100 * study.confidence:g} %",
        num_resamples=int(study.means["num_resamples"].max()),
        claims=check_claims(study),
        flows=[cohort_flow(*paths) for paths in zip(study.datasets, cohorts, splits, ledgers, strict=True)],
        quality_figure=_embedded(Path(figures_folder) / f"{QUALITY}.png", dpi),
        quality=[quality_of(*paths) for paths in zip(study.datasets, ledgers, thumbnails, strict=True)],
        figures=_figures(Path(figures_folder), reasons, dpi),
        results=results_table(study),
        results_caption=results_caption(study),
        metrics=_metrics_table(metrics),
        comparisons=_comparisons_table(study.comparisons),
        runs=hide_folders(_runs_table(study.runs).to_dict("split")),
        configuration=yaml.safe_dump(hide_folders(configuration), sort_keys=False, allow_unicode=True),
        provenance=_provenance(study, configuration, provenance, tables),
    )
    write_text(path, page)


def _figures(folder: Path, reasons: dict[str, str | None], dpi: int) -> list[dict[str, Any]]:
    return [
        {"name": name, "caption": caption, "reason": reasons[name]} | _embedded(folder / f"{name}.png", dpi)
        for name, caption in CAPTIONS.items()
    ]


def _embedded(path: Path, dpi: int) -> dict[str, Any]:
    """A PNG as text, and its width on screen."""
    image = path.read_bytes()
    width_px = int.from_bytes(image[16:20], "big")  # of the header that every PNG starts with
    return {
        "data": base64.b64encode(image).decode(),
        "width": round(width_px / dpi * _SCREEN_DOTS_AN_INCH),
    }


def _interval(table: pd.DataFrame, *, signed: bool = False) -> list[str]:
    form = style.signed if signed else "{:.3f}".format
    return [f"{form(low)} to {form(high)}" for low, high in table[["ci_low", "ci_high"]].to_numpy()]


def _metrics_table(metrics: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Dataset": metrics["dataset"],
            "Model": metrics["model"].map(style.model_title),
            "Start": metrics["init"].map(style.init_title),
            "%": metrics["percent"],
            "Seed": metrics["seed"],
            "Metric": metrics["metric"].map(style.METRIC_TITLES),
            "Value": metrics["value"].map("{:.3f}".format),
            "Interval": _interval(metrics),
            "Scans": metrics["num_scans"],
            "Positive": metrics["num_positive"],
        }
    )


def _comparisons_table(comparisons: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Dataset": comparisons["dataset"],
            "Model": comparisons["model"].map(style.model_title),
            "%": comparisons["percent"],
            "Contrast": comparisons["contrast"].map(contrast_title),
            "Metric": comparisons["metric"].map(style.METRIC_TITLES),
            "Difference": comparisons["difference"].map(style.signed),
            "Interval": _interval(comparisons, signed=True),
            "p": comparisons["p_value"].map("{:.4f}".format),
        }
    )


def _runs_table(runs: pd.DataFrame) -> pd.DataFrame:
    def decimals(column: str, form: str) -> list[str]:
        return ["" if pd.isna(value) else form.format(value) for value in runs[column]]

    return pd.DataFrame(
        {
            "Dataset": runs["dataset"],
            "Model": runs["model"].map(style.model_title),
            "Start": runs["init"].map(style.init_title),
            "%": runs["percent"],
            "Seed": runs["seed"],
            "Fold": runs["fold"],
            "Training scans": runs["num_scans"],
            "Positive": runs["num_positive"],
            "Steps": runs["num_steps"],
            "Best epoch": runs["best_epoch"],
            "Validation AUROC": decimals("validation_auroc", "{:.3f}"),
            "Seconds": decimals("seconds", "{:.1f}"),
            "Parameters": runs["num_parameters"],
            "Starting weights": runs["initial_weights"].fillna("random"),
            "Their sha256": runs["initial_weights_sha256"].fillna("").str[:12],
            "Final sha256": runs["final_weights_sha256"].str[:12],
        }
    )


def _provenance(
    study: StudyTables,
    configuration: dict[str, Any],
    provenance: dict[str, str],
    tables: dict[str, str | Path],
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (name, value)."""

    def distinct(values: pd.Series) -> str:
        found = values.dropna().astype(str).unique()
        return ", ".join(found) if len(found) <= _MAX_DIGESTS else f"{len(found)}, see training/runs.csv"

    runs = study.runs
    # Weights that a run of the study ended with are in the table of runs already.
    weights = runs.dropna(subset=["initial_weights_sha256"]).drop_duplicates("initial_weights_sha256")
    weights = weights[~weights["initial_weights_sha256"].isin(runs["final_weights_sha256"])]
    return [
        (
            "Versions",
            [("Python (training)", distinct(runs["python"])), ("torch (training)", distinct(runs["torch"]))]
            + [(f"{name} (report)", metadata.version(name)) for name in _PACKAGES],
        ),
        (
            "Configuration, code, data",
            [
                ("configuration", digest_object(configuration)),
                ("training configuration", distinct(runs["config_digest"])),
                ("training code", distinct(runs["code_digest"])),
                *[
                    (f"data of {name}", distinct(runs.loc[runs["dataset"] == name, "data_digest"]))
                    for name in study.datasets
                ],
                *[(str(name), str(value)) for name, value in provenance.items()],
            ],
        ),
        (
            "Pretrained weights (sha256)",
            [
                (f"{style.model_title(model)}: {hide_folders(words)}", digest)
                for model, words, digest in weights[_WEIGHTS_COLUMNS].to_numpy()
            ],
        ),
        ("Tables (sha256)", [(name, sha256_file(table)) for name, table in tables.items()]),
    ]
