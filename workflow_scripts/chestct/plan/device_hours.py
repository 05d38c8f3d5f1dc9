"""What a study takes on one device, by model and step, and on several of it: a part of its plan."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chestct.catalogue import LONGER
from chestct.plan.columns import number, table
from chestct.plan.compiling import compile_lines
from chestct.plan.cost import PlannedJob, hours_of_jobs, longest_chain
from chestct.plan.speeds import compile_setting
from chestct.window_forms import slices_seen

#: Seconds of one core until a job of training or prediction has its windows and its network: the default
#: study's 102 training jobs took 1,259 s, of which 708 in the loop (AMD EPYC, a core each).
START_SECONDS = 5
_NUM_DEVICES = (1, 2, 4, 8, 16, 32)
_STEPS = {
    "search": ("try_learning_rates",),
    "fine-tuning": ("pretrain", "finetune", "extract_features"),
    "prediction": ("predict", "predict_outside"),
}
#: Shorter totals, in hours, are told in minutes, and the least time in hours.
_MINUTES, _HOURS = 3.0, 72.0


def device_lines(
    config: Mapping[str, Any],
    jobs: Sequence[PlannedJob],
    windows: pd.DataFrame,
    device: str,
    speeds: pd.DataFrame,
) -> list[str]:
    """Hours (or minutes) of one device by model and step, slices a model sees, and what several need.

    Args:
        config: of the study.
        jobs: of the study.
        windows: of ``count_windows``.
        device: its name.
        speeds: of the device, of ``read_speeds``.
    """
    # GPUs that share a run.
    devices = max(1, config["training"]["gpus"]) * config["training"]["nodes"]
    hours = hours_of_jobs(windows, speeds, chosen=compile_setting(config), devices=devices)
    by_model = pd.DataFrame(
        {
            step: {
                entry["name"]: hours[(windows["model"] == entry["name"]) & windows["rule"].isin(rules)].sum(
                    skipna=False
                )
                for entry in config["models"]
            }
            for step, rules in _STEPS.items()
        }
    )
    unknown, by_model = by_model.index[by_model.isna().any(axis=1)], by_model.dropna()
    by_model["total"] = by_model.sum(axis=1)
    total = float(by_model["total"].sum())
    unit, factor = ("minutes", 60.0) if total < _MINUTES else ("hours", 1.0)
    rows = [
        (
            name,
            *(number(factor * value, 1) for value in values),
            str(slices_seen(config["subsets"], name)),
            str(speeds["standing"].get(name, "")),  # none of a model without a job
        )
        for name, *values in by_model.itertuples()
    ]
    rows.append(("total", *(number(factor * value, 1) for value in by_model.sum()), "", ""))
    lines = table(rows, [f"{unit} of one {device}", *by_model, "slices seen", "speed"])
    if len(unknown):
        lines += ["", f"Not included, for lack of a speed or of listed data: {', '.join(unknown)}."]
    if total:
        shown = windows[windows["model"].isin(by_model.index)]
        lines += ["", f"To do now: {factor * hours[windows['to_do']].sum():,.1f} {unit}."]
        lines += _longer_lines(windows, hours * factor, unit)
        lines += _share_lines(shown, speeds, total)
        lines += _prediction_lines(windows, speeds)
        lines += _several_lines(devices, jobs, hours, total)
        if total < _HOURS:
            lines.append(_start_line(jobs))
    about = compile_lines(config, windows, speeds, devices=devices)
    return lines + (["", *about] if about else [])


def _longer_lines(windows: pd.DataFrame, spent: pd.Series, unit: str) -> list[str]:
    """The part of the arms that train longer than others."""
    found = {init: spent[windows["init"] == init].sum() for init in LONGER}
    return [
        f"Of the total, {init} takes {of_init:,.1f} {unit}." for init, of_init in found.items() if of_init
    ]


def _share_lines(windows: pd.DataFrame, speeds: pd.DataFrame, total: float) -> list[str]:
    trained = windows[windows["rule"].isin(["try_learning_rates", "finetune"])]
    validation = hours_of_jobs(trained.assign(train=0.0), speeds).sum()
    return [f"Scoring validation scans is {100 * validation / total:.0f} % of the total."]


def _prediction_lines(windows: pd.DataFrame, speeds: pd.DataFrame) -> list[str]:
    """Where speeds of prediction come from, for models that predict otherwise than they validate."""
    models = windows.loc[windows["predict"] > 0, "model"].drop_duplicates()
    standing = speeds["predict_standing"].reindex(models)
    of_models = standing[standing.notna() & (standing != "as scoring")].groupby(standing, sort=False)
    alike = len(of_models) == 1 and standing.notna().all()
    return [
        f"Speed of prediction and of features of frozen probes, {words}"
        f"{'' if alike else ': ' + ', '.join(of_words.index)}."
        for words, of_words in of_models
    ]


def _several_lines(devices: int, jobs: Sequence[PlannedJob], hours: pd.Series, total: float) -> list[str]:
    """How long several devices take at least, and the longest chain."""
    # Of the runs that share several devices, the chain is as much shorter.
    chain = longest_chain(jobs, hours.fillna(0.0).tolist()) / devices
    unit, factor = ("Hours", 1.0) if total < _HOURS else ("Days", 1 / 24)
    if total < _MINUTES:
        unit, factor = "Minutes", 60.0
    at_least = {count: factor * max(total / count, chain) for count in _NUM_DEVICES if count >= devices}
    walls = [f"{count}: {wall:,.1f}" for count, wall in at_least.items()]
    longest = f"{60 * chain:.1f} minutes" if total < _MINUTES else f"{chain:.1f} hours"
    return [
        f"{unit} at least, by number of devices: {', '.join(walls)}.",
        f"The longest chain of jobs that wait for each other takes {longest}.",
    ]


def _start_line(jobs: Sequence[PlannedJob]) -> str:
    """What starting takes, which counts where runs are short."""
    rules = {rule for of_step in _STEPS.values() for rule in of_step}
    started = sum(job.rule in rules and job.to_do for job in jobs)
    return (
        f"Starting {started:,} of these jobs takes about {START_SECONDS} s of a core each, in addition: "
        f"{started * START_SECONDS / 60:,.1f} minutes."
    )
