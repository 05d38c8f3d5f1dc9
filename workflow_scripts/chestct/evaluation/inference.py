"""One inference for every quantity: test patients, training runs and models as crossed sources of variance.

A quantity (an arm's metric, or a difference between arms) has a value for every model and every training run,
all measured on the same test patients. Its estimate is their mean, and the estimate would change with other
patients, with other training runs, and, where it is a mean over models, with other models. This is the
problem of multi-reader, multi-case studies (Obuchowski and Rockette, Commun. Stat. Simul. Comput. 24(2),
1995; Hillis, Stat. Med. 26(3), 2007), with trained networks in the place of readers:

    variance of the mean = what patients explain + what runs or models add to that.

The first term is the bootstrap variance of the mean. For the second, the observed variance between models (or
between runs, averaged over models) is taken, less the part of it that patients explain, which is again a
bootstrap variance. The interval is Student's with the degrees of freedom of Satterthwaite (Biometrics Bull.
2(6), 1946), in which patients count with their own (as in Obuchowski, Gallas and Hillis, Acad. Radiol.
19(12), 2012), and there are never more than over patients alone: no interval is shorter than that. The
choices below were made by simulation (docs/statistics.md; ``validity/false_positives.py``).

Shapes: M models, T training runs ("replicates": the folds of a cross-validation, otherwise seeds), R
resamples of patients, K datasets. Models are crossed with replicates, because a seed determines the training
subset that all models share, and because a rival is the same run for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

#: A standard error below this is none: no resample and no run differs.
NO_ERROR = 1e-9
#: Runs count as sharing something over models (a training subset) if the F test of it has p below this, a
#: preliminary test of pooling (Bancroft and Han, J. Am. Stat. Assoc. 78(384), 1983). At 0.2 intervals of
#: means cover more than 97 % where runs share nothing; at 0.05 too little is seen of what they share.
_SHARED_LEVEL = 0.1
_MANY = 1e6  # degrees of freedom at which Student's distribution is the normal one

SOURCES = ("patients", "training", "models")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """An estimate and its uncertainty.

    Attributes:
        value: mean over datasets, models and replicates, on the sample.
        standard_error, degrees_of_freedom: of the interval.
        low, high: interval in which all sources of variance count.
        p_value: two-sided, for the null hypothesis that the quantity is 0; 1 where nothing varies, as if all
            arms rank the test scans without an error: chance cannot be told there.
        variances: of the mean by source (``SOURCES``), each at least 0: NaN where it cannot be told apart.

    All but ``value`` are NaN if the variance between training runs cannot be estimated.
    """

    value: float
    standard_error: float = np.nan
    degrees_of_freedom: float = np.nan
    low: float = np.nan
    high: float = np.nan
    p_value: float = np.nan
    variances: tuple[float, float, float] = (np.nan, np.nan, np.nan)

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of the variance of the mean by source; NaN where nothing varies."""
        total = np.nansum(self.variances)
        return tuple(v / total if total > NO_ERROR**2 else np.nan for v in self.variances)  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One way to see the variance that patients do not explain: between models, or between replicates.

    Attributes:
        observed: variance of the mean that the differences between the units suggest.
        explained: the part of it that patients explain.
        uncertainty: observed^2 / degrees of freedom, for Satterthwaite's formula.
    """

    observed: float
    explained: float
    uncertainty: float

    @property
    def added(self) -> float:
        """What this adds to the variance that patients explain.

        By chance units differ less than patients explain. Nothing is taken off for it, or an interval over
        all sources would be narrower than that over patients alone.
        """
        return max(0.0, self.observed - self.explained)


def infer(
    parts: Sequence[np.ndarray],
    confidence: float,
    *,
    freedoms: Sequence[float] | None = None,
    shared_runs: bool = False,
    trained: bool = True,
) -> Inference:
    """Estimate a mean over datasets, models and replicates.

    Args:
        parts: per dataset the values on the sample (first) and its resamples, shape (M, T, 1 + R), with the
            same models in the same order; datasets have patients and runs of their own.
        confidence: of the interval.
        freedoms: per dataset the degrees of freedom of Student's intervals over its patients
            (``resampling.degrees_of_freedom``); None for so many patients that the normal distribution holds.
        shared_runs: whether all models are compared with the same runs of a rival, so that the variance
            between replicates always counts.
        trained: False for the interval over patients alone, the only one of a quantity without training, such
            as the trivial baseline.

    Returns:
        The inference. With one replicate the variance between models stands for both, and with one model and
        one replicate there is none.
    """
    value = float(np.mean([part[..., 0].mean() for part in parts]))
    if not all(np.isfinite(part).all() for part in parts):
        return Inference(value=value)
    datasets = [_Dataset.of(part) for part in parts]
    of_datasets = np.array([dataset.patients for dataset in datasets]) / len(datasets) ** 2
    patients = float(of_datasets.sum())
    uncertainty = float((of_datasets**2 / (_MANY if freedoms is None else np.asarray(freedoms))).sum())
    most = max(1.0, patients**2 / uncertainty) if uncertainty > 0 else _MANY
    if not trained:
        return _interval(value, patients, most, (patients, 0.0, 0.0), confidence)
    by_model, by_run = _between_models(datasets), _between_replicates(datasets)
    if by_model is None and by_run is None:
        return Inference(value=value)
    training, models, added_uncertainty = _added(by_model, by_run, datasets, shared_runs)
    uncertainty += added_uncertainty
    variance = patients + float(np.nansum([training, models]))
    freedom = variance**2 / uncertainty if uncertainty > 0 else most
    sources = patients, training, models
    return _interval(value, variance, float(np.clip(freedom, 1.0, most)), sources, confidence)


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """Values of a dataset on its sample, and their covariance over resamples of patients.

    Attributes:
        sample: shape (M, T).
        covariance: shape (M, T, M, T).
    """

    sample: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, values_MTR: np.ndarray) -> "_Dataset":
        num_models, num_replicates, _ = values_MTR.shape
        resamples = values_MTR[..., 1:].reshape(num_models * num_replicates, -1)
        covariance = np.atleast_2d(np.cov(resamples))
        return cls(sample=values_MTR[..., 0], covariance=covariance.reshape(values_MTR.shape[:2] * 2))

    @property
    def patients(self) -> float:
        """What patients explain of the variance of the mean."""
        return float(self.covariance.mean())

    @property
    def residual(self) -> tuple[float, float]:
        """Mean square of model x replicate, and the part of it that patients explain."""
        num_models, num_replicates = self.sample.shape
        rest = self.sample - self.sample.mean(0) - self.sample.mean(1, keepdims=True) + self.sample.mean()
        of_models, of_runs = self.covariance.mean((1, 3)), self.covariance.mean((0, 2))
        explained = (
            np.einsum("mtmt->", self.covariance)
            - num_replicates * np.trace(of_models)
            - num_models * np.trace(of_runs)
            + num_models * num_replicates * self.patients
        )
        freedom = (num_models - 1) * (num_replicates - 1)
        return float((rest**2).sum()) / freedom, float(explained) / freedom


def _variance(covariance: np.ndarray) -> float:
    """Expected sample variance of values with this covariance and equal means."""
    size = len(covariance)
    return float((np.trace(covariance) - covariance.sum() / size) / (size - 1))


def _between_models(datasets: Sequence[_Dataset]) -> _Way | None:
    num_models = len(datasets[0].sample)
    if num_models < 2:
        return None
    means = np.mean([dataset.sample.mean(1) for dataset in datasets], axis=0)
    explained = sum(_variance(dataset.covariance.mean((1, 3))) for dataset in datasets) / len(datasets) ** 2
    observed = float(means.var(ddof=1)) / num_models
    return _Way(
        observed=observed, explained=explained / num_models, uncertainty=observed**2 / (num_models - 1)
    )


def _between_replicates(datasets: Sequence[_Dataset]) -> _Way | None:
    sizes = [dataset.sample.shape[1] for dataset in datasets]
    if min(sizes) < 2:
        return None
    observed, explained = np.zeros((2, len(datasets)))
    for number, (dataset, size) in enumerate(zip(datasets, sizes, strict=True)):
        weight = size * len(datasets) ** 2
        observed[number] = dataset.sample.mean(0).var(ddof=1) / weight
        explained[number] = _variance(dataset.covariance.mean((0, 2))) / weight
    uncertainty = float((observed**2 / (np.array(sizes) - 1)).sum())
    return _Way(observed=observed.sum(), explained=explained.sum(), uncertainty=uncertainty)


def _runs_share(datasets: Sequence[_Dataset]) -> bool:
    """Whether replicates differ by more than models within replicates do: a seed's runs share something."""
    num_models = len(datasets[0].sample)
    between = sum(num_models * dataset.sample.mean(0).var(ddof=1) for dataset in datasets)
    within = sum(dataset.residual[0] for dataset in datasets)
    if within == 0:
        return bool(between > 0)
    freedom = sum(dataset.sample.shape[1] - 1 for dataset in datasets)
    p_value = special.fdtrc(freedom, freedom * (num_models - 1), between / within)
    return bool(p_value < _SHARED_LEVEL)


