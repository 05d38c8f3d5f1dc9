"""Runs and costs in the report: runs by model, hours, speed and memory."""

from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.report_tables import Shown, show
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns
from chestct.figures.wording import count, hide_folders, percentage
from chestct.run import RUN_KEYS

_SECONDS = {"minutes": 60, "hours": 3600}


def arms_table(study: StudyTables) -> Shown:
    """The runs by dataset and model."""
    rows = []
    for (dataset, model), part in study.runs.groupby(["dataset", "model"], sort=False):
        starts = sorted(part["init"].unique(), key=style.init_rank)
        rows.append(
            {
                "Dataset": dataset,
                "Model": style.model_title(str(model)),
                "Starts": ", ".join(map(style.init_title, starts)),
                "%": _listed(part["percent"]),
                "Seeds": _listed(part["seed"]),
                "Folds": str(part["fold"].nunique()),
                "Runs": str(len(part)),
                "Parameters": f"{part['num_parameters'].max() / 1e6:.2f} M",
            }
        )
    return show(pd.DataFrame(rows))


def _listed(values: pd.Series) -> str:
    return ", ".join(str(value) for value in sorted(values.astype(int).unique()))


def costs_of(study: StudyTables, trials: pd.DataFrame | None) -> dict[str, Any]:
    """Training time by step and by model.

    Args:
        study: tables of the study.
        trials: table "choices" of all arms, if the study searched for learning rates.

    Returns:
        sentence; steps and models: tables of the report.
    """
    runs = study.runs
    frozen = runs["model"].map(style.is_probe).astype(bool)
    parts = {"Fine-tuning": runs[~frozen], "Frozen probes: features and heads": runs[frozen]}
    steps = [(step, len(part), float(part["seconds"].sum())) for step, part in parts.items() if len(part)]
    if trials is not None:
        # The chosen trial of an arm is also one of its runs.
        done = (
            trials.merge(runs[RUN_KEYS], on=RUN_KEYS, how="left", indicator=True)["_merge"]
            .eq("both")
            .to_numpy()
        )
        extra = trials[~((trials["chosen"] == 1).to_numpy() & done)]
        steps.append(("Learning-rate search, trials not chosen", len(extra), float(extra["seconds"].sum())))
    total = sum(seconds for _, _, seconds in steps)
    unit = _unit(total)
    table = pd.DataFrame(
        [
            {
                "Step": step,
                "Runs": str(number),
                unit.capitalize(): _time(seconds, unit),
                "Share": _share(seconds, total),
            }
            for step, number, seconds in steps
        ]
    )
    resumed = int((runs["resumed"] > 0).sum())
    sentence = (
        f"{count(len(runs), 'training run')}, {_time(total, unit)} {unit} of training and validation in "
        f"total on {', '.join(sorted(runs['device'].unique()))}"
        + (f"; {count(resumed, 'run')} resumed from a saved state." if resumed else ".")
    )
    return {"sentence": sentence, "steps": show(table), "models": _by_model(runs, total, unit)}


def _unit(total: float) -> str:
    """The unit of all times of the report: minutes of a study that trains for less than two hours."""
    return "hours" if total >= 2 * _SECONDS["hours"] else "minutes"


def _time(seconds: float, unit: str) -> str:
    time = seconds / _SECONDS[unit]
    return f"{time:,.2f}" if time >= 1 else f"{time:.2g}"


def _share(part: float, total: float) -> str:
    return percentage(part / total) if total else ""


def _by_model(runs: pd.DataFrame, total: float, unit: str) -> Shown:
    rows = []
    for (dataset, model), part in runs.groupby(["dataset", "model"], sort=False):
        seconds = float(part["seconds"].sum())
        waited = float((part["seconds"] * part["data_wait_percent"]).sum())
        rows.append(
            {
                "Dataset": dataset,
                "Model": style.model_title(str(model)),
                "Runs": str(len(part)),
                unit.capitalize(): _time(seconds, unit),
                "Share": _share(seconds, total),
                "Seconds per run": f"{part['seconds'].median():.1f}",
                "Windows/s": f"{part['windows_per_second'].median():.1f}",
                "Data wait": f"{waited / seconds:.1f} %" if seconds else "",
                "Peak memory (MiB)": f"{part['peak_memory_mb'].max():.0f}",
                "Device": ", ".join(sorted(part["device"].unique())),
            }
        )
    return show(pd.DataFrame(rows))


def runs_table(runs: pd.DataFrame) -> Shown:
    """Every training run, with its starting and final weights."""
    strength = "L2 strength, " if runs["l2_strength"].notna().any() else ""
    headings = (
        f"Dataset, Model, Start, %, Seed, Fold, Training scans, Positive, Learning rate, {strength}"
        "Steps, Windows seen, Best step, Validation AUROC, Seconds, Starting weights, Their SHA-256, "
        "Final SHA-256"
    )
    return show(
        format_columns(
            runs,
            headings,
            Training_scans=runs["num_scans"],
            Seconds=[f"{seconds:.1f}" for seconds in runs["seconds"]],
            Starting_weights=hide_folders(runs["initial_weights"].fillna("random").tolist()),
            **{"Their SHA-256": runs["initial_weights_sha256"].fillna("").str[:12]},
            **{"Final SHA-256": runs["final_weights_sha256"].str[:12]},
        )
    )
