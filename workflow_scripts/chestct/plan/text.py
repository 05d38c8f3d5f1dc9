"""The plan of a study as text: jobs, hours, disk."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.download.transfer.disk import free_bytes
from chestct.download.weights_table import weights_row
from chestct.plan.by_hand import lines_by_hand
from chestct.plan.columns import number, table
from chestct.plan.cost import PlannedJob, count_windows
from chestct.plan.device_hours import device_lines
from chestct.plan.scans import Scans, count_scans
from chestct.plan.speeds import read_speeds
from chestct.run_grid import list_runs, trained_names
from chestct.stored_size import stored_bytes
from chestct.window_forms import slices_seen

#: Slices a second that one core of a 2-core virtual machine converted from DICOM, read from a cold disk.
CONVERTED_SLICES_A_SECOND = 1_600
#: Seconds of one core for 10,000 resamples of a metric of a run on 1,000 scans, comparisons included.
BOOTSTRAP_SECONDS = 0.008
#: Parameters of models with one class, in millions.
PARAMETERS = pd.read_csv(Path(__file__).with_name("parameters.csv"), index_col="model")["millions"]


def _job_lines(
    scans: Mapping[str, Scans], rules: Mapping[str, Collection[str]], jobs: Sequence[PlannedJob]
) -> list[str]:
    """Jobs by rule; Snakemake does not know the shards of datasets that are not listed yet."""
    listed = {job.wildcards["dataset"] for job in jobs if "shard" in job.wildcards}
    unlisted = {name: known.num_shards for name, known in scans.items() if name not in listed}
    to_do = pd.Series([job.to_do for job in jobs]).groupby([job.rule for job in jobs])
    counts = pd.DataFrame({"jobs": to_do.size(), "to do now": to_do.sum()}).reindex(list(rules), fill_value=0)
    counts = counts.astype(float)
    counts.loc[["shard" in wildcards for wildcards in rules.values()]] += sum(unlisted.values())
    counts = counts[counts["jobs"] != 0]
    more = " and those of unlisted data" if counts.isna().any(axis=None) else ""
    rows = [(rule, *map(number, numbers)) for rule, *numbers in counts.itertuples()]
    rows.append(("total", *(f"{number:,.0f}{more}" for number in counts.sum())))
    lines = table(rows, ["rule", *counts])
    if unlisted:
        of = f"Jobs by shard of {', '.join(unlisted)}"
        lines += ["", f"{of} are estimates: Snakemake knows them once list_series has run."]
    return lines


def _data_lines(scans: Mapping[str, Scans], config: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, *map(number, (known.num_scans, known.slices, known.windows(config["subsets"]))), known.origin)
        for name, known in scans.items()
    ]
    return table(rows, ["dataset", "scans", "slices per scan", "windows per scan", "source"])


def _cpu_line(config: Mapping[str, Any], scans: Mapping[str, Scans], slices: float, num_curves: int) -> str:
    evaluation = config["evaluation"]
    tested = pd.Series([known.split("test", config["subsets"]) for known in scans.values()]).max()
    resamples = evaluation["num_resamples"] / 10_000 * tested / 1_000
    bootstrap = num_curves * len(evaluation["metrics"]) * BOOTSTRAP_SECONDS * resamples / 3600
    conversion = slices / CONVERTED_SLICES_A_SECOND / 3600
    pace = f"{CONVERTED_SLICES_A_SECOND:,} slices per second"
    return (
        f"CPU hours of one core: conversion {number(conversion, 1)} (estimated from {pace}, without "
        f"waiting for the network), bootstrap {number(bootstrap, 1)}. Cores that a training job occupies: "
        f"{config['training']['threads']}."
    )


def _disk_lines(
    config: dict[str, Any], scans: Mapping[str, Scans], slices: float, jobs: Sequence[PlannedJob]
) -> list[str]:
    weights = [weights_row(job.wildcards["weights_id"]) for job in jobs if job.rule == "download_weights"]
    models = pd.Series([job.wildcards.get("model", "").removesuffix("_probe") for job in jobs])
    # With a search one trial of every arm becomes the run of choose_learning_rate.
    is_run = pd.Series([job.rule in ("finetune", "choose_learning_rate") for job in jobs], dtype=bool)
    is_trial = pd.Series([job.rule == "try_learning_rates" for job in jobs], dtype=bool)
    millions = models.map(PARAMETERS)
    gigabytes = {
        "download: scans": sum(known.num_bytes for known in scans.values()) / 1e9,
        "download: weights": sum(float(row["size_bytes"] or "nan") for row in weights) / 1e9,
        "volumes": stored_bytes(slices, config["volumes"]["size_px"]) / 1e9,
        "training: runs": 4e-3 * millions[is_run].sum(),
    }
    if is_trial.any():
        gigabytes["training: trials (can be deleted at the end)"] = 4e-3 * millions[is_trial].sum()
    lines = table([(step, number(value, 1)) for step, value in gigabytes.items()], ["disk, by step", "GB"])
    lines.append(f"Free space for the data: {free_bytes(Path(config['data_dir'])) / 1e9:,.1f} GB.")
    unknown = sorted(set(models[(is_run | is_trial) & millions.isna()]))
    return lines + ([f"Not including the weights of {', '.join(unknown)}."] if unknown else [])


def plan_text(
    config: dict[str, Any], rules: Mapping[str, Collection[str]], jobs: Sequence[PlannedJob]
) -> str:
    """The plan of a study.

    Args:
        config: its configuration.
        rules: wildcards of every rule of the workflow.
        jobs: of the study, done or not.

    Raises:
        InputError: a table of listed data or the table of speeds is broken.
    """
    entries = {entry["name"]: entry for entry in config["datasets"]}
    scans = {name: count_scans(config, entry) for name, entry in entries.items()}
    windows, runs = count_windows(config, scans, jobs), list_runs(config)
    rates = config["training"]["learning_rates"]
    trials = sum(job.rule == "try_learning_rates" for job in jobs)
    speeds = read_speeds(config)
    slices = sum(known.num_scans * known.slices for known in scans.values())
    lines = [
        f"Study {config['study']}: {len(runs):,} runs of {len(config['models'])} models on "
        f"{len(trained_names(config))} dataset(s)"
        + (
            f", {trials:,} trials of {len(rates)} learning rates, one of which becomes a run in each arm."
            if trials
            else "."
        ),
        "",
        *lines_by_hand(config, jobs),
        "",
        *_data_lines(scans, config),
        "",
        *_job_lines(scans, rules, jobs),
        "",
    ]
    for device, of_models in speeds.items():
        if any(entry["name"] in of_models.index for entry in config["models"]):
            lines += [*device_lines(config, jobs, windows, device, of_models), ""]
    missing = [
        e["name"] for e in config["models"] if not any(e["name"] in known.index for known in speeds.values())
    ]
    if missing:
        training = config["training"]
        seen = [f"{name} ({slices_seen(config['subsets'], name)} slices)" for name in missing]
        lines += [
            f"No speed is known in {training['precision']}, at {training['crop_px']} pixels, of:",
            f"{', '.join(seen)}.",
            "Measure: python -m chestct.training.measure.throughput MODEL (adds to plan/throughput.csv).",
            "",
        ]
    lines += [_cpu_line(config, scans, slices, math.ceil(len(runs) / config["subsets"]["folds"])), ""]
    lines += [*_disk_lines(config, scans, slices, jobs), ""]
    patience = config["training"]["patience"]
    if patience is not None:
        lines.append(
            f"Hours are upper bounds: a run ends early after {patience['windows_per_scan']:g} windows per "
            f"training scan (at least {patience['min_windows']:,}) without a better validation AUROC."
        )
    lines.append("Scans that will be refused or excluded are included.")
    return "\n".join(lines) + "\n"
