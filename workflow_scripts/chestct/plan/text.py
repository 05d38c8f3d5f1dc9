"""The plan of a study as text: jobs, hours, disk."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from chestct.download.weights_table import weights_row
from chestct.plan.cost import PlannedJob, Windows, count_windows, longest_chain
from chestct.plan.scans import Scans, count_scans
from chestct.plan.speeds import Speed, read_speeds
from chestct.runs import dataset_names, list_runs

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
#: Speeds of models by device.
THROUGHPUT = Path(__file__).with_name("throughput.csv")
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


def _job_lines(
    scans: Mapping[str, Scans], rules: Mapping[str, Collection[str]], jobs: Sequence[PlannedJob]
) -> list[str]:
    """Jobs by rule; Snakemake does not know the shards of datasets that are not listed yet."""
    listed = {job.wildcards["dataset"] for job in jobs if "shard" in job.wildcards}
    unlisted = {name: known.num_shards for name, known in scans.items() if name not in listed}
    shards = None if None in unlisted.values() else sum(number or 0 for number in unlisted.values())
    rows, total, left = [], 0, 0
    for rule, wildcards in rules.items():
        estimate = shards if "shard" in wildcards else 0
        found = [job for job in jobs if job.rule == rule]
        num_jobs, num_left = len(found), sum(job.to_do for job in found)
        total, left = total + num_jobs + (estimate or 0), left + num_left + (estimate or 0)
        if num_jobs or estimate != 0:
            numbers = [None if estimate is None else number + estimate for number in (num_jobs, num_left)]
            rows.append((rule, *(_number(number) for number in numbers)))
    more = "" if shards is not None else " and those of unlisted data"
    rows.append(("total", f"{total:,}{more}", f"{left:,}{more}"))
    lines = _table(rows, ["rule", "jobs", "to do now"])
    if unlisted:
        of = f"Jobs by shard of {', '.join(unlisted)}"
        lines += ["", f"{of} are estimates: Snakemake knows them once list_series has run."]
    return lines


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
    config: Mapping[str, Any],
    jobs: Sequence[PlannedJob],
    windows: Sequence[Windows],
    device: str,
    speeds: Mapping[str, Speed],
) -> list[str]:
    """Hours of one device by model and step, and what several of it need."""
    rows, sums = [], dict.fromkeys(_STEPS, 0.0)
    unknown, validation = [], 0.0
    for model in [entry["name"] for entry in config["models"]]:
        cells: dict[str, float | None] = {}
        for step, rules in _STEPS.items():
            hours = [
                work.hours(speeds)
                for job, work in zip(jobs, windows, strict=True)
                if work.model == model and job.rule in rules
            ]
            cells[step] = None if None in hours else sum(value or 0.0 for value in hours)
            sums[step] += cells[step] or 0.0
        if None in cells.values():
            unknown.append(model)
            continue
        validation += sum(
            (work.score or 0.0) / speeds[model].score / 3600
            for job, work in zip(jobs, windows, strict=True)
            if work.model == model and job.rule in ("try_learning_rates", "finetune")
        )
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
        chain = longest_chain(jobs, windows, speeds) / devices
        left = sum(work.hours(speeds) or 0.0 for job, work in zip(jobs, windows, strict=True) if job.to_do)
        walls = [
            f"{number}: {max(total / number, chain) / 24:,.1f}" for number in _NUM_GPUS if number >= devices
        ]
        lines += [
            "",
            f"To do now: {left:,.1f} hours.",
            f"Scoring validation scans is {100 * validation / total:.0f} % of the total.",
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


def _disk_lines(config: dict[str, Any], scans: Mapping[str, Scans], jobs: Sequence[PlannedJob]) -> list[str]:
    px = config["volumes"]["size_px"]
    raw = [known.num_bytes for known in scans.values()]
    slices = [
        None if k.slices is None or k.num_scans is None else k.slices * k.num_scans for k in scans.values()
    ]
    stored = None if None in slices else sum(n or 0 for n in slices) * px**2 * STORED_BYTES_A_VOXEL
    unknown = set()

    def weight_bytes(*rules: str) -> float:
        models = [job.wildcards["model"].removesuffix("_probe") for job in jobs if job.rule in rules]
        unknown.update(model for model in models if model not in PARAMETERS)
        return sum(4e6 * PARAMETERS.get(model, 0) for model in models)

    # With a search one trial of every arm becomes the run of choose_learning_rate.
    run_bytes, trial_bytes = (
        weight_bytes("finetune", "choose_learning_rate"),
        weight_bytes("try_learning_rates"),
    )
    weights = [weights_row(job.wildcards["weights_id"]) for job in jobs if job.rule == "download_weights"]
    sizes = [int(row["size_bytes"]) if row.get("size_bytes") else None for row in weights]
    rows = [
        ("download: scans", _number(None if None in raw else sum(n or 0 for n in raw) / 1e9, 1)),
        ("download: weights", _number(None if None in sizes else sum(n or 0 for n in sizes) / 1e9, 1)),
        ("volumes", _number(None if stored is None else stored / 1e9, 1)),
        ("training: runs", _number(run_bytes / 1e9, 1)),
    ]
    if trial_bytes:
        rows.append(("training: trials (can be deleted at the end)", _number(trial_bytes / 1e9, 1)))
    lines = _table(rows, ["disk, by step", "GB"])
    return lines + ([f"Without the weights of {', '.join(sorted(unknown))}."] if unknown else [])


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
    speeds = read_speeds(THROUGHPUT, config)
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
        *_job_lines(scans, rules, jobs),
        "",
    ]
    for device, of_models in speeds.items():
        if any(entry["name"] in of_models for entry in config["models"]):
            lines += [*_device_lines(config, jobs, windows, device, of_models), ""]
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
    lines += [*_disk_lines(config, scans, jobs), ""]
    if config["training"]["patience"]:
        lines.append(
            f"Hours are upper bounds: a run ends early after {config['training']['patience']} validations "
            "without a better AUROC."
        )
    lines.append("Scans that will be refused or excluded are counted in.")
    return "\n".join(lines) + "\n"
