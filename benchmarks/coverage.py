"""Coverage of the intervals over patients at the sizes of the paper's test sets, as a table in Markdown.

python benchmarks/coverage.py [SIMULATIONS [AUROC]] > table.md    (4,000 take about four minutes)

Half of the simulations have the test set's number of positive scans, half draw it. Not in ``make bench``:
it times nothing. docs/statistics.md holds its table.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from chestct.evaluation.metric_table import METRICS
from chestct.evaluation.validity.coverage import coverage_rows

#: Test scans and positive ones of the paper's LIDC-IDRI and RSPECT.
SIZES = ((152, 105), (1068, 332))
NUM_RESAMPLES = 500


def run(job: tuple[tuple[int, int], int, float]) -> list[dict[str, Any]]:
    """Coverage at one size."""
    size, num_simulations, auroc = job
    rows = coverage_rows(
        *size,
        metrics=list(METRICS),
        specificity=0.9,
        num_simulations=num_simulations,
        num_resamples=NUM_RESAMPLES,
        confidence=0.95,
        rng=np.random.default_rng(1),
        pair=(auroc, auroc - 0.05),
    )
    return list(rows)


def main() -> None:
    num_simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    auroc = float(sys.argv[2]) if len(sys.argv) > 2 else 0.8
    with ProcessPoolExecutor(len(SIZES)) as pool:
        found = pool.map(run, [(size, num_simulations, auroc) for size in SIZES])
    cells = {
        (row["metric"], row["quantity"], row["method"], size, row["prevalence"]): row["coverage"]
        for size, rows in zip(SIZES, found, strict=True)
        for row in rows
    }
    columns = [(size, prevalence) for size in SIZES for prevalence in ("fixed", "sampled")]
    heads = [f"{scans:,} scans, {kind}" for (scans, _), kind in columns]
    print(f"| metric | quantity | interval | {' | '.join(heads)} |")
    print(f"|{' --- |' * (3 + len(heads))}")
    for metric, quantity, method in dict.fromkeys(key[:3] for key in cells):
        shares = [f"{100 * cells[metric, quantity, method, *column]:.1f}" for column in columns]
        print(f"| `{metric}` | {quantity} | {method} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
