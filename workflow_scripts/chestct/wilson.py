"""Wilson's interval of a share."""

import math
from statistics import NormalDist


def wilson_interval(hits: float, trials: float, confidence: float) -> tuple[float, float]:
    """Interval of a share (Wilson, J. Am. Stat. Assoc. 22(158), 1927).

    Args:
        hits, trials: need not be whole numbers, for averages over seeds.
        confidence: between 0 and 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    reach = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)
