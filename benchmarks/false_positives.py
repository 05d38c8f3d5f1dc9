"""Error rates, coverage and power of the inference at the sizes of the paper's study, as a table in Markdown.

python benchmarks/false_positives.py [SIMULATIONS] > table.md    (1,000 take a quarter of an hour)

Two datasets of the paper's sizes, seven models, five percentages, three seeds. Coverage is counted without an
effect, power from a quarter of the simulations. Not part of ``make bench``: it times nothing.
docs/statistics.md holds its table.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np

from chestct.evaluation.validity.false_positives import Rates, Setting, simulate

NOISES = (0.0, 0.01, 0.02)
#: Claims 1 and 3 compare each model with itself; claim 2 all models with the same runs of a rival.
RIVALS = {False: "own", True: "shared"}
EFFECTS = (0.0, 0.02)


def run(job: tuple[float, bool, float, int]) -> dict[str, Rates]:
    """Rates of one setting."""
    noise, shared, effect, num_simulations = job
    setting = Setting(run_noise=noise, shared_rival=shared, effect=effect)
    return simulate(
        setting, num_simulations, np.random.default_rng([int(1000 * noise), int(1000 * effect), shared])
    )


def main() -> None:
    num_simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    # Power needs fewer simulations than an error rate.
    counts = {0.0: num_simulations, 0.02: max(1, num_simulations // 4)}
    jobs = [
        (noise, shared, effect, counts[effect]) for noise, shared, effect in product(NOISES, RIVALS, EFFECTS)
    ]
    print("| run noise | rival | contrast | false positives | patients alone | coverage | power at 0.02 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(jobs, pool.map(run, jobs), strict=True))
    for noise, shared in product(NOISES, RIVALS):
        none, some = (found[noise, shared, effect, counts[effect]] for effect in EFFECTS)
        for kind, rate in sorted(none.items()):
            there = some[kind]
            shares = (
                rate.significant / rate.num,
                rate.patients / rate.num,
                rate.covered / rate.num,
                there.significant / there.num,
            )
            text = " | ".join(f"{100 * share:.1f} %" for share in shares)
            print(f"| {noise:g} | {RIVALS[shared]} | {kind} | {text} |")


if __name__ == "__main__":
    main()
