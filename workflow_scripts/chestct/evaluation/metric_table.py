"""The metrics of a study by name: what each is computed from.

A new metric is a function of ``metrics.py`` or of a file beside it, a row here, and its name in the schema of
the configuration. Those without interval and p value are in ``chestct.no_interval``.
"""

from typing import NamedTuple

from chestct.evaluation import metrics, operating_point, recalibration
from chestct.evaluation.metrics import Metric


class MetricKind(NamedTuple):
    """How a metric is computed.

    Attributes:
        function: see ``metrics``.
        settings: keyword arguments, by their names in ``fold_values.MetricSettings``.
        pooled: whether the scans of all folds are evaluated together, since a fold has too few.
        of_probabilities: whether scores are taken as probabilities; a baseline in other units has none.
        share: whether values lie between 0 and 1; their intervals are symmetric on the scale of log odds.
        skewed: whether they are skewed on that scale too (``intervals.log_odds_slopes``).
        bca: whether bias-corrected and accelerated intervals hold what they promise (docs/statistics.md);
            otherwise there are none, and the leave-one-patient-out samples are not evaluated.
    """

    function: Metric
    settings: tuple[str, ...] = ()
    pooled: bool = False
    of_probabilities: bool = False
    share: bool = False
    skewed: bool = False
    bca: bool = True


METRICS: dict[str, MetricKind] = {
    "auroc": MetricKind(metrics.auroc, share=True),
    "auprc": MetricKind(metrics.average_precision, ("prevalence",), share=True, skewed=True, bca=False),
    "sensitivity": MetricKind(metrics.sensitivity, ("specificity",), share=True, bca=False),
    "sensitivity_validation": MetricKind(operating_point.sensitivity_at, ("thresholds",), share=True),
    "specificity_validation": MetricKind(
        operating_point.specificity_at, ("thresholds",), share=True, bca=False
    ),
    "ppv_validation": MetricKind(
        operating_point.positive_predictive_value,
        ("thresholds", "prevalence"),
        pooled=True,
        share=True,
        bca=False,
    ),
    "npv_validation": MetricKind(
        operating_point.negative_predictive_value, ("thresholds", "prevalence"), pooled=True, share=True
    ),
    "brier": MetricKind(metrics.brier, ("prevalence",), of_probabilities=True, share=True),
    "calibration_slope": MetricKind(
        recalibration.calibration_slope, ("prevalence",), pooled=True, of_probabilities=True
    ),
    "calibration_intercept": MetricKind(
        recalibration.calibration_intercept, ("prevalence",), pooled=True, of_probabilities=True
    ),
    "calibration_error": MetricKind(
        metrics.calibration_error, ("prevalence",), pooled=True, of_probabilities=True
    ),
}

#: Metrics at the threshold that validation decides: the trivial baseline has no validation scores, so none.
VALIDATION_METRICS = tuple(name for name, kind in METRICS.items() if "thresholds" in kind.settings)
