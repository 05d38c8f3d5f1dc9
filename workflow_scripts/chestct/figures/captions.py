"""All captions: of figures, of the tables for publication, and of the report.

Read without matplotlib and pandas: the report, the table files and Snakemake's own report (``report/*.rst``)
take their captions from here.
"""

_INTERVALS = (
    " Intervals: patients, training runs and (in means) models vary. Dotted, lighter intervals: one training "
    "run an arm: interval over patients alone, no verdict."
)

_MEAN = (
    "the mean over those of the paper's seven 3D models that the study trains (over its own 3D models where "
    "these are not of the seven)"
)

#: Caption by figure; the order is the order of the report.
CAPTIONS = {
    "auroc_by_percent": (
        "AUROC against the percentage of the training patients that were used, one line for each starting "
        f"point of the weights. The AUROC is {_MEAN}. Beside it: the 2D model with the best validation AUROC "
        "after pretraining on images, the scores without the image, and chance (0.5)." + _INTERVALS
    ),
    "paired_differences": (
        "Every claim as a paired difference in AUROC on the same resamples of patients: its cells "
        "(combinations of dataset and percentage) and their average, which the verdict is about. To the "
        "right of zero, video pretraining is better; within the shaded band a difference is not relevant. "
        "Solid lines: patients, training runs and (in means) models vary; this interval decides. Dotted "
        "lines: over patients alone. Filled markers: the p value adjusted by Holm's method lies below 1 "
        "minus the confidence level. Lighter markers without a solid line: one training run an arm: interval "
        "over patients alone, no verdict."
    ),
    "label_efficiency": (
        "AUROC against the number of training patients, and the data multiplier: how many times as many "
        "patients training from scratch needs to reach the AUROC of pretraining. An arrow at an open marker "
        "is a bound: the multiplier lies beyond what the largest (or smallest) training set from scratch can "
        "show." + _INTERVALS
    ),
    "auroc_by_percent_per_model": (
        "AUROC against the percentage of the training patients that were used, one panel for each model."
        + _INTERVALS
    ),
    "forest": (
        "Difference in AUROC between video pretraining and training from scratch, on the same resamples of "
        "patients. To the right of zero, video pretraining is better. Solid lines: patients, training runs "
        "and (in means) models vary; this interval decides. Dotted lines: over patients alone, about these "
        "trained networks. Filled markers: the p value adjusted by Holm's method lies below 1 minus the "
        "confidence level. Lighter markers without a solid line: one training run an arm: interval over "
        "patients alone, no verdict."
    ),
    "video_3d_vs_2d": (
        "3D models after video pretraining compared with 2D models after pretraining on images. The dashed "
        "line marks the 2D model with the best validation AUROC. A number above a point: on the test "
        "patients this 2D model has the highest AUROC, by so much above the one that validation chose."
        + _INTERVALS
    ),
    "video_vs_ct": (
        "Video pretraining compared with CT (in-domain) pretraining of the same models." + _INTERVALS
    ),
    "probe_vs_finetuned": (
        "Fine-tuned models compared with frozen probes: logistic regression on the features of the same "
        "starting weights, which stay as they are." + _INTERVALS
    ),
    "roc_curves": (
        f"ROC curves with pointwise confidence bands at the largest training set: {_MEAN}, then one panel "
        "for each model. Bands are over patients alone, about these trained networks."
    ),
    "precision_recall_curves": (
        f"Precision-recall curves with pointwise confidence bands at the largest training set: {_MEAN}, then "
        "one panel for each model. The dotted line is the prevalence of positive scans. Bands are over "
        "patients alone, about these trained networks."
    ),
    "calibration": (
        "Observed share of positive scans against the predicted score, at the largest training set, with the "
        "calibration slope (1 if scores are neither too extreme nor too moderate) and intercept (0 if they "
        "are right on average, negative if they are too high); for a mean over models, their medians over "
        "the models. Training draws positive and negative windows equally often, and the score of a scan is "
        "the maximum over its windows. Both raise scores above the prevalence, so points below the diagonal "
        "are expected. Intervals: Wilson's, for the share of positive scans in each bin."
    ),
    "subgroups": (
        "AUROC within subgroups of the test scans, by scanner, patient and finding, at the largest training "
        "set. Positive scans with a finding of a kind (nodule diameter, kind of embolism) are compared with "
        "all negative scans. Dotted lines: all test scans. Groups with fewer than ten scans of a class are "
        "named only. Intervals are over patients alone and describe: among so many groups some differ by "
        "chance."
    ),
    "learning_curves": (
        "Validation AUROC (lines), test AUROC (markers) and validation loss against the training windows "
        "seen, at the largest training set. Thin lines: single runs; thick lines: their median. A test score "
        "exists for the weights that were kept, so that it stands at the windows seen up to the best "
        "validation." + _INTERVALS
    ),
    "variance_shares": (
        "Where the variance of the mean difference in AUROC comes from, for each claim and each of its "
        "cells: the test patients, the training runs (seeds, and with cross-validation folds) and the "
        "models. The longest part of a bar says what would narrow the interval most: more test patients, "
        "more seeds or more models. Shares are estimates from few runs and models; parts that come out "
        "negative count as zero. Not counted: other hospitals and scanners, other training patients beyond "
        "the subsets that seeds and folds draw, and other choices of the training budget."
    ),
    "validity": (
        "Left: simulated coverage of the confidence intervals over patients at the sizes of the study's test "
        "sets, for every metric and three ways to make an interval, with Monte Carlo intervals (full "
        "markers: fixed number of positive scans; open ones: drawn number; dashed: the nominal coverage). "
        "Right, above: the power over patients alone to detect a difference, by the number of test scans "
        "(large marker: the study's own number); verdicts, which count training runs and models too, have "
        "less. Right, below: the share of comparisons that are significant over patients alone after the "
        "test labels were permuted, where there is nothing to find (dashed: the share that chance allows). "
        "A panel that the study did not simulate is left out."
    ),
    "same_arm": (
        "Control A against A: runs of one arm contrasted with runs of the same arm that differ in nothing "
        "but the seed. There is no difference to find, so about 5 % of contrasts (1 minus the confidence "
        "level) may come out significant, and p values should lie near the diagonal. A share well above that "
        "says that the way of deciding takes the chance of training for an effect; over patients alone it is "
        "expected, and it is why that interval does not decide. Permuted labels cannot show it. Intervals: "
        "Wilson's, as if contrasts were independent."
    ),
}

