"""Linear heads: logistic regression with an L2 penalty, whose strength validation decides.

The penalty is on standardised features, alike for all. Mean and scale are then folded into weight and bias,
so that what is kept is the network's own head.

Shape suffixes: N windows, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from chestct.training.windows.dataset import Scan, eligible_windows

#: Strengths of the penalty, from the strongest: the mean loss of a window, plus half of the strength times
#: the squared length of the weights of standardised features, is least.
STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
#: A feature that varies by less than this share of its mean is constant, to the rounding of float32.
_CONSTANT = 1e-5
_MAX_ITERATIONS = 5000
_TOLERANCE = 1e-6
#: Windows that become float64 at once.
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Head:
    """A linear head with one logit.

    Attributes:
        weight: float32, shape (F,).
        bias: float32, shape ().
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits of windows from their features (N, F): float64, shape (N,)."""
        weight, bias = self.weight.double(), self.bias.double()
        return torch.cat([part.double() @ weight + bias for part in features.split(_ROWS_AT_ONCE)])


def window_weights(parts: Sequence[Scan]) -> list[tuple[int, int, float]]:
    """What training draws windows with, as weights: a class as often as the other, its scans equally often.

    Args:
        parts: what training draws from (``drawn_parts``).

    Returns:
        Number of the part, number of a window of it, weight; weights sum to 1.
    """
    of_class = [sum(part.label == label for part in parts) for label in (0, 1)]
    weighted = []
    for number, part in enumerate(parts):
        windows = eligible_windows(part)
        weight = 1 / (2 * of_class[part.label] * len(windows))
        weighted += [(number, window, weight) for window in windows]
    return weighted


def fit_heads(
    features_NF: torch.Tensor, labels: Sequence[int], weights: Sequence[float]
) -> Iterator[tuple[float, Head]]:
    """Fit a head for every strength of the penalty, from the strongest.

    Args:
        features_NF: of the training windows.
        labels: of these windows, 0 or 1, both among them.
        weights: of these windows, that sum to 1.

    Yields:
        strength and head.
    """
    x_NF, y, share = features_NF.double().numpy(), np.asarray(labels), np.asarray(weights)
    mean = share @ x_NF
    x_NF -= mean
    scale = np.sqrt(np.einsum("n,nf,nf->f", share, x_NF, x_NF))
    # A constant feature tells nothing, and its rounding must not be blown up.
    scale = np.where(scale > _CONSTANT * np.abs(mean), scale, np.inf)
    x_NF /= scale
    # Each fit goes on from the one before: from strong to weak penalties that is fast.
    model = LogisticRegression(tol=_TOLERANCE, max_iter=_MAX_ITERATIONS, warm_start=True)
    for strength in STRENGTHS:
        # The library's loss is a sum, ours a mean: weights of windows are 1 on average.
        model.set_params(C=1 / (strength * len(y)))
        model.fit(x_NF, y, sample_weight=share * len(y))
        weight = model.coef_[0] / scale
        bias = model.intercept_[0] - weight @ mean
        kept = torch.from_numpy(weight.astype(np.float32))
        yield strength, Head(weight=kept, bias=torch.tensor(bias, dtype=torch.float32))
