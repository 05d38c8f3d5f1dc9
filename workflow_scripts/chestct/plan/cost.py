"""Windows that the jobs of a study train on and score, and the hours that this takes.

Of a model that sees slices or whole scans, these are counted in the place of windows.

All numbers are upper bounds where runs may stop early (training.patience). What is not known is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from chestct.catalogue import MODELS
from chestct.dataset_entries import outside_sets
from chestct.plan.scans import Scans
from chestct.plan.speeds import PASSES
from chestct.run import RUN_KEYS, Run
from chestct.run_grid import list_runs, selection_run, training_settings
from chestct.training.budget import count_validations, num_training_steps
from chestct.training.compile_choice import ALWAYS, NEVER

#: Rules whose jobs may compile the network.
COMPILING = ("pretrain", "try_learning_rates", "finetune", "predict", "predict_outside")


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job of the study's graph.

    Attributes:
        rule: its rule.
        wildcards: of the job, by name.
        after: positions, in the list of all jobs, of the jobs that it waits for.
        to_do: it has not been done yet, or is to be done again.
    """

    rule: str
    wildcards: Mapping[str, str]
    after: tuple[int, ...] = ()
    to_do: bool = True


def windows_of_run(config: dict[str, Any], scans: Scans, run: Run) -> tuple[float, float]:
    """Windows that a run trains on, and that its validations score."""
    subsets, settings = config["subsets"], training_settings(config, run.model, run.init)
    num_train, num_validation = scans.split("train", subsets), scans.split("validation", subsets)
    if num_train != num_train:
        return num_train, num_train
    num_steps = num_training_steps(max(1, round(num_train * run.percent / 100)), settings)
    score = count_validations(settings) * num_validation * scans.windows(subsets, MODELS[run.model].sees)
    return float(num_steps * settings.batch_size), score


def count_windows(
    config: dict[str, Any], scans: Mapping[str, Scans], jobs: Sequence[PlannedJob]
) -> pd.DataFrame:
    """What every job does with windows.

    Args:
        config: the study's configuration.
        scans: what is known of every dataset, by its name.
        jobs: of the study.

    Returns:
        a row a job, in the order of the jobs: rule, model and init (if any), to_do, and the windows that it
        trains on (``train``: forward and backward), validates on (``score``: forward alone) and scores for
        good (``predict``: forward alone, predictions and features).
    """
    runs, subsets = list_runs(config), config["subsets"]
    outside = {one.name: one for one in outside_sets(config["datasets"])}

    def windows_of(job: PlannedJob) -> tuple[float, float, float]:
        keys = {key: int(value) if value.isdigit() else value for key, value in job.wildcards.items()}
        keys = {key: keys[key] for key in RUN_KEYS if key in keys}
        if job.rule == "pretrain":
            clips = config["training"]["pretraining"]
            return float(clips["num_clips"] * clips["epochs"]), 0.0, 0.0
        if job.rule == "predict":
            num_runs = sum(all(getattr(run, key) == keys[key] for key in keys) for run in runs)
            known = scans[job.wildcards["dataset"]]
            scored = known.split("validation", subsets) + known.split("test", subsets)
            sees = MODELS[job.wildcards["model"]].sees
            return 0.0, 0.0, num_runs * scored * known.windows(subsets, sees)
        if job.rule == "extract_features":
            # One pass over all scans a network; what is fitted on the features takes seconds.
            test_set = outside.get(job.wildcards["dataset"])
            known = scans[test_set.tested if test_set else job.wildcards["dataset"]]
            return 0.0, 0.0, known.num_scans * known.windows(subsets, MODELS[job.wildcards["model"]].sees)
        if job.rule == "predict_outside":
            test_set, model = outside[job.wildcards["outside"]], job.wildcards["model"]
            tested = [r for r in runs if (r.dataset, r.model, r.fold) == (test_set.trained, model, 0)]
            known = scans[test_set.tested]
            return 0.0, 0.0, len(tested) * known.num_scans * known.windows(subsets, MODELS[model].sees)
        if job.rule not in ("finetune", "try_learning_rates"):
            return 0.0, 0.0, 0.0
        run = Run(**keys) if job.rule == "finetune" else selection_run(config, **keys)  # type: ignore[arg-type]
        return *windows_of_run(config, scans[run.dataset], run), 0.0

    rows = [
        (job.rule, job.wildcards.get("model"), job.wildcards.get("init"), job.to_do, *windows_of(job))
        for job in jobs
    ]
    return pd.DataFrame(rows, columns=["rule", "model", "init", "to_do", *PASSES])


def shares_batchnorm(models: pd.Series, *, devices: int) -> pd.Series:
    """Which models have BatchNorm whose statistics devices exchange: training does not compile these."""
    batchnorm = {name for name, entry in MODELS.items() if entry.batchnorm}
    return models.isin(batchnorm) & (devices > 1)


def _of_jobs(windows: pd.DataFrame, speeds: pd.DataFrame) -> pd.DataFrame:
    return speeds.reindex(windows["model"]).set_axis(windows.index)


def _seconds(windows: pd.DataFrame, speed: pd.DataFrame, way: str = "") -> pd.Series:
    """Seconds of every job on one device; of compiled networks with ``way`` "compiled_"."""
    return sum((windows[name] / speed[way + name] for name in PASSES), pd.Series(0.0, index=windows.index))


def compiled_jobs(windows: pd.DataFrame, speeds: pd.DataFrame, *, chosen: str, devices: int = 1) -> pd.Series:
    """Which jobs compile their network, by measured speeds: True or False, a job.

    Args:
        windows: of ``count_windows``.
        speeds: of a device, of ``read_speeds``.
        chosen: never, auto or always (``speeds.compile_setting``).
        devices: that a run is shared by.
    """
    speed = _of_jobs(windows, speeds)
    saved = _seconds(windows, speed) - _seconds(windows, speed, "compiled_")
    pays = saved / devices > speed["compile_seconds"]
    works = windows["rule"].isin(COMPILING) & (windows[[*PASSES]] > 0).any(axis=1)
    works &= ~(shares_batchnorm(windows["model"], devices=devices) & (windows["train"] > 0))
    return works & speed["compile_seconds"].notna() & (pays | (chosen == ALWAYS)) & (chosen != NEVER)


def hours_of_jobs(
    windows: pd.DataFrame, speeds: pd.DataFrame, *, chosen: str = NEVER, devices: int = 1
) -> pd.Series:
    """Hours of every job on one device, from ``count_windows`` and a device's ``read_speeds``.

    Args:
        windows, speeds, chosen, devices: as of ``compiled_jobs``.
    """
    speed = _of_jobs(windows, speeds)
    hours = _seconds(windows, speed) / 3600
    if chosen != NEVER:
        compiled = (_seconds(windows, speed, "compiled_") + devices * speed["compile_seconds"]) / 3600
        hours = hours.mask(compiled_jobs(windows, speeds, chosen=chosen, devices=devices), compiled)
    return hours.mask((windows[[*PASSES]] == 0).all(axis=1), 0.0).astype(float)


def longest_chain(jobs: Sequence[PlannedJob], hours: Sequence[float]) -> float:
    """Hours of the longest chain of jobs that wait for each other."""

    @cache
    def until(number: int) -> float:
        return hours[number] + max((until(before) for before in jobs[number].after), default=0.0)

    return max((until(number) for number in range(len(jobs))), default=0.0)
