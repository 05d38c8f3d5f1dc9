"""Scores that come from no network, beside which every model of the study stands.

Evaluation computes them, figures and tables name them; both treat them alike by this table.
"""

#: The score that a dataset may bring; logistic regressions on what headers say and on the number of slices.
BASELINE, METADATA, SLICE_COUNT = "baseline", "metadata", "slice_count"

#: Titles in figures and tables, in their order there.
TITLES = {BASELINE: "Trivial baseline", METADATA: "Metadata only", SLICE_COUNT: "Number of slices only"}


def is_simple(model: str) -> bool:
    """Whether the name in a column "model" is that of a score without a network.

    >>> is_simple("metadata"), is_simple("slow_r50")
    (True, False)
    """
    return model in TITLES
