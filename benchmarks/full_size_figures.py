"""From stored predictions of a study of the paper's size to the tables behind its figures, rule by rule.

    python benchmarks/full_size_figures.py [FOLDER]     keeps all tables in FOLDER

Writes made-up predictions first and simulates coverage, which asks for none (a minute, neither counted), then
runs the evaluation as the workflow does on two cores: a job a dataset, side by side, each a process with one
thread; then the checks of validity likewise; then the joint tables and claims. Prints the seconds of every
rule, by the clock and of the processor.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from full_size_predictions import DATASETS, MODELS_2D, MODELS_3D, inputs_of, write_full_size
from setting import emit, scratch

METRICS = ["auroc", "auprc", "sensitivity", "brier", "calibration_error"]
NUM_RESAMPLES = 10_000
NUM_SIMULATIONS = 1000
LIMIT_S = 90  # of the evaluation alone, with the inference over patients, training runs and models


def bootstrap_metrics(folder: Path, dataset: str) -> None:
    """The job of rule bootstrap_metrics."""
    from chestct.evaluation.dataset import TABLES, evaluate_dataset

    evaluate_dataset(
        **inputs_of(folder, dataset)._asdict(),
        models=[*MODELS_3D, *MODELS_2D],
        validation_labels="all",
        tables={name: folder / "evaluation" / dataset / f"{name}.csv" for name in TABLES},
        draws_path=folder / "evaluation" / dataset / "draws.npz",
        metrics=METRICS,
        specificity=0.9,
        num_resamples=NUM_RESAMPLES,
        confidence=0.95,
        seed=0,
    )


def collect_evaluation(folder: Path) -> None:
    """The job of rule collect_evaluation."""
    from chestct.evaluation.dataset import TABLES
    from chestct.evaluation.study import collect
    from chestct.evaluation.validity.dataset import VALIDITY_TABLES

    names = (*TABLES, *VALIDITY_TABLES)
    evaluation = folder / "evaluation"
    draws = [evaluation / dataset / "draws.npz" for dataset in DATASETS]
    collect(
        tables={name: [evaluation / dataset / f"{name}.csv" for dataset in DATASETS] for name in names},
        draws=draws,
        draws_by_dataset=draws,
        collected={name: evaluation / f"{name}.csv" for name in names},
        claims_path=evaluation / "claims.csv",
        by_dataset_path=evaluation / "claims_by_dataset.csv",
        confidence=0.95,
        margin=0.02,
    )


def simulate_coverage(folder: Path, dataset: str) -> None:
    """The job of rule simulate_coverage."""
    from chestct.evaluation.validity import dataset as validity

    inputs = inputs_of(folder, dataset)
    validity.simulate_coverage(
        cohort=inputs.cohort,
        splits=inputs.splits,
        coverage_path=folder / "evaluation" / dataset / "coverage.csv",
        metrics=METRICS,
        specificity=0.9,
        num_simulations=NUM_SIMULATIONS,
        num_resamples=NUM_RESAMPLES,
        confidence=0.95,
        seed=0,
    )


def check_validity(folder: Path, dataset: str) -> None:
    """The job of rule check_validity."""
    from chestct.evaluation.validity import dataset as validity

    evaluation = folder / "evaluation" / dataset
    validity.check_validity(
        draws=evaluation / "draws.npz",
        power_path=evaluation / "power.csv",
        permuted_path=evaluation / "permuted.csv",
        num_simulations=NUM_SIMULATIONS,
        num_resamples=NUM_RESAMPLES,
        confidence=0.95,
        seed=0,
    )


JOBS = {
    job.__name__: job for job in (simulate_coverage, bootstrap_metrics, check_validity, collect_evaluation)
}


def seconds(*jobs: tuple[str, ...]) -> tuple[float, float]:
    """Run jobs side by side, each in a process of its own; seconds until all ended, and of the processor."""
    environment = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, start = _processor_seconds(), time.perf_counter()
    running = [subprocess.Popen([sys.executable, __file__, "--job", *job], env=environment) for job in jobs]
    if any([process.wait() for process in running]):
        raise SystemExit(f"a job of {jobs} failed")
    return time.perf_counter() - start, _processor_seconds() - before


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(folder: Path) -> None:
    write_full_size(folder)
    # Needs no prediction: the workflow does it while models train.
    coverage = seconds(*[("simulate_coverage", str(folder), dataset) for dataset in DATASETS])
    way = {
        "bootstrap_metrics": seconds(*[("bootstrap_metrics", str(folder), dataset) for dataset in DATASETS]),
        "check_validity": seconds(*[("check_validity", str(folder), dataset) for dataset in DATASETS]),
        "collect_evaluation": seconds(("collect_evaluation", str(folder))),
    }
    print(json.dumps(way | {"simulate_coverage (not counted)": coverage}), file=sys.stderr)
    total = sum(wall for wall, _ in way.values())
    emit(
        "Stored predictions of the full study to all tables of the evaluation, two cores",
        baseline="the limit",
        ours=f"{NUM_RESAMPLES:,} resamples, five metrics, all comparisons",
        baseline_value=LIMIT_S,
        our_value=total,
        unit="s",
        ratio=total / LIMIT_S,
        must=1.0,
        aim=0.75,
        at_most=True,
        data="1,560 made-up runs of 1,100 test scans on two datasets",
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        JOBS[sys.argv[2]](Path(sys.argv[3]), *sys.argv[4:])
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with scratch() as temporary:
            main(temporary)
