"""What the plan says of torch.compile: which jobs compile their network, and how that is known."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from chestct.plan.cost import COMPILING, compiled_jobs, shares_batchnorm
from chestct.plan.speeds import compile_setting
from chestct.training.compile_choice import ALWAYS, NEVER


def compile_lines(
    config: Mapping[str, Any], windows: pd.DataFrame, speeds: pd.DataFrame, *, devices: int
) -> list[str]:
    """Lines on the jobs of a study on one device; none where no network is compiled.

    Args:
        config: of the study.
        windows: of ``cost.count_windows``.
        speeds: of the device, of ``speeds.read_speeds``.
        devices: that a run is shared by.
    """
    chosen, form = compile_setting(config), config["training"]["compile_form"]
    if chosen == NEVER:
        return []
    jobs = windows[windows["rule"].isin(COMPILING) & windows["model"].isin(speeds.index)]
    compiled = compiled_jobs(jobs, speeds, chosen=chosen, devices=devices)
    shared = shares_batchnorm(jobs["model"], devices=devices) & (jobs["train"] > 0)
    lines: list[str] = []
    if shared.any():
        names = ", ".join(jobs.loc[shared, "model"].drop_duplicates())
        lines.append(f"Not compiled in training, since GPUs exchange statistics of BatchNorm: {names}.")
    jobs = jobs[~shared]
    unknown: list[str] = []
    for model, of_model in jobs.groupby("model", sort=False):
        speed = speeds.loc[model]
        if pd.isna(speed["compile_seconds"]):
            unknown.append(str(model))
            continue
        lines.append(
            f"torch.compile ({form}) of {model}: {compiled[of_model.index].sum()} of {len(of_model)} jobs, "
            f"measured: {speed['compiled_train']:.4g} instead of {speed['train']:.4g} windows/s, "
            f"{speed['compile_seconds']:.0f} s to compile."
        )
    if unknown:
        how = (
            "they are compiled, which these hours do not include"
            if chosen == ALWAYS
            else "each run times its first steps, and compiles if that is likely to pay off"
        )
        lines.append(
            f"torch.compile ({form}): not measured both with and without; {how} (docs/full_study.md): "
            f"{', '.join(unknown)}."
        )
    return lines
