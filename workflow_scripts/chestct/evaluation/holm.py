"""Holm's correction of p values for multiple testing."""

import numpy as np
import pandas as pd


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjust p values for their number (Holm, Scand. J. Stat. 6(2), 1979); the order is kept.

    What has no p value (NaN) is not tested: it keeps none and does not count.
    """
    order = np.argsort(p_values, kind="stable")[: np.isfinite(p_values).sum()]  # NaN comes last
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[order]))
    return adjusted


def holm_within_families(p_values: pd.Series, families: pd.Series) -> np.ndarray:
    """Adjust p values within each family of comparisons; NaN stays NaN and counts for none."""
    tested = p_values.notna()
    adjusted = np.full(len(p_values), np.nan)
    groups = p_values[tested].groupby(families[tested], sort=False)
    adjusted[tested] = groups.transform(lambda part: holm(part.to_numpy())).to_numpy()
    return adjusted
