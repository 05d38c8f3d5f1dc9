"""The report's section on other test sets: outside the training set, of a group, of changed scans."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from chestct.figures import style
from chestct.figures.claim_sentences import contrast_rows
from chestct.figures.report_tables import Shown, show
from chestct.figures.study_tables import StudyTables
from chestct.figures.table_columns import format_columns, value_texts
from chestct.figures.wording import contrast_title, count, listed, signed

_ARM = ["model", "init", "percent"]
#: Keys of a dataset that a sensitivity analysis changes, with what they say.
_CHANGES = {
    "consensus": "positive by {} readers",
    "indeterminate": "indeterminate exams {}",
    "task": "labelled by {}",
    "spacing_z_mm": "slices {:g} mm apart",
    "split_by": "another test set",
}

Entry = Mapping[str, Any]


def dataset_words(entry: Entry) -> list[str]:
    """What is special about a dataset's use, in words, from its entry in the configuration."""
    words = []
    if not entry.get("train", True):
        words.append("no training: all usable scans are test scans")
    if entry.get("test_on"):
        words.append(f"its models are tested on {listed(entry['test_on'])} too (all usable scans)")
    if "split_by" in entry:
        words.append(f"left out of training and tested on: {entry['split_by']} {_group(entry['test_group'])}")
    if "scans_of" in entry:
        words.append(f"the scans of {entry['scans_of']}")
    return words + [form.format(entry[key]) for key, form in _CHANGES.items() if key in entry and "{" in form]


def _group(group: Any) -> str:
    if isinstance(group, Mapping):
        bounds = {"at_least": "at least {:g}", "below": "below {:g}"}
        return " and ".join(bounds[name].format(value) for name, value in group.items())
    return " or ".join(map(str, group)) if isinstance(group, list | tuple) else str(group)


def use_sentences(study: StudyTables, entries: Sequence[Entry]) -> list[str]:
    """Which test sets lie outside the training set, which groups were left out, which scans come twice."""
    sizes = _sizes(study)
    sentences = [
        f"Models trained on {trained} are also tested on {tested}, whose patients are others: "
        f"{count(int(str(sizes.loc[name, 'num_scans'])), 'scan')}, "
        f"{int(str(sizes.loc[name, 'num_positive'])):,} positive ({name})."
        for name, (trained, tested) in study.outside.items()
        if name in sizes.index
    ]
    sentences += [
        f"No model is trained on {entry['name']}." for entry in entries if not entry.get("train", True)
    ]
    sentences += [
        f"Of {entry['name']} one group was left out of training and is the test set: {entry['split_by']} "
        f"{_group(entry['test_group'])}."
        for entry in entries
        if "split_by" in entry
    ]
    return sentences + [
        f"{entry['name']} holds the scans of {entry['scans_of']} once more: {_change(entry)}."
        for entry in entries
        if "scans_of" in entry
    ]


def outside_of(study: StudyTables, entries: list[Entry]) -> dict[str, Any]:
    """What the section shows.

    Args:
        study: tables of the study.
        entries: the configured datasets, resolved.

    Returns:
        sentences: ``use_sentences``; table: AUROC of every arm on
        its own test set and outside, or None; sensitivity: contrasts of datasets that share scans, or None.
    """
    return {
        "sentences": use_sentences(study, entries),
        "table": _outside_table(study),
        "sensitivity": _sensitivity_table(study, entries),
    }


def _sizes(study: StudyTables) -> pd.DataFrame:
    """Numbers of test scans and positive ones, by dataset."""
    return study.means.drop_duplicates("dataset").set_index("dataset")[["num_scans", "num_positive"]]


def _outside_table(study: StudyTables) -> Shown | None:
    """AUROC of every arm on its own test set beside that outside."""
    rows = study.means[study.means["metric"] == "auroc"]
    rows = rows.assign(text=value_texts(rows))
    parts = []
    for name, (trained, _) in study.outside.items():
        own = rows.loc[rows["dataset"] == trained, [*_ARM, "text", "value"]]
        theirs = rows[rows["dataset"] == name]
        both = theirs.merge(own, on=_ARM, suffixes=("", "_own"))
        parts.append(
            format_columns(
                both,
                "Test set, Model, Start, %, Own test set, Outside, Outside minus own",
                Test_set=both["dataset"],
                Own_test_set=both["text_own"],
                Outside=both["text"],
                Outside_minus_own=(both["value"] - both["value_own"]).map(signed),
            )
        )
    return show(pd.concat(parts, ignore_index=True)) if parts and any(map(len, parts)) else None


def _sensitivity_table(study: StudyTables, entries: list[Entry]) -> Shown | None:
    """Contrasts (``contrast_rows``) of every dataset whose scans others take, beside those of these."""
    bases = dict.fromkeys(entry["scans_of"] for entry in entries if "scans_of" in entry)
    names = study.comparisons["contrast"].unique() if bases else ()
    rows = pd.concat([study.comparisons.head(0), *(contrast_rows(study, name) for name in names)])
    parts = []
    for base in bases:
        related = [entry for entry in entries if base in (entry["name"], entry.get("scans_of"))]
        words = {entry["name"]: _change(entry) for entry in related}
        own = rows[rows["dataset"].isin(words)].copy()
        own["place"] = own["dataset"].map(list(words).index)
        keys = ["contrast", "model", "percent", "place"]
        parts.append(own.sort_values(keys, kind="stable").assign(change=own["dataset"].map(words)))
    table = pd.concat(parts, ignore_index=True).join(_sizes(study), on="dataset") if parts else pd.DataFrame()
    if table.empty:
        return None
    return show(
        format_columns(
            table,
            "Contrast, Model, %, Dataset, What differs, Scans, Positive, Difference, Interval, "
            "Patients alone",
            Contrast=table["contrast"].map(contrast_title),
            Model=table["model"].map(style.model_title),
            What_differs=table["change"],
        )
    )


def _change(entry: Entry) -> str:
    if "scans_of" not in entry:
        return "nothing: as it stands"
    words = [form.format(entry[key]) for key, form in _CHANGES.items() if key in entry]
    return "; ".join(words) or "nothing in labels or geometry"
