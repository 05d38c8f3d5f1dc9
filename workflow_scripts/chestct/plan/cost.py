"""Windows that the jobs of a study train on and score, and the hours that this takes.

All numbers are upper bounds where runs may stop early (training.patience).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from chestct.plan.scans import Scans
from chestct.plan.speeds import Speed
from chestct.runs import RUN_KEYS, Run, list_runs, selection_run, training_settings
from chestct.training.budget import num_training_steps


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


@dataclass(frozen=True, kw_only=True)
class Windows:
    """What a job does with windows.

    Attributes:
        model: that it trains or scores; None for jobs without a model.
        train: windows forward and backward; None if unknown.
        score: windows forward alone; None if unknown.
    """

    model: str | None = None
    train: float | None = 0.0
    score: float | None = 0.0

    def hours(self, speeds: Mapping[str, Speed]) -> float | None:
        """Hours on one device; None if unknown."""
        if self.train == 0 and self.score == 0:
            return 0.0
        if self.train is None or self.score is None or self.model not in speeds:
            return None
        speed = speeds[self.model]
        return (self.train / speed.train + self.score / speed.score) / 3600


def windows_of_run(config: dict[str, Any], scans: Scans, run: Run) -> tuple[float | None, float | None]:
    """Windows that a run trains on, and that its validations score."""
    subsets, settings = config["subsets"], training_settings(config, run.model)
    num_train, num_validation = scans.split("train", subsets), scans.split("validation", subsets)
    if num_train is None or num_validation is None:
        return None, None
    a_scan = scans.windows(subsets["window_slices"], subsets["window_stride"])
    num_steps = num_training_steps(max(1, round(num_train * run.percent / 100)), settings)
    train = float(num_steps * settings.batch_size)
    score = None if a_scan is None else float(settings.num_validations * num_validation * a_scan)
    return train, score


def _windows_of_prediction(config: dict[str, Any], scans: Scans) -> float | None:
    """Windows of the validation and test scans of a run."""
    subsets = config["subsets"]
    a_scan = scans.windows(subsets["window_slices"], subsets["window_stride"])
    validation, test = scans.split("validation", subsets), scans.split("test", subsets)
    if a_scan is None or validation is None or test is None:
        return None
    return float((validation + test) * a_scan)


def count_windows(
    config: dict[str, Any], scans: Mapping[str, Scans], jobs: Sequence[PlannedJob]
) -> list[Windows]:
    """Windows of every job, in the order of the jobs.

    Args:
        config: the study's configuration.
        scans: what is known of every dataset, by its name.
        jobs: of the study.
    """
    runs = list_runs(config)

    def windows_of(job: PlannedJob) -> Windows:
        keys = {key: int(value) if value.isdigit() else value for key, value in job.wildcards.items()}
        model = job.wildcards.get("model")
        if job.rule == "pretrain":
            clips = config["training"]["pretraining"]
            return Windows(model=model, train=float(clips["num_clips"] * clips["epochs"]))
        if job.rule == "predict":
            keys = {key: keys[key] for key in RUN_KEYS if key in keys}
            num_runs = sum(all(getattr(run, key) == keys[key] for key in keys) for run in runs)
            score = _windows_of_prediction(config, scans[job.wildcards["dataset"]])
            return Windows(model=model, score=None if score is None else num_runs * score)
        if job.rule == "try_learning_rates":
            run = selection_run(config, *(job.wildcards[key] for key in ("dataset", "model", "init")))
        elif job.rule == "finetune":
            run = Run(**{key: keys[key] for key in RUN_KEYS})  # type: ignore[arg-type]
        else:
            return Windows(model=model)
        train, score = windows_of_run(config, scans[run.dataset], run)
        return Windows(model=model, train=train, score=score)

    return [windows_of(job) for job in jobs]


def longest_chain(
    jobs: Sequence[PlannedJob], windows: Sequence[Windows], speeds: Mapping[str, Speed]
) -> float:
    """Hours of the longest chain of jobs that wait for each other, unknown ones left out."""

    @cache
    def until(number: int) -> float:
        before = max((until(other) for other in jobs[number].after), default=0.0)
        return (windows[number].hours(speeds) or 0.0) + before

    return max((until(number) for number in range(len(jobs))), default=0.0)
