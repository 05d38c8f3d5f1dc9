"""The bootstrap's metric kernels beside the usual loop: scikit-learn's function on every resample."""

import numpy as np
from setting import best_seconds, emit
from sklearn.metrics import average_precision_score, roc_auc_score

from chestct.evaluation.metrics import auroc, average_precision
from chestct.evaluation.resampling import bootstrap_counts

NUM_SCANS = 1000
NUM_RESAMPLES = 10_000
NUM_LOOPED = 500  # the loop is measured over these, and scaled


def main() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(NUM_SCANS) < 0.3).astype(np.int64)
    scores = np.round(rng.normal(labels, 1.2), 3)  # a few ties, as in scores of six decimals and many scans
    counts = bootstrap_counts(np.arange(NUM_SCANS), labels, NUM_RESAMPLES, rng)
    # As the evaluation keeps them: converted once, for all runs of a dataset.
    kept = np.asfortranarray(counts, dtype=np.float32)
    drawn = [np.repeat(np.arange(NUM_SCANS), row) for row in counts[:NUM_LOOPED]]
    for name, usual, kernel in (
        ("AUROC", roc_auc_score, auroc),
        ("Average precision", average_precision_score, average_precision),
    ):

        def loop(usual=usual) -> list[float]:
            return [usual(labels[scans], scores[scans]) for scans in drawn]

        def ours(kernel=kernel) -> np.ndarray:
            return kernel(labels, scores, kept)

        np.testing.assert_allclose(ours()[:NUM_LOOPED], loop(), rtol=0, atol=1e-12)
        times = best_seconds({"loop": loop, "ours": ours}, repeats=5)
        scale = NUM_RESAMPLES / NUM_LOOPED
        emit(
            f"{name} on {NUM_RESAMPLES:,} resamples of {NUM_SCANS:,} scans",
            baseline=f"a loop over scikit-learn ({NUM_LOOPED} resamples, scaled)",
            ours="one walk through the sorted scans, equal to 1e-12",
            baseline_value=times["loop"].wall * scale,
            our_value=times["ours"].wall,
            unit="s",
            ratio=times["loop"].wall * scale / times["ours"].wall,
            must=100.0,
            aim=150.0,
            processor_ratio=times["loop"].processor * scale / times["ours"].processor,
            data="binormal scores rounded to 3 decimals, 30 % positive; the same resamples",
        )


if __name__ == "__main__":
    main()
