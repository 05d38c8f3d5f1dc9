"""The model card of a trained run: what it is, what it learned from, how good it is, what it is not for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.download.manifest import citations_text
from chestct.download.weights_table import weights_table
from chestct.errors import InputError
from chestct.figures.wording import hide_folders
from chestct.records import read_recorded
from chestct.run import RUN_FILES, RUN_FOLDER
from chestct.tables import read_table
from chestct_command.trained_run import TrainedRun

#: Folders from the results of a study's training to those of a run.
_LEVELS = RUN_FOLDER.count("/") + 1
_RESEARCH = (
    "Research: to compare, to reproduce, to start from. It is no medical device, nobody has cleared it, and "
    "it must not take part in a decision on a patient."
)
_LIMITS = (
    "A score orders scans of the kind that it was trained on. It is no probability: calibration and a "
    "threshold are to be set on scans of the place where it is used.",
    "Other scanners, reconstructions, contrast phases and populations than those of the training data may "
    "change scores without a sign. Test it on labelled scans of your own first.",
    "The window that scores highest says where the score comes from, not where a finding is.",
)
_USE = (
    "`inference.json` says how a scan becomes windows; `model.pt2` (torch.export) takes them from there, and "
    "`predict_example.py` shows it with PyTorch and NumPy alone. With the project: `chestct predict FOLDER "
    "SCAN...`, where FOLDER is this one."
)
_TERMS = (
    "The terms of the data that weights were trained on, and of the weights that they started from, may bind "
    "these weights too: read them before you pass these on. The project's own code is under the MIT licence."
)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What lies beside a run in the results of its study.

    Attributes:
        name: of the study.
        metrics: rows of the table ``metrics`` of the run's model, start, percent and seed.
        datasets: manifests of the datasets that the run learned from.
    """

    name: str
    metrics: pd.DataFrame
    datasets: Sequence[Mapping[str, Any]]


def read_study(run: TrainedRun) -> Study | None:
    """What the results say of a run; None for a folder that was taken out of its study.

    Raises:
        InputError: a table of the study is damaged.
    """
    folder = run.weights.resolve().parent
    training = folder.parents[_LEVELS - 1] if len(folder.parents) > _LEVELS else folder
    if training.name != "training" or folder != training / run.run.folder:
        return None
    metrics = training.parent / "evaluation" / "metrics.csv"
    manifest = training.parent / "download" / "data_manifest.json"
    return Study(
        name=training.parent.name,
        metrics=_metrics_of(run, read_table(metrics, "metrics")) if metrics.is_file() else pd.DataFrame(),
        datasets=_manifests_of(run, manifest) if manifest.is_file() else [],
    )


def _metrics_of(run: TrainedRun, metrics: pd.DataFrame) -> pd.DataFrame:
    """Rows of a run's arm and seed: on its own test set, and on those outside (TRAINED_on_TESTED)."""
    own = run.run.asdict()
    for key in ("model", "init", "percent", "seed"):
        metrics = metrics[metrics[key] == own[key]]
    # Outside, the models of the first fold are tested.
    outside = metrics["dataset"].str.startswith(f"{own['dataset']}_on_") & (run.run.fold == 0)
    return metrics[(metrics["dataset"] == own["dataset"]) | outside].reset_index(drop=True)


def _learned_from(run: TrainedRun) -> list[Mapping[str, Any]]:
    data = run.facts["training_data"]
    return [data, *data["earlier_datasets"]]


def _manifests_of(run: TrainedRun, path: Path) -> list[Mapping[str, Any]]:
    names = [data["dataset"] for data in _learned_from(run)]
    try:
        known = {facts["dataset"]: facts for facts in json.loads(read_recorded(path))["datasets"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the manifest of a study's data cannot be read: {error}",
            where=path,
            expected="what rule write_data_manifest writes",
            remedy="let it be written again: "
            f"snakemake --cores all --forcerun {path} (with the study's --configfile)",
        ) from error
    return [known[name] for name in names if name in known]


def model_card(run: TrainedRun, study: Study | None) -> str:
    """The card, as Markdown.

    Args:
        run: the run.
        study: what lies beside it, if it is where it was trained.
    """
    parts = [
        f"# {run.facts['model']['title']}: {run.facts['training_data']['label']}",
        *(f"> **{warning}**" for warning in warnings_of(run)),
        "## What it is",
        _what(run, study),
        "## Intended use",
        _RESEARCH,
        "## Data and training",
        _training(run),
        "## How good it is",
        _metrics(run, study),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(run)),
        "## How to use it",
        _USE,
        "## Licences, and what to cite",
        _licences(run, study),
    ]
    return hide_folders("\n\n".join(parts)) + "\n"


