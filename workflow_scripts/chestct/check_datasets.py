"""The configured datasets are checked against each other and against what their sources can give."""

from typing import Any

from chestct.configuration_problem import Problems, problem
from chestct.dataset_entries import file_intensity_of, intensity_of, meaning_of, outside_sets
from chestct.intensity import DISPLAY, HU, HU_PLUS_1024

#: Keys that a source needs, beyond those every dataset has.
_SOURCE_KEYS = {
    "phantom_rspect": ["num_patients", "seed"],
    "phantom_lidc": ["num_patients", "seed"],
    "own_data": ["table", "columns"],
    "lidc_nodules": ["task"],
}
#: Where the files of a real source may come from, and the keys that this needs.
_ORIGIN_KEYS = {
    "rspect": {"folder": ["folder"], "archive": ["archive"]},
    "lidc_idri": {"folder": ["folder"], "idc": []},
}
#: Keys that say how labels are read, and the sources that have what they speak of.
_LABEL_KEYS = {
    "consensus": ["lidc_idri", "phantom_lidc"],
    "indeterminate": ["rspect", "phantom_rspect"],
    "task": ["lidc_nodules"],
}
#: Keys that one source has, and what the values of a source's scans may be where there is a choice.
_OWN_KEYS = {"packed": "lidc_nodules", "phantoms": "own_data"}
_INTENSITIES = {"own_data": [HU, HU_PLUS_1024, DISPLAY], "lidc_nodules": [DISPLAY]}

Entry = dict[str, Any]


def check_shared_scans(entries: list[Entry], shareable: set[str]) -> None:
    """Stop where ``scans_of`` names no dataset that has scans of its own, or changes what those scans are.

    Args:
        entries: as configured.
        shareable: keys that a dataset with ``scans_of`` may give: those on labels and use.

    Raises:
        InputError: names the dataset.
    """
    by_name = {entry["name"]: entry for entry in entries}
    for entry in entries:
        key, base = f"datasets.{entry['name']}", entry.get("scans_of")
        if base is None:
            lacking = [name for name in ("source", "display_window_hu") if name not in entry]
            if lacking:
                raise problem(
                    f"missing key(s) {lacking}", key, "every required key", "add them; see config.yaml"
                )
            continue
        others = [name for name, other in by_name.items() if "scans_of" not in other]
        if base not in others:
            raise problem(
                f"scans_of '{base}' is not another dataset with scans of its own",
                key,
                f"one of {others}",
                "name a configured dataset that has a source",
            )
        changed = sorted(set(entry) - shareable - {"name", "scans_of"})
        if changed:
            raise problem(
                f"{changed} would change the scans, which are those of '{base}'",
                key,
                f"keys among {', '.join(sorted(shareable))}",
                "remove them, or replace scans_of by a source of its own",
            )


def check_datasets(entries: list[Entry], problems: Problems, *, folds: int) -> None:
    """Find what is wrong with each dataset, then with how they go together.

    Args:
        entries: resolved (``dataset_entries.resolve_entries``).
        problems: takes what is wrong with a dataset.
        folds: of cross-validation; 1: one held-out test set.

    Raises:
        InputError: names the dataset, what was expected and the remedy.
    """
    names = [entry["name"] for entry in entries]
    for entry in entries:
        key = f"datasets.{entry['name']}"
        for check in (_check_origin, _check_labels, _check_volumes):
            with problems.kept():
                check(entry, key)
        with problems.kept():
            _check_ct_source(entry, entries, key)
        with problems.kept():
            _check_group(entry, key, folds)
    if problems:
        return
    if not any(entry.get("train", True) for entry in entries):
        raise problem(
            "no dataset is trained on", "datasets", "one without train: false", "remove a train: false"
        )
    for outside in outside_sets(entries):
        if outside.name in names:
            raise problem(
                f"results of '{outside.trained}' tested on '{outside.tested}' are called '{outside.name}', "
                "as a dataset is",
                f"datasets.{outside.name}",
                "another name",
                "rename this dataset",
            )
    for entry in entries:
        with problems.kept():
            _check_test_on(entry, entries)


def _check_origin(entry: Entry, key: str) -> None:
    needed, origins = _SOURCE_KEYS.get(entry["source"], []), _ORIGIN_KEYS.get(entry["source"])
    words = f"source '{entry['source']}'"
    if origins is None and "from" in entry:
        raise problem(f"{words} has no choice of `from`", key, "no such key", "remove it")
    if origins is not None:
        origin = entry.get("from", "folder")
        if origin not in origins:
            raise problem(f"{words} has no files from: {origin}", key, ", ".join(origins), "correct `from`")
        needed, words = origins[origin], f"{words}, from: {origin},"
    missing = [name for name in needed if name not in entry]
    if missing:
        others = f", or another `from`: {', '.join(origins)}" if origins else ""
        raise problem(f"{words} needs {missing}", key, "these keys", f"add them to the dataset{others}")


def _check_labels(entry: Entry, key: str) -> None:
    for name, sources in _LABEL_KEYS.items():
        if name in entry and entry["source"] not in sources:
            raise problem(
                f"source '{entry['source']}' has no choice of `{name}`",
                key,
                f"no such key, or a source among {', '.join(sources)}",
                "remove it",
            )
    rule = entry.get("label_rule")
    if rule and rule["positive_above"] < rule["negative_below"]:
        raise problem(
            "label_rule makes a scan positive and negative at once",
            key,
            "positive_above at least negative_below",
            "raise positive_above",
        )


