"""Names and captions of the figures, readable without matplotlib (the workflow lists them as outputs)."""

#: The figure of the scans' quality, which the report shows in a section of its own.
QUALITY = "scan_quality"

#: Caption by figure; the order is the order of the report.
CAPTIONS = {
    "auroc_by_percent": (
        "AUROC against the share of training patients, by where the weights start: mean over the study's "
        "models of the seven (or its one such model)."
    ),
    "auroc_by_percent_per_model": "AUROC against the share of training patients, a panel a model.",
    "video_minus_scratch": (
        "Difference in AUROC between video pretraining and training from scratch, on the same resamples of "
        "patients. Right of zero, video pretraining is better."
    ),
    "video_3d_vs_2d": (
        "3D models after video pretraining beside 2D models after ImageNet pretraining; the dashed line is "
        "the best 2D model."
    ),
    "video_vs_ct": "Video pretraining beside CT (in-domain) pretraining of the same models.",
}
