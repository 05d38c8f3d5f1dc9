"""The cohort: every scan that exists and what became of it."""

from collections.abc import Mapping

import pandas as pd

from chestct.errors import InputError
from chestct.tables import read_table, write_table


def select_cohort(
    series: pd.DataFrame,
    labels: pd.DataFrame,
    ledger: pd.DataFrame,
    index: pd.DataFrame,
    left_out: pd.DataFrame,
) -> pd.DataFrame:
    """Join what was listed, labelled and converted into one row a scan.

    Args:
        series, labels, ledger, index, left_out: tables of these schemas, of one dataset.

    Returns:
        Table of schema ``cohort``: every scan that exists in the source. A scan is used when it has a
        label and a volume; otherwise the reason says which is lacking, the label's reason first, or why
        it was left out before it was obtained. Patients who have a scan of equal voxels are one patient,
        under the identifier of the first; where labels of such scans differ, neither is used.

    Raises:
        InputError: a label belongs to a scan that is not there, or no scan can be used.
    """
    _check_labels(labels, series)
    keys = ["dataset", "patient_id", "study_id"]
    cohort = series[keys]
    for facts in (
        labels[["study_id", "label", "exclusion", "baseline"]],
        ledger[["study_id", "status", "reason"]].rename(columns={"status": "conversion"}),
        index[["study_id", "num_slices"]],
    ):
        cohort = cohort.merge(facts, on="study_id", how="left", validate="1:1")
    copies = _copies(ledger)
    cohort["reason"] = _reasons(cohort, copies)
    cohort["status"] = cohort["reason"].isna().map({True: "used", False: "excluded"})
    _check_usable(cohort)
    columns = [*keys, "label", "status", "reason", "baseline", "num_slices"]
    # A second series of a scan that is already in the cohort is not another scan.
    rest = left_out[~left_out["study_id"].isin(series["study_id"])].drop_duplicates("study_id")
    if len(rest):
        # Columns that are not there (label, num_slices) become empty.
        cohort = pd.concat([cohort, rest[[*keys, "reason"]].assign(status="excluded")])
    one_of = _joined_patients(series, copies)
    cohort["patient_id"] = cohort["patient_id"].replace(one_of)
    return cohort[columns].sort_values(["patient_id", "study_id"], ignore_index=True)


def _check_labels(labels: pd.DataFrame, series: pd.DataFrame) -> None:
    unknown = sorted(set(labels["study_id"]) - set(series["study_id"]))
    if unknown:
        raise InputError(
            f"{len(unknown)} label(s) belong to scans that are not there: {unknown[:5]}",
            where="labels table",
            expected="labels of listed scans only",
            remedy="remove these labels, or add the scans",
        )


def _reasons(cohort: pd.DataFrame, copies: Mapping[str, str]) -> pd.Series:
    """Why each scan is excluded, empty where it is used.

    Args:
        cohort: with the columns label, exclusion, conversion, reason (of the ledger) and num_slices.
        copies: of ``_copies``.
    """
    label_of = cohort.set_index("study_id")["label"]
    contradictory = {
        study_id
        for pair in copies.items()
        if label_of[list(pair)].nunique() > 1  # of one that has none, nothing is counted
        for study_id in pair
    }

    def reason_of(row: pd.Series) -> str | None:
        if pd.notna(row["exclusion"]):
            return str(row["exclusion"])
        if pd.isna(row["label"]):
            return "no_label"
        if row["study_id"] in contradictory:
            return "label_differs_from_duplicate"
        if row["conversion"] == "refused":
            return f"refused: {row['reason']}"
        return "no_volume" if pd.isna(row["num_slices"]) else None

    return pd.Series([reason_of(row) for _, row in cohort.iterrows()], dtype="string")


def _check_usable(cohort: pd.DataFrame) -> None:
    if not (cohort["status"] == "used").any():
        raise InputError(
            f"no scan of the dataset can be used: {cohort['reason'].value_counts().to_dict()}",
            where="cohort",
            expected="scans with a label and a volume",
            remedy="see the ledger of the volumes step and the label table",
        )


def _copies(ledger: pd.DataFrame) -> dict[str, str]:
    """study_id of every refused duplicate -> that of the scan with the same voxels."""
    if "same_as" not in ledger:
        return {}
    copies = ledger.dropna(subset="same_as")
    return dict(zip(copies["study_id"], copies["same_as"], strict=True))


def _joined_patients(series: pd.DataFrame, copies: Mapping[str, str]) -> dict[str, str]:
    """patient_id -> that of the first patient with whom it shares voxels, directly or by others."""
    patient_of = series.set_index("study_id")["patient_id"]
    one_of: dict[str, str] = {}

    def first_of(patient: str) -> str:
        while patient in one_of:
            patient = one_of[patient]
        return patient

    for copy, scan in copies.items():
        kept, joined = first_of(patient_of[scan]), first_of(patient_of[copy])
        if kept != joined:
            one_of[joined] = kept
    return {patient: first_of(patient) for patient in one_of}


def write_cohort(*, series: str, labels: str, ledger: str, index: str, left_out: str, output: str) -> None:
    """Read the five tables, write the cohort.

    Raises:
        InputError: as of ``select_cohort``; or a table is of another dataset, and lies with its record in the
            place of this one's.
    """
    paths = {"series": series, "labels": labels, "ledger": ledger, "index": index, "left_out": left_out}
    tables = {name: read_table(path, name) for name, path in paths.items()}
    own = set(tables["series"]["dataset"])
    for name, table in tables.items():
        others = sorted(set(table["dataset"]) - own) if own else []
        if others:
            raise InputError(
                f"the table is that of another dataset: {others[0]}",
                where=paths[name],
                expected=f"dataset {min(own)}",
                remedy="put the right one back, or make it again: "
                f"snakemake --cores all --forcerun {paths[name]}",
            )
    cohort = select_cohort(**tables)
    write_table(cohort, output, "cohort")
    print(cohort.groupby(["status", "label"], dropna=False).size())
