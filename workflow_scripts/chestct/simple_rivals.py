"""Scores that come from no network, beside which every model of the study stands.

Evaluation computes them, figures and tables name them; both treat them alike by this table.
"""

#: The score that a dataset may bring; logistic regressions on the number of slices, on how far apart slices
#: and pixels are, on both together with that score, and on what headers say of scanner and patient.
BASELINE, SLICE_COUNT, SPACING = "baseline", "slice_count", "spacing"
SIZE_AND_SPACING, METADATA = "size_and_spacing", "metadata"

#: Titles in figures and tables, in their order there. A dataset may name its own score otherwise
#: (``baseline_title`` of its manifest).
TITLES = {
    BASELINE: "Trivial baseline",
    SLICE_COUNT: "Number of slices only",
    SPACING: "Spacing and thickness only",
    SIZE_AND_SPACING: "Size, slices and spacing",
    METADATA: "Metadata only",
}

#: Those that are fitted on the training scans of every run.
FITTED = (SLICE_COUNT, SPACING, SIZE_AND_SPACING, METADATA)
#: Those with all that a dataset states beside the image, with short names: a gain over them is what counts.
SUMMARIES = {SIZE_AND_SPACING: "size and spacing", METADATA: "metadata"}


def is_simple(model: str | None) -> bool:
    """Whether the name in a column "model" or "rival" is that of a score without a network.

    >>> is_simple("metadata"), is_simple("slow_r50")
    (True, False)
    """
    return model in TITLES
