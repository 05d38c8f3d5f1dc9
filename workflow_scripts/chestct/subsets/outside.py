"""Test sets outside the training set: all usable scans of another dataset, if their patients are others."""

from collections.abc import Mapping, Sequence

import pandas as pd

from chestct.errors import InputError
from chestct.files import write_text
from chestct.subsets.splits import check_test_patients
from chestct.tables import read_table, write_table

_SHOWN = 5


def compare_patients(*, name: str, tested: str, seen: Mapping[str, str], output: str) -> None:
    """Stop where models may have seen a patient of the test set; else write how many patients there are.

    Patients are compared by ``patient_id`` over all listed scans, before anything is trained. One person
    under two identifiers, as when two hospitals give pseudonyms of their own, is not found; two people under
    one are taken for the same. Equal voxels under two identifiers are found by ``write_outside_set``.

    Args:
        name: of the outside set, for messages.
        tested: table ``series`` of the dataset that is tested on.
        seen: tables ``series`` of the datasets that the models are trained on, by name.
        output: text to write.

    Raises:
        InputError: a patient is in the test set and in one of the others; or a table is missing or broken.
    """
    patients = set(read_table(tested, "series")["patient_id"])
    lines = [f"{name}: {len(patients)} patients"]
    for dataset, path in seen.items():
        others = set(read_table(path, "series")["patient_id"])
        shared = sorted(patients & others)
        if shared:
            more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
            raise InputError(
                f"{len(shared)} patient(s) of the test set are in '{dataset}' too, which models of this test "
                f"are trained on: {', '.join(shared[:_SHOWN])}{more}",
                where=f"test set {name}, identifiers of patients in both datasets",
                expected="a test set without a patient that is trained on",
                remedy="leave these patients out (`patients`, or the table of own_data), or remove the "
                "dataset from test_on; where the same identifier means different people, make it different",
            )
        lines.append(f"{dataset}: {len(others)} patients, none of them in the test set")
    write_text(output, "\n".join(lines) + "\n")


def _check_scans(tested: pd.DataFrame, own: pd.DataFrame, name: str) -> None:
    shared = sorted(set(tested["study_id"]) & set(own["study_id"]))
    if shared:
        raise InputError(
            f"{len(shared)} scan(s) of the test set have the identifier of a scan that was trained on: "
            f"{', '.join(shared[:_SHOWN])}",
            where=f"test set {name}, study_id",
            expected="an identifier of its own for every scan of the study",
            remedy="rename the scans in the table of own_data",
        )


def _check_voxels(tested: str, seen: Mapping[str, str], name: str) -> None:
    """Stop where a scan of the test set has the voxels of one of a dataset that models have seen."""
    theirs = read_table(tested, "index").dropna(subset="content").set_index("content")
    for dataset, path in seen.items():
        own = read_table(path, "index").dropna(subset="content").drop_duplicates("content")
        own = own[own["content"].isin(theirs.index)]
        if len(own):
            shown = "; ".join(
                f"scan {theirs.loc[[row['content']], 'study_id'].iloc[0]} has those of {row['study_id']}"
                for _, row in own.head(_SHOWN).iterrows()
            )
            raise InputError(
                f"{len(own)} scan(s) of the test set have the voxels of scans of '{dataset}', which models "
                f"of this test are trained on: {shown}",
                where=f"test set {name}, voxels in both datasets",
                expected="a test set without a scan that is trained on, whatever its identifiers",
                remedy="leave these patients out (`patients`, or the table of own_data), or remove the "
                "dataset from test_on",
            )


def write_outside_set(
    *,
    name: str,
    tested: str,
    tested_index: str,
    seen_index: Mapping[str, str],
    splits: str,
    acquisition: Sequence[str],
    cohort_path: str,
    splits_path: str,
    acquisition_path: str,
) -> None:
    """Write cohort, splits and acquisition of an outside test set, as those of a dataset of its own.

    The test scans are all used scans of the dataset that is tested on. The training and validation scans, on
    which models were trained and thresholds are chosen, are those of the dataset that was trained on: a
    hospital that takes over a model has it as it is. Under cross-validation they are those of the first fold,
    whose networks are tested.

    Args:
        name: of the outside set, in the place of a dataset's name.
        tested: cohort of the dataset that is tested on.
        tested_index: its table ``index``.
        seen_index: tables ``index`` of the datasets that the models are trained on, by name.
        splits: of the dataset whose models are tested.
        acquisition: of that dataset and of the one that it is tested on.
        cohort_path, splits_path, acquisition_path: tables to write.

    Raises:
        InputError: a scan has the identifier or the voxels of one that was trained on; the test set has too
            few patients of a class; or a table is missing or broken.
    """
    _check_voxels(tested_index, seen_index, name)
    cohort = read_table(tested, "cohort")
    own = read_table(splits, "splits")
    own = own[(own["split"] != "test") & (own["fold"] == 0)]
    test = cohort.loc[cohort["status"] == "used", ["dataset", "patient_id", "study_id", "label"]]
    _check_scans(test, own, name)
    check_test_patients(
        test,
        name=f"test set {name}",
        where="usable scans of the dataset that is tested on",
        remedy="add scans, or remove the dataset from test_on",
    )
    rows = pd.concat([own, test.assign(fold=0, split="test")], ignore_index=True).assign(dataset=name)
    write_table(cohort.assign(dataset=name), cohort_path, "cohort")
    write_table(rows, splits_path, "splits")
    facts = pd.concat([read_table(path, "acquisition") for path in acquisition], ignore_index=True)
    facts = facts[facts["study_id"].isin(rows["study_id"])]
    write_table(facts.assign(dataset=name), acquisition_path, "acquisition")
    print(rows.groupby(["split", "label"]).size())