def warnings_of(run: TrainedRun) -> list[str]:
    """What must be known of a run before any of its numbers, a sentence each."""
    found = []
    if run.facts["training_data"]["phantoms"]:
        found.append("It was trained on phantoms (generated scans): of patients its scores mean nothing.")
    if run.facts["started_from"]["stand_in"]:
        found.append(f"Its starting weights stand in for real ones: {run.facts['started_from']['words']}.")
    return found


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value not in (None, "")]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _what(run: TrainedRun, study: Study | None) -> str:
    facts, seen, rule = run.facts, run.input_settings, run.rule
    window = f"{rule.window} slices, every {rule.stride}"
    if rule.stride is None:
        window = f"{rule.window} slices, evenly spaced over the whole scan"
    fold = f"{run.run.fold + 1} of {run.num_folds}: each trained without patients that the others saw"
    return _table(
        {
            "Network": f"{facts['model']['title']} (`{run.run.model}`), {facts['num_parameters']:,} "
            "parameters",
            "A high score means": facts["training_data"]["label"],
            "Score of a scan": "the largest of its windows, in [0, 1]",
            "Window": f"{window}; {seen.crop_px} x {seen.crop_px} of {run.conversion['size_px']} pixels",
            "Values": facts["intensity"],
            "Accepted by hand": ", ".join(run.conversion["accept"]),
            "Display window": f"centre {seen.centre_hu:g}, width {seen.width_hu:g}",
            "Study": study.name if study else None,
            "Run": f"`{run.run.folder}`",
            "Fold": fold if run.num_folds > 1 else None,
            "Weights, SHA-256": f"`{run.sha256}`",
            "Versions": ", ".join(f"{name} {value}" for name, value in facts["versions"].items()),
        }
    )


def _training(run: TrainedRun) -> str:
    facts, settings = run.facts, run.facts["settings"]
    data = facts["training_data"]
    return _table(
        {
            "Scans": f"{facts['num_scans']}, {facts['num_positive']} of them positive: {run.run.percent} % "
            f"of the training patients of {_named(data)}",
            "Starting weights": facts["started_from"]["words"] or "random",
            "Trained before on": ", ".join(_named(found) for found in data["earlier_datasets"]),
            "Steps": f"{facts['num_steps']} of {settings['batch_size']} windows",
            "Optimiser": f"Adam, learning rate {settings['learning_rate']:g}, "
            f"weight decay {settings['weight_decay']:g}",
            "Augmentation": f"rotations up to {settings['max_rotation_degrees']:g} degrees, random crops"
            f"{', flips' if settings['flip'] else ''}",
            "Weights kept": f"those of the best validation (AUROC there {facts['validation_auroc']:.3f}, by "
            "which they were chosen)",
            "Digests": _digests(run),
        }
    )


def _digests(run: TrainedRun) -> str | None:
    """Those of the run's record, which lead back to configuration, code and data."""
    record = run.weights.with_name(RUN_FILES["record"])
    if not record.is_file():
        return None
    row = read_table(record, "runs").iloc[0]
    return ", ".join(f"{name} `{row[f'{name}_digest']}`" for name in ("config", "code", "data"))


def _named(data: Mapping[str, Any]) -> str:
    return f"{data['dataset']} (source {data['source']}{', phantoms' if data['phantoms'] else ''})"


def _metrics(run: TrainedRun, study: Study | None) -> str:
    if study is None or study.metrics.empty:
        return (
            "No metrics on test patients lay beside the run when this card was written. On its validation "
            f"scans, by which its weights were chosen, its AUROC was {run.facts['validation_auroc']:.3f}."
        )
    text = (
        "On patients of whom neither training nor validation saw a scan. The intervals are over patients, "
        "about this trained network, at the study's confidence (95 % unless it says otherwise): another seed "
        "gives another one."
    )
    if run.num_folds > 1:
        text += f" They are those of all {run.num_folds} folds' models, each on patients that it never saw."
    lines = [
        "| test set | metric | value | interval | scans | positive |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in study.metrics.to_dict("records"):
        value = "not defined" if pd.isna(row["value"]) else f"{row['value']:.3f}"
        ends = [row["patients_low"], row["patients_high"]]
        interval = "none" if any(map(pd.isna, ends)) else f"{ends[0]:.3f} to {ends[1]:.3f}"
        cells = [row["dataset"], row["metric"], value, interval, row["num_scans"], row["num_positive"]]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join([text, "", *lines])


def _limits(run: TrainedRun) -> list[str]:
    data = run.facts["training_data"]
    limits = [*_LIMITS, f"It answers one question ({data['label']}), and is blind to every other finding."]
    if data["source"] == "lidc_nodules":
        limits.append("It was trained on nodules cut out of their CT, not on whole scans.")
    return limits


def _licences(run: TrainedRun, study: Study | None) -> str:
    table, datasets = weights_table(), study.datasets if study else []
    weights = [table[name] for name in run.facts["training_data"]["published_weights"] if name in table]
    told = {facts["dataset"] for facts in datasets}
    unknown = [
        f"Data of {_named(data)}: as their publisher states; no manifest lay beside the run."
        for data in _learned_from(run)
        if data["dataset"] not in told
    ]
    text = citations_text(datasets, weights).removeprefix("# What to cite").strip()
    return "\n\n".join([_TERMS, text.replace("## ", "### "), *unknown])
