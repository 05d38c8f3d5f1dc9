"""The plan of a study as text: jobs, hours, disk."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from chestct.plan.cost import TRAINING_RULES, TrainingJob, longest_chain, training_jobs
from chestct.plan.scans import Scans, count_scans
from chestct.plan.speeds import Speed, read_speeds
from chestct.runs import dataset_names, iter_weights_ids, list_arms, list_runs

#: Stored bytes a voxel of HU volumes: int16, of which lossless compression leaves half (on a real series).
STORED_BYTES_A_VOXEL = 1.05
#: Slices a second that one core of a 2-core virtual machine converted from DICOM, read from a cold disk.
CONVERTED_SLICES_A_SECOND = 1_600
#: Seconds of one core for 10,000 resamples of a metric of a run on 1,000 scans, comparisons included.
BOOTSTRAP_SECONDS = 0.008
#: Millions of parameters with one class.
PARAMETERS = {
    "slow_r50": 31.6,
    "slowfast_r50": 33.6,
    "r2plus1d_r50": 27.3,
    "csn_r101": 21.4,
    "mvit_base_32x3": 36.3,
    "swin3d_t": 27.9,
    "penet": 28.4,
    "x3d_m": 3.0,
    "videomae_base": 86.2,
    "i3d": 12.3,
    "resnet18": 11.2,
    "resnext101_32x8d": 86.7,
    "lrcn_resnext101_32x8d": 96.6,
    "efficientnet_lite0": 3.4,
    "lrcn_efficientnet_lite0": 9.7,
}
_NUM_GPUS = (1, 2, 4, 8, 16, 32)
_STEPS = {
    "search": ("try_learning_rates",),
    "fine-tuning": ("pretrain", "finetune"),
    "prediction": ("predict",),
}


def _number(value: float | None, digits: int = 0) -> str:
    return "unknown" if value is None else f"{value:,.{digits}f}"


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """Aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [columns, *rows]
    ]


def count_jobs(
    config: dict[str, Any],
    scans: Mapping[str, Scans],
    jobs: Mapping[str, TrainingJob],
    rules: Mapping[str, Collection[str]],
) -> dict[str, int | None]:
    """Jobs by rule, from nothing done to everything; None where the data are not listed yet.

    Args:
        config: the study's configuration.
        scans: what is known of every dataset.
        jobs: of the training step.
        rules: wildcards of every rule of the study.
    """
    of_shards = [known.num_shards for known in scans.values()]
    shards = None if None in of_shards else sum(number for number in of_shards if number is not None)
    once_for_every = {
        (): 1,
        ("dataset",): len(scans),
        ("dataset", "shard"): shards,
        ("dataset", "percent", "seed"): len(scans) * len(config["percents"]) * len(config["seeds"]),
        ("weights_id",): len(list(iter_weights_ids(config))),
    }
    training = Counter(job.rule for job in jobs.values())
    counts: dict[str, int | None] = {}
    for rule, wildcards in rules.items():
        # Without wildcards there is a rule a model.
        name = "finetune" if rule.startswith("finetune_") else rule
        counts[name] = training[name] if name in TRAINING_RULES else once_for_every[tuple(sorted(wildcards))]
    return {name: count for name, count in counts.items() if count != 0}


def _data_lines(scans: Mapping[str, Scans], config: Mapping[str, Any]) -> list[str]:
    subsets = config["subsets"]
    rows = [
        (
            name,
            _number(known.num_scans),
            _number(known.slices),
            _number(known.windows(subsets["window_slices"], subsets["window_stride"])),
            known.origin,
        )
        for name, known in scans.items()
    ]
    return _table(rows, ["dataset", "scans", "slices a scan", "windows a scan", "known from"])


def _device_lines(
    config: Mapping[str, Any], jobs: Mapping[str, TrainingJob], device: str, speeds: Mapping[str, Speed]
) -> list[str]:
    """Hours of one device by model and step, and what several of it need."""
    rows, sums = [], dict.fromkeys(_STEPS, 0.0)
    unknown, validation = [], 0.0
    for model in [entry["name"] for entry in config["models"]]:
        cells: dict[str, float | None] = {}
        for step, rules in _STEPS.items():
            hours = [job.hours(speeds) for job in jobs.values() if job.model == model and job.rule in rules]
            cells[step] = None if None in hours else sum(value or 0.0 for value in hours)
            sums[step] += cells[step] or 0.0
        if None in cells.values():
            unknown.append(model)
            continue
        trained = [
            j for j in jobs.values() if j.model == model and j.rule in ("try_learning_rates", "finetune")
        ]
        validation += sum(job.score or 0.0 for job in trained) / speeds[model].score / 3600
        total = sum(value or 0.0 for value in cells.values())
        numbers = (*cells.values(), total)
        rows.append((model, *(_number(value, 1) for value in numbers), speeds[model].standing))
    total = sum(sums.values())
    rows.append(("total", *(_number(value, 1) for value in (*sums.values(), total)), ""))
    lines = _table(rows, [f"hours of one {device}", *_STEPS, "total", "speed"])
    if unknown:
        lines += ["", f"Not in it, for lack of a speed or of listed data: {', '.join(unknown)}."]
    if total:
        # Of the runs that share several devices, the chain is as much shorter.
        devices = max(1, config["training"]["gpus"]) * config["training"]["nodes"]
        chain = longest_chain(jobs, speeds) / devices
        walls = [
            f"{number}: {max(total / number, chain) / 24:,.1f}" for number in _NUM_GPUS if number >= devices
        ]
        lines += [
            "",
            f"Scoring validation scans is {100 * validation / total:.0f} % of it.",
            f"Days at least, by number of them: {', '.join(walls)}.",
            f"The longest chain of jobs that wait for each other takes {chain:.1f} hours.",
        ]
    return lines


