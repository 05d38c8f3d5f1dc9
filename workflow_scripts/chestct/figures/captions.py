"""All captions: of figures, of the tables for publication, and of the report.

Read without matplotlib and pandas: the report, the table files and Snakemake's own report (``report/*.rst``)
take their captions from here.
"""

#: Caption by figure; the order is the order of the report.
CAPTIONS = {
    "auroc_by_percent": (
        "AUROC against the percentage of the training patients that were used, one line for each starting "
        "point of the weights. The AUROC is the mean over those of the paper's seven 3D models that the "
        "study trains (or that of its only such model)."
    ),
    "label_efficiency": (
        "AUROC against the number of training patients, and the data multiplier: how many times as many "
        "patients training from scratch needs to reach the AUROC of pretraining. An arrow marks a bound: the "
        "multiplier lies beyond what the largest (or smallest) training set from scratch can show."
    ),
    "auroc_by_percent_per_model": (
        "AUROC against the percentage of the training patients that were used, one panel for each model."
    ),
    "forest": (
        "Difference in AUROC between video pretraining and training from scratch, on the same resamples of "
        "patients. To the right of zero, video pretraining is better. Thick lines: intervals over patients; "
        "thin lines: intervals over patients and models. Filled markers: the p value adjusted by Holm's "
        "method lies below 1 minus the confidence level."
    ),
    "video_3d_vs_2d": (
        "3D models after video pretraining compared with 2D models after ImageNet pretraining. The dashed "
        "line marks the 2D model with the best validation AUROC."
    ),
    "video_vs_ct": "Video pretraining compared with CT (in-domain) pretraining of the same models.",
    "probe_vs_finetuned": (
        "Fine-tuned models compared with frozen probes that start from the same weights and train the "
        "classification head only."
    ),
    "roc_curves": (
        "ROC curves with pointwise confidence bands at the largest training set: the mean over those of the "
        "paper's seven 3D models that the study trains, then one panel for each model."
    ),
    "precision_recall_curves": (
        "Precision-recall curves with pointwise confidence bands at the largest training set: the mean over "
        "those of the paper's seven 3D models that the study trains, then one panel for each model. The "
        "dotted line is the prevalence of positive scans."
    ),
    "calibration": (
        "Observed share of positive scans against the predicted score, at the largest training set. Training "
        "draws positive and negative windows equally often, and the score of a scan is the maximum over its "
        "windows. Both raise scores above the prevalence, so points below the diagonal are expected."
    ),
    "learning_curves": (
        "Validation AUROC and validation loss against training progress, at the largest training set. Thin "
        "lines: single runs; thick lines: their median."
    ),
    "validity": (
        "Simulated coverage of the confidence intervals at the sizes of the study's test sets, with Monte "
        "Carlo intervals; the power to detect a difference by the number of test scans; and the share of "
        "significant comparisons after the test labels were permuted."
    ),
}

QUALITY_CAPTION = (
    "Outcome of the conversion by reason, and the slice spacing and number of slices of the converted scans. "
    "The dashed line is the median."
)

REPORT_CAPTION = (
    "The whole study on one page that needs no network: claims, figures, sortable tables, cohort, costs and "
    "provenance. It states which parts of the study are stand-ins."
)


def table_captions(*, confidence: float, num_resamples: int, num_seeds: int) -> dict[str, str]:
    """Captions of the tables for publication, by name of the table.

    Args:
        confidence: of the intervals, between 0 and 1.
        num_resamples: number of bootstrap resamples.
        num_seeds: number of seeds that values are averaged over.
    """
    intervals = (
        f"{100 * confidence:g} % percentile intervals from {num_resamples:,} bootstrap resamples of patients"
    )
    over_seeds = f", mean over {num_seeds} seeds" if num_seeds > 1 else ""
    return {
        "claims": (
            "The paper's three claims, each tested by one contrast of AUROC that is averaged over datasets "
            f"and percentages of the training patients, with {intervals}. p (Holm): adjusted for the number "
            "of claims tested. Cells: combinations of dataset and percentage; above and below: cells whose "
            "interval lies entirely on that side of zero."
        ),
        "results": (
            f"AUROC on the test patients{over_seeds}, with {intervals}. Columns: percentage of the dataset's "
            "training patients."
        ),
        "contrasts": (
            f"Paired differences in AUROC on the same test patients, with {intervals}. Models resampled: the "
            "wider interval over models as well as patients. p (Holm): adjusted within the contrast of a "
            "dataset over all its percentages (and over models, where the contrast is shown by model)."
        ),
    }
