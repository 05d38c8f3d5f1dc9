"""Metrics that are printed without interval and p value: evaluation computes none, the report says why."""

#: By metric the reason, as a part of a sentence.
NO_INTERVAL = {
    "calibration_error": (
        "resampling adds to the distance of every bin from the diagonal, so that bootstrap intervals lie "
        "above the true value: nominal 95 % hold it in 20 to 69 %"
    ),
}