def _cpu_lines(config: Mapping[str, Any], scans: Mapping[str, Scans], num_curves: int) -> list[str]:
    slices = [
        None if k.slices is None or k.num_scans is None else k.slices * k.num_scans for k in scans.values()
    ]
    converted = None if None in slices else sum(n or 0 for n in slices) / CONVERTED_SLICES_A_SECOND / 3600
    evaluation = config["evaluation"]
    tested = max((known.split("test", config["subsets"]) or 0) for known in scans.values())
    resamples = evaluation["num_resamples"] / 10_000 * tested / 1_000
    bootstrap = num_curves * len(evaluation["metrics"]) * BOOTSTRAP_SECONDS * resamples / 3600
    return [
        f"CPU hours of one core: conversion {_number(converted, 1)} (estimated from "
        f"{CONVERTED_SLICES_A_SECOND:,} slices a second; waiting for the network comes on top), bootstrap "
        f"{bootstrap:.1f}. Cores that a training job keeps meanwhile: {config['training']['threads']}.",
    ]


def _disk_lines(
    config: dict[str, Any], scans: Mapping[str, Scans], weights: Sequence[Mapping[str, str]]
) -> list[str]:
    px = config["volumes"]["size_px"]
    raw = [known.num_bytes for known in scans.values()]
    slices = [
        None if k.slices is None or k.num_scans is None else k.slices * k.num_scans for k in scans.values()
    ]
    stored = None if None in slices else sum(n or 0 for n in slices) * px**2 * STORED_BYTES_A_VOXEL
    rates, run_bytes, trial_bytes, unknown = config["training"]["learning_rates"], 0.0, 0.0, set()

    def weight_bytes(model: str) -> float:
        millions = PARAMETERS.get(model.removesuffix("_probe"))
        if millions is None:
            unknown.add(model)
        return 4e6 * (millions or 0)

    for run in list_runs(config):
        run_bytes += weight_bytes(run.model)
    for _, model, _ in list_arms(config) if rates else []:
        trial_bytes += len(rates) * weight_bytes(model)
    sizes = [int(row["size_bytes"]) if row.get("size_bytes") else None for row in weights]
    rows = [
        ("download: scans", _number(None if None in raw else sum(n or 0 for n in raw) / 1e9, 1)),
        ("download: weights", _number(None if None in sizes else sum(n or 0 for n in sizes) / 1e9, 1)),
        ("volumes", _number(None if stored is None else stored / 1e9, 1)),
        ("training: runs", _number(run_bytes / 1e9, 1)),
    ]
    if rates:
        rows.append(("training: trials (can be deleted at the end)", _number(trial_bytes / 1e9, 1)))
    lines = _table(rows, ["disk, by step", "GB"])
    return lines + ([f"Without the weights of {', '.join(sorted(unknown))}."] if unknown else [])


def plan_text(
    config: dict[str, Any],
    rules: Mapping[str, Collection[str]],
    weights: Sequence[Mapping[str, str]],
    throughput: Path,
) -> str:
    """The plan of a study.

    Args:
        config: its configuration.
        rules: wildcards of every rule that it takes.
        weights: rows of the weights table that it starts from.
        throughput: table of schema ``throughput``.

    Raises:
        InputError: a table of listed data or the table of speeds is broken.
    """
    entries = {entry["name"]: entry for entry in config["datasets"]}
    scans = {name: count_scans(config, entry) for name, entry in entries.items()}
    jobs, runs = training_jobs(config, scans), list_runs(config)
    counts = count_jobs(config, scans, jobs, rules)
    known = [number for number in counts.values() if number is not None]
    total = f"{sum(known):,}" + ("" if len(known) == len(counts) else " and those of unlisted data")
    rates = config["training"]["learning_rates"]
    trials = len(list_arms(config)) * len(rates)
    speeds = read_speeds(throughput, config)
    lines = [
        f"Study {config['study']}: {len(runs):,} runs of {len(config['models'])} models on "
        f"{len(dataset_names(config))} dataset(s)"
        + (
            f", {trials:,} trials of {len(rates)} learning rates, one of each arm's is a run."
            if trials
            else "."
        ),
        "",
        *_data_lines(scans, config),
        "",
        *_table(
            [(rule, _number(number)) for rule, number in counts.items()] + [("total", total)],
            ["rule", "jobs"],
        ),
        "",
    ]
    for device, of_models in speeds.items():
        if any(entry["name"] in of_models for entry in config["models"]):
            lines += [*_device_lines(config, jobs, device, of_models), ""]
    missing = [
        e["name"] for e in config["models"] if not any(e["name"] in known for known in speeds.values())
    ]
    if missing:
        window = f"{config['subsets']['window_slices']} x {config['training']['crop_px']} pixels"
        lines += [
            f"No speed is known at windows of {window} in {config['training']['precision']} of:",
            f"{', '.join(missing)}.",
            "Measure: python -m chestct.training.measure.throughput MODEL (adds to plan/throughput.csv).",
            "",
        ]
    lines += [*_cpu_lines(config, scans, math.ceil(len(runs) / config["subsets"]["folds"])), ""]
    lines += [*_disk_lines(config, scans, weights), ""]
    if config["training"]["patience"]:
        lines.append(
            f"Hours are upper bounds: a run ends early after {config['training']['patience']} validations "
            "without a better AUROC."
        )
    lines.append("Scans that will be refused or excluded are counted in.")
    return "\n".join(lines) + "\n"
