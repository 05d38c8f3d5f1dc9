"""Control A against A: runs of one arm against other seeds of the same arm, which cannot differ in truth.

An interval over patients alone is about these trained networks, and two trainings of one arm are two
networks: it excludes zero more often than it says. An inference that counts training as a source of variance
should do so about once in twenty times. The control with permuted labels cannot see this.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from chestct.evaluation.contrasts import Arms, Quantity, common_seeds, is_trained, values_by_seed
from chestct.evaluation.estimates import inference_columns
from chestct.evaluation.inference import Inference, infer
from chestct.evaluation.intervals import student_intervals
from chestct.evaluation.resampling import Draws

#: Runs whose AUROC differs by less on every resample rank all scans alike.
_EQUAL = 1e-9


def same_arm_rows(
    quantities: Sequence[Quantity], arms: Arms, draws: Draws, confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of the table "same_arm": one seed of an arm (or of its mean over models) minus another.

    The inference needs several models or folds to tell how much training varies between two seeds; with four
    or more seeds a single model has one more row, the mean over disjoint pairs of seeds. Runs that are equal,
    as those of a probe whose weights are loaded and whose seeds have the same training scans, are one run and
    no pair: they have no row.

    Args:
        quantities: arms and means over models.
        arms: values by arm and seed, shape (num_folds, num_counts) over all counts of ``draws``.
        draws: of the dataset.
        confidence: of the intervals.
    """
    for quantity in quantities:
        if not is_trained(quantity):
            continue
        seeds = common_seeds(quantity, arms)
        values_MSFR = values_by_seed(quantity, arms)[..., : 1 + draws.num_resamples]
        num_models, num_seeds, num_folds, _ = values_MSFR.shape
        pairs = [[pair] for pair in combinations(range(num_seeds), 2)]
        if num_models == 1 and num_folds == 1 and num_seeds >= 4:
            pairs.append([(one, one + 1) for one in range(0, num_seeds - 1, 2)])
        for chosen in pairs:
            ones, others = ([pair[side] for pair in chosen] for side in (0, 1))
            # (M, pairs, F, R) -> runs are folds, or pairs where there are no folds
            values = values_MSFR[:, ones] - values_MSFR[:, others]
            if np.abs(values).max() < _EQUAL:
                continue
            by_run = values.mean(axis=1) if num_folds > 1 else values[:, :, 0]
            known = by_run.shape[0] > 1 or by_run.shape[1] > 1
            found = Inference(value=float(by_run[..., 0].mean()))
            if known:
                found = infer([by_run], confidence, freedoms=[draws.freedom])
            resamples = by_run[..., 1:].mean(axis=(0, 1))[None]
            sample = np.array([found.value])
            (low,), (high,), (p_value,) = student_intervals(sample, resamples, draws.freedom, confidence)
            names = (",".join(str(seeds[place]) for place in side) for side in (ones, others))
            columns = inference_columns(found, tested=True)
            yield {
                "model": quantity.model,
                "init": quantity.label,
                "percent": quantity.percent,
                "seeds": " - ".join(names),
                "num_models": num_models,
                "difference": found.value,
                **{name: columns[name] for name in ("ci_low", "ci_high", "p_value")},
                "patients_low": low,
                "patients_high": high,
                "patients_p": p_value,
            }
