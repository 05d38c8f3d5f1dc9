"""Names and captions of the figures and the tables they need, readable without matplotlib (the workflow
lists them as inputs and outputs)."""

#: Tables that figures, result tables and report read, by the step whose results folder holds them.
TABLES = {
    "metrics": "evaluation",
    "means": "evaluation",
    "comparisons": "evaluation",
    "claims": "evaluation",
    "curves": "evaluation",
    "calibration": "evaluation",
    "multipliers": "evaluation",
    "coverage": "evaluation",
    "power": "evaluation",
    "permuted": "evaluation",
    "runs": "training",
    "histories": "training",
}

#: The figure of the scans' quality, which the report shows in a section of its own.
QUALITY = "scan_quality"

#: Caption by figure; the order is the order of the report.
CAPTIONS = {
    "auroc_by_percent": (
        "AUROC against the share of training patients, by where the weights start: mean over the study's "
        "models of the seven (or its one such model)."
    ),
    "label_efficiency": (
        "AUROC against the number of training patients, and the data multiplier: how many times more "
        "patients training from scratch needs to reach the AUROC of video pretraining. Arrows: the "
        "multiplier lies beyond what the study's largest (or smallest) arm from scratch can show."
    ),
    "auroc_by_percent_per_model": "AUROC against the share of training patients, a panel a model.",
    "forest": (
        "Difference in AUROC between video pretraining and training from scratch, on the same resamples of "
        "patients. Right of zero, video pretraining is better. Thick: patients resampled; thin: models "
        "resampled too. Filled marks: p below 1 minus the confidence, adjusted by Holm's method."
    ),
    "video_3d_vs_2d": (
        "3D models after video pretraining beside 2D models after ImageNet pretraining; the dashed line is "
        "the 2D model that was best on validation."
    ),
    "video_vs_ct": "Video pretraining beside CT (in-domain) pretraining of the same models.",
    "probe_vs_finetuned": (
        "Fine-tuned models beside frozen probes of the same starting weights, of which the head alone is "
        "trained."
    ),
    "roc_curves": (
        "ROC curves at the largest share of training patients, with pointwise bands: mean over the study's "
        "models of the seven, then a panel a model."
    ),
    "precision_recall_curves": (
        "Precision-recall curves at the largest share of training patients, with pointwise bands: mean over "
        "the study's models of the seven, then a panel a model. Dotted: the share of positive scans."
    ),
    "calibration": (
        "How often scans of a score are positive, at the largest share of training patients. Training "
        "draws as many positive as negative windows and a scan's score is the highest of its windows: both "
        "raise scores above the share of positive scans, so points below the diagonal are expected."
    ),
    "learning_curves": (
        "Validation AUROC and loss against the share of a run's steps, at the largest share of training "
        "patients: a thin line a run, thick their median."
    ),
    "validity": (
        "Coverage of the intervals by simulation at the study's sizes, with Monte Carlo intervals, and the "
        "chance to see a difference by number of test scans."
    ),
}