def _added(
    by_model: _Way | None, by_run: _Way | None, datasets: Sequence[_Dataset], shared_runs: bool
) -> tuple[float, float, float]:
    """What training and models add to the variance of the mean, and the uncertainty of their sum.

    Negative components count as 0. What differs between the runs of a model is counted also where the models'
    means happen to agree, as two often do; what a seed's runs share, where they share something.
    """
    if by_model is None:
        assert by_run is not None
        return by_run.added, np.nan, by_run.uncertainty
    if by_run is None:
        return np.nan, by_model.added, by_model.uncertainty
    residual = residual_uncertainty = 0.0
    for dataset in datasets:
        observed, explained = (part / dataset.sample.size / len(datasets) ** 2 for part in dataset.residual)
        residual += max(0.0, observed - explained)
        num_models, num_replicates = dataset.sample.shape
        residual_uncertainty += observed**2 / ((num_models - 1) * (num_replicates - 1))
    uncertainty = by_model.uncertainty if by_model.added >= residual else residual_uncertainty
    shared = 0.0
    if shared_runs or _runs_share(datasets):
        shared = max(0.0, by_run.observed - by_run.explained - residual)
        uncertainty += by_run.uncertainty if shared > 0 else 0.0
    return residual + shared, max(0.0, by_model.added - residual), uncertainty


def _interval(
    value: float, variance: float, freedom: float, sources: tuple[float, float, float], confidence: float
) -> Inference:
    error = float(np.sqrt(variance))
    reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
    distance = abs(value) / error if error > NO_ERROR else 0.0
    return Inference(
        value=value,
        standard_error=error,
        degrees_of_freedom=freedom,
        low=value - reach,
        high=value + reach,
        p_value=min(1.0, 2 * float(special.stdtr(freedom, -distance))),
        variances=sources,
    )
