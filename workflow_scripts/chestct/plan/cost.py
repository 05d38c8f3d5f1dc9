"""Windows that a study trains on and scores, as jobs that wait for each other.

All numbers are upper bounds where runs may stop early (training.patience).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from chestct.plan.scans import Scans
from chestct.plan.speeds import Speed
from chestct.runs import (
    Run,
    initial_weights,
    list_arms,
    list_runs,
    searches,
    selection_run,
    training_settings,
)
from chestct.training.budget import num_training_steps

#: Rules whose jobs ``training_jobs`` lists.
TRAINING_RULES = (
    "pretrain",
    "try_learning_rates",
    "choose_learning_rate",
    "finetune",
    "predict",
)


@dataclass(kw_only=True)
class TrainingJob:
    """One job of the training step.

    Attributes:
        rule: name of its rule.
        model: that it trains or scores.
        train: windows forward and backward; None if unknown.
        score: windows forward alone; None if unknown.
        after: names of the jobs that it waits for.
    """

    rule: str
    model: str
    train: float | None = 0.0
    score: float | None = 0.0
    after: set[str] = field(default_factory=set)

    def add(self, train: float | None, score: float | None) -> None:
        """More windows in the same job."""
        self.train = None if self.train is None or train is None else self.train + train
        self.score = None if self.score is None or score is None else self.score + score

    def hours(self, speeds: Mapping[str, Speed]) -> float | None:
        """Hours on one device; None if unknown."""
        if not (self.train or self.score) and self.train is not None:
            return 0.0
        if self.train is None or self.score is None or self.model not in speeds:
            return None
        speed = speeds[self.model]
        return (self.train / speed.train + self.score / speed.score) / 3600


def windows_of_run(config: Mapping[str, Any], scans: Scans, run: Run) -> tuple[float | None, float | None]:
    """Windows that a run trains on, and that its validations score."""
    subsets, settings = config["subsets"], training_settings(dict(config), run.model)
    num_train, num_validation = scans.split("train", subsets), scans.split("validation", subsets)
    a_scan = scans.windows(subsets["window_slices"], subsets["window_stride"])
    if num_train is None or num_validation is None:
        return None, None
    num_steps = num_training_steps(max(1, round(num_train * run.percent / 100)), settings)
    train = float(num_steps * settings.batch_size)
    score = None if a_scan is None else float(settings.num_validations * num_validation * a_scan)
    return train, score


def _windows_of_prediction(config: Mapping[str, Any], scans: Scans) -> float | None:
    """Validation and test scans of a run."""
    subsets = config["subsets"]
    a_scan = scans.windows(subsets["window_slices"], subsets["window_stride"])
    parts = [scans.split(name, subsets) for name in ("validation", "test")]
    if a_scan is None or None in parts:
        return None
    return float(sum(part for part in parts if part is not None) * a_scan)


def training_jobs(config: dict[str, Any], scans: Mapping[str, Scans]) -> dict[str, TrainingJob]:
    """The jobs of the training step, by name: pretraining, trials, choices, fine-tuning, prediction.

    Args:
        config: the study's configuration.
        scans: what is known of every dataset, by its name.
    """
    rates = config["training"]["learning_rates"]
    adopted = {selection_run(config, *arm) for arm in list_arms(config)} if searches(config) else set()
    jobs: dict[str, TrainingJob] = {}

    def job_of(run: Run) -> str:
        if run in adopted:
            return f"choose {run.dataset}/{run.model}/{run.init}"
        return f"finetune {run.folder}"

    def starts_of(run: Run) -> set[str]:
        start = initial_weights(config, run)
        if start["kind"] == "run":
            return {job_of(start["run"])}
        if start["kind"] != "pretraining":
            return set()
        name, model, clips = f"pretrain {start['model']}", start["model"], config["training"]["pretraining"]
        jobs[name] = TrainingJob(rule="pretrain", model=model, train=clips["num_clips"] * clips["epochs"])
        return {name}

    for arm in list_arms(config) if rates else []:
        run, where = selection_run(config, *arm), "/".join(arm)
        names = [f"try {where} {rate}" for rate in rates]
        for name in names:
            job = jobs.setdefault(name, TrainingJob(rule="try_learning_rates", model=run.model))
            job.add(*windows_of_run(config, scans[run.dataset], run))
            job.after |= starts_of(run)
        jobs[job_of(run)] = TrainingJob(rule="choose_learning_rate", model=run.model, after=set(names))
    for run in list_runs(config):
        name, last = job_of(run), f"predict {run.dataset}/{run.model}"
        if run not in adopted:
            job = jobs.setdefault(name, TrainingJob(rule="finetune", model=run.model))
            job.add(*windows_of_run(config, scans[run.dataset], run))
            job.after |= starts_of(run)
            job.after |= {f"choose {run.dataset}/{run.model}/{run.init}"} if rates else set()
        predict = jobs.setdefault(last, TrainingJob(rule="predict", model=run.model))
        predict.add(0.0, _windows_of_prediction(config, scans[run.dataset]))
        predict.after.add(name)
    return jobs


def longest_chain(jobs: Mapping[str, TrainingJob], speeds: Mapping[str, Speed]) -> float:
    """Hours of the longest chain of jobs that wait for each other, unknown ones left out."""

    @cache
    def until(name: str) -> float:
        job = jobs[name]
        return (job.hours(speeds) or 0.0) + max((until(before) for before in job.after), default=0.0)

    return max((until(name) for name in jobs), default=0.0)