#: Caption by figure of single scans.
EXAMPLE_CAPTIONS = {
    "windows_by_outcome": (
        "What the model with the best validation AUROC saw and how it decided: by label (rows) and decision "
        "(columns) the highest-scoring window of the test scans whose score is the median of their outcome "
        "or next to it, as up to four slices from the feet to the head, cropped and with the display window "
        "as the model sees them. The threshold is from validation scans. Nobody chose these scans; a scan "
        "that may have a name burned into its pixels is not shown."
    ),
    "scores_along_z": (
        "Scores of all windows of single test scans along the scan, from the feet to the head: one scan for "
        "each outcome, whose score (the highest of its windows) is the median of that outcome. A horizontal "
        "line is as long as its window. Dashed: the threshold from validation scans. Shaded: slices that "
        "readers marked, where labels by slice exist."
    ),
}

#: Title by figure.
TITLES = {
    "auroc_by_percent": "AUROC by size of the training set",
    "paired_differences": "Paired differences of all claims",
    "label_efficiency": "Label efficiency",
    "auroc_by_percent_per_model": "AUROC by size of the training set, every model",
    "forest": "Video pretraining against training from scratch, every model",
    "video_3d_vs_2d": "3D models against 2D models",
    "video_vs_ct": "Video pretraining against CT pretraining",
    "probe_vs_finetuned": "Frozen probes against fine-tuning",
    "roc_curves": "ROC curves",
    "precision_recall_curves": "Precision-recall curves",
    "calibration": "Calibration",
    "subgroups": "AUROC by subgroup",
    "learning_curves": "Learning curves",
    "variance_shares": "Where the variance comes from",
    "validity": "Coverage, power, and permuted labels",
    "same_arm": "An arm against itself",
    "windows_by_outcome": "Windows as the model sees them",
    "scores_along_z": "Window scores along the scan",
    "cohort_flow": "Flow of the scans",
    "scan_quality": "Scan quality",
}

FLOW_CAPTION = (
    "Flow of the scans of every dataset: series read, converted, considered and used, with the reasons of "
    "those that were refused or excluded, and the partitions of the first fold."
)

QUALITY_CAPTION = (
    "Outcome of the conversion by reason, and the slice spacing and number of slices of the converted scans. "
    "The dashed line is the median."
)

REPORT_CAPTION = (
    "The whole study on one page that needs no network: claims, figures, sortable tables, cohort, costs and "
    "provenance. It states which parts of the study are stand-ins."
)


def table_captions(*, confidence: float, num_resamples: int, num_seeds: int, margin: float) -> dict[str, str]:
    """Captions of the tables for publication, by name of the table.

    Args:
        confidence: of the intervals, between 0 and 1.
        num_resamples: number of bootstrap resamples.
        num_seeds: number of seeds that values are averaged over.
        margin: difference in AUROC below which a difference is not relevant.
    """
    percent = f"{100 * confidence:g} %"
    intervals = (
        f"{percent} intervals in which patients ({num_resamples:,} bootstrap resamples), training runs and "
        "models vary"
    )
    alone = (
        "Patients alone: the interval about these trained networks, which decides nothing. A dash "
        "stands where an arm has one training run, so that there is no other."
    )
    over_seeds = f", mean over {num_seeds} seeds" if num_seeds > 1 else ""
    return {
        "claims": (
            "The paper's three claims, each tested by one contrast of AUROC that is averaged over datasets "
            f"and percentages of the training patients, with {intervals}. {alone} Cells: combinations of "
            "dataset and percentage; above and below: cells whose interval lies entirely on that side of "
            "zero. All cells above zero: intersection-union test. p (Holm): adjusted for all statements, two "
            f"a claim. Margin: a difference that lies within \N{PLUS-MINUS SIGN}{margin:g} is not relevant. "
            "Share: of the variance of the mean difference."
        ),
        "results": (
            f"AUROC on the test patients{over_seeds}, with {intervals}, in parentheses. In square brackets, "
            "one training run an arm: interval over patients alone, no verdict. Columns: percentage of the "
            "dataset's training patients. Over size and spacing, over metadata: paired difference to a "
            "logistic regression that sees no image but the dataset's own score and the scan's geometry, or "
            "what headers say of scanner and patient, fitted on the same training patients."
        ),
        "contrasts": (
            f"Paired differences in AUROC on the same test patients, with {intervals}. {alone} p (Holm): "
            "adjusted within the contrast of a dataset over all its percentages (and over models, where the "
            "contrast is shown by model)."
        ),
        "budgets": (
            "How long every arm was trained: training windows at most and as they were seen, the step of the "
            "best validation, whose weights were kept, and the windows seen up to it (median and range over "
            "runs). Best at the end: runs that were best with the last step of the budget, so that more "
            "training may have helped. Validation AUROC: of the best validation, which chose the step and is "
            "therefore optimistic. Frozen probes have no budget and are left out."
        ),
    }