def _check_volumes(entry: Entry, key: str) -> None:
    for name, source in _OWN_KEYS.items():
        if name in entry and entry["source"] != source:
            raise problem(
                f"source '{entry['source']}' has no key `{name}`", key, f"source {source}", "remove it"
            )
    if "packed" in entry and "folder" in entry:
        raise problem("both packed and folder are given", key, "one of them", "remove the other")
    if "spacing_z_mm" in entry and "num_slices" in entry:
        raise problem(
            "slices are resampled along z to a spacing or to a number, not to both",
            key,
            "spacing_z_mm or num_slices",
            "remove one of them",
        )
    known = _INTENSITIES.get(entry["source"], [HU])
    if file_intensity_of(entry) not in known:
        raise problem(
            f"the scans of source '{entry['source']}' are not of intensity: {file_intensity_of(entry)}",
            key,
            f"intensity: {' or '.join(known)}",
            "correct or remove `intensity`",
        )


def _check_ct_source(entry: Entry, entries: list[Entry], key: str) -> None:
    source = entry.get("ct_source")
    others = [other["name"] for other in entries if other["name"] != entry["name"]]
    if source is None:
        return
    if source not in others:
        raise problem(
            f"ct_source '{source}' is not another dataset of this study",
            key,
            f"one of {others}",
            "name a configured dataset, or remove ct_source",
        )
    if not next(other for other in entries if other["name"] == source).get("train", True):
        raise problem(
            f"ct_source '{source}' is not trained on (train: false)",
            key,
            "a dataset that models are trained on",
            f"remove train: false of '{source}', or ct_source here",
        )


def _check_group(entry: Entry, key: str, folds: int) -> None:
    lone = {"split_by": "test_group", "test_group": "split_by"}
    for name, other in lone.items():
        if name in entry and other not in entry:
            raise problem(
                f"{name} without {other}",
                key,
                "both: the column, and the group that is left out of training",
                f"add {other}, or remove {name}",
            )
    if "split_by" in entry and not entry.get("train", True):
        raise problem(
            "split_by without training: all scans of the dataset are test scans",
            key,
            "one of split_by and train: false",
            "remove one of them",
        )
    if "split_by" in entry and folds > 1:
        raise problem(
            f"split_by leaves one group out, but subsets.folds is {folds}",
            key,
            "folds: 1, since the group is the one test set",
            "set subsets.folds to 1, or remove split_by",
        )


def _check_test_on(entry: Entry, entries: list[Entry]) -> None:
    key, by_name = f"datasets.{entry['name']}.test_on", {other["name"]: other for other in entries}
    if entry.get("test_on") and not entry.get("train", True):
        raise problem(
            f"'{entry['name']}' has no models that could be tested: it is not trained on (train: false)",
            key,
            "no test_on",
            "remove test_on, or train: false",
        )
    for name in entry.get("test_on", ()):
        others = [other for other in by_name if other != entry["name"]]
        if name == entry["name"]:
            raise problem(
                f"'{name}' is to be tested on itself",
                key,
                "other datasets",
                "remove it: its own test set is there",
            )
        if name not in by_name:
            raise problem(
                f"'{name}' is not a dataset of this study", key, f"some of {others}", "add it, or correct it"
            )
        tested = by_name[name]
        if _scans(tested) == _scans(entry):
            raise problem(
                f"'{name}' has the scans of '{entry['name']}', on which the models were trained",
                key,
                "a dataset of other patients",
                "remove it from test_on",
            )
        if "ct_source" in entry and _scans(tested) == _scans(by_name[entry["ct_source"]]):
            raise problem(
                f"'{name}' has the scans that the CT pretraining of '{entry['name']}' takes (ct_source)",
                key,
                "a dataset whose patients no model of it has seen",
                "remove it from test_on, or ct_source",
            )
        if intensity_of(tested) != intensity_of(entry):
            raise problem(
                f"the values of '{name}' are {intensity_of(tested)}, those that the models of "
                f"'{entry['name']}' were trained on {intensity_of(entry)}",
                key,
                "scans with values of one kind",
                "remove it from test_on",
            )
        _check_meaning(entry, tested, key)


def _check_meaning(entry: Entry, tested: Entry, key: str) -> None:
    meanings = {other["name"]: meaning_of(other) for other in (entry, tested)}
    for name, meaning in meanings.items():
        if meaning is None:
            raise problem(
                f"what a positive label of '{name}' means is not known",
                f"datasets.{name}",
                'words for it, e.g. label: "nodule"',
                "add the key label, with the same words as the dataset on the other side of test_on",
            )
    if len(set(meanings.values())) > 1:
        shown = " and ".join(f"'{meaning}' ('{name}')" for name, meaning in meanings.items())
        raise problem(
            f"labels mean different things: {shown}",
            key,
            "a dataset with the same label meaning",
            "remove it from test_on, or say by the key label that both mean the same",
        )


def _scans(entry: Entry) -> str:
    """The dataset whose scans a dataset takes: its own name, or that of ``scans_of``."""
    return str(entry.get("scans_of", entry["name"]))
