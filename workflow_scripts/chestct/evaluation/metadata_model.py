"""What can be told without the image: logistic regression on size and geometry, or on what headers say.

Scanner, kernel, slice thickness or age may go with the label, by the way patients came to a scanner, and a
network may learn to recognise them (Zech et al., PLoS Medicine 15(11):e1002683, 2018). What a model gains
over these scores is what it can have seen in the image. Where scans are cut out around a finding, its size
and the number of slices are known beside the image and may tell more than a network: rivals, too.
"""

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from chestct.simple_rivals import METADATA, SIZE_AND_SPACING, SLICE_COUNT, SPACING

#: Column of the dataset's own score: its logarithm, since volumes spread over orders of magnitude.
SIZE = "log_size"
_GEOMETRY = ("slice_thickness_mm", "spacing_z_mm", "pixel_mm")
#: By rival: the columns of the table ``acquisition`` that are levels, and those (and ``SIZE``) that are
#: numbers.
FEATURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    METADATA: (
        ("manufacturer", "scanner_model", "kernel", "contrast", "sex"),
        ("slice_thickness_mm", "pixel_mm", "num_slices", "age_years"),
    ),
    SLICE_COUNT: ((), ("num_slices",)),
    SPACING: ((), _GEOMETRY),
    SIZE_AND_SPACING: ((), (SIZE, "num_slices", *_GEOMETRY)),
}
#: Levels of fewer training scans are pooled, and so are levels that no training scan has.
MIN_SCANS = 5
_NOT_STATED = "not stated"


def log_size(scores: pd.Series) -> pd.Series:
    """The column ``SIZE`` from a dataset's own score of every scan: its logarithm.

    A score that is zero or negative somewhere is no size and stays as it is; missing ones stay missing.
    """
    values = scores.astype(float)
    return pd.Series(np.log(values)) if (values.dropna() > 0).all() else values


def _features(facts: pd.DataFrame, rival: str) -> pd.DataFrame:
    """Levels as text, of which "not stated" is one, and numbers, missing ones NaN."""
    levels, numbers = FEATURES[rival]
    columns = {name: facts[name].astype("object").fillna(_NOT_STATED).astype(str) for name in levels}
    return pd.DataFrame(columns | {name: facts[name].astype(float) for name in numbers}, index=facts.index)


def _pipeline(rival: str) -> Pipeline:
    levels, numbers = FEATURES[rival]
    # A number that is not stated takes the median, and a column of its own says so.
    of_numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    of_levels = OneHotEncoder(
        min_frequency=MIN_SCANS, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    columns = make_column_transformer((of_levels, list(levels)), (of_numbers, list(numbers)))
    return make_pipeline(columns, LogisticRegression(C=1.0, max_iter=2000))


def fit_and_score(rival: str, training: pd.DataFrame, labels: np.ndarray, others: pd.DataFrame) -> np.ndarray:
    """Fit a rival on training scans and score others.

    Args:
        rival: name in ``FEATURES``.
        training: columns of the table ``acquisition`` and ``SIZE``, as far as the rival has them, a row a
            training scan.
        labels: 0 or 1 of these scans, shape (num_training_scans,).
        others: the same columns of the scans to score.

    Returns:
        Probabilities, shape (num_others,). Where the training scans have one label, which teaches nothing,
        all scans get 0.5.
    """
    if len(np.unique(labels)) < 2:
        return np.full(len(others), 0.5)
    model = _pipeline(rival).fit(_features(training, rival), labels)
    return model.predict_proba(_features(others, rival))[:, 1]
