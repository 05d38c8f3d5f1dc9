"""The configured datasets: which share scans, which are trained on, on which others they are tested."""

from dataclasses import dataclass
from typing import Any

from chestct.intensity import DISPLAY, HU, OFFSET_HU

#: A dataset of the configuration.
Entry = dict[str, Any]
#: What a source's label means, unless the dataset says it (key ``label``); own_data has none.
MEANINGS = {
    "phantom_rspect": "pulmonary embolism",
    "rspect": "pulmonary embolism",
    "phantom_lidc": "nodule",
    "lidc_idri": "nodule",
}
#: What a positive label of the nodules of LIDC-IDRI means, by the key ``task``.
TASKS = {
    "agreement": "nodule outlined by at least three of four readers",
    "malignancy": "nodule judged likely malignant",
    "texture": "solid nodule",
}


_OF_LIDC = {
    "patient": r"LIDC-IDRI-[0-9]{4}",
    "scan": r"1\.3\.6\.1\.4\.1\.14519\.5\.2\.1\.6279\.6001\.[0-9]+",
}
_OF_KAGGLE = r"[0-9a-f]{12}"
#: Patterns of the identifiers that a source's publisher gave, by kind; others in a folder in its layout are
#: somebody's own. Sources that are not named bring their identifiers themselves.
PUBLIC_IDS: dict[str, dict[str, str]] = {
    "lidc_idri": _OF_LIDC,
    "rspect": {"patient": _OF_KAGGLE, "scan": _OF_KAGGLE},
    "own_data": {},
}


@dataclass(frozen=True, kw_only=True)
class OutsideSet:
    """A test set outside the training set: the scans of one dataset, scored by the models of another.

    Attributes:
        name: stands for a dataset's name in results: TRAINED_on_TESTED.
        trained: dataset whose models score.
        tested: dataset whose scans they score.
    """

    name: str
    trained: str
    tested: str


def resolve_entries(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The datasets' entries, where one with ``scans_of`` has taken over the keys that it does not give.

    Args:
        entries: the configuration's; every ``scans_of`` names another of them that has none itself.
    """
    by_name = {entry["name"]: entry for entry in entries}
    return [by_name.get(entry.get("scans_of"), {}) | entry for entry in entries]


def trained_datasets(entries: list[dict[str, Any]]) -> list[str]:
    """Names of the datasets that models are trained on, in order."""
    return [entry["name"] for entry in entries if entry.get("train", True)]


def outside_sets(entries: list[dict[str, Any]]) -> list[OutsideSet]:
    """The test sets that ``test_on`` asks for, in the order of the datasets."""
    return [
        OutsideSet(name=f"{entry['name']}_on_{tested}", trained=entry["name"], tested=tested)
        for entry in entries
        for tested in entry.get("test_on", ())
    ]


def claimed_datasets(entries: list[dict[str, Any]]) -> list[str]:
    """Names of the datasets on whose own test sets the claims are decided.

    Claims average over datasets as over independent patients: of datasets that share scans, the first counts.
    """
    return [entry["name"] for entry in entries if entry.get("train", True) and "scans_of" not in entry]


def conversion_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The keys of a dataset that change its volumes."""
    keys = {key: entry.get(key) for key in ("spacing_z_mm", "num_slices")}
    return keys | {"intensity": file_intensity_of(entry), "accept": sorted(entry.get("accept", ()))}


def file_intensity_of(entry: dict[str, Any]) -> str:
    """What the values in a dataset's files are (``chestct.intensity``); of lidc_nodules display by nature."""
    return entry.get("intensity", DISPLAY if entry.get("source") == "lidc_nodules" else HU)


def intensity_of(entry: dict[str, Any]) -> str:
    """What the values of a dataset's volumes are once converted: HU, whatever its files add, or display."""
    given = file_intensity_of(entry)
    return HU if given in OFFSET_HU else given


def shares_volumes(entry: dict[str, Any], entries: list[dict[str, Any]]) -> bool:
    """Whether a dataset's volumes are those of the dataset whose scans it takes."""
    base = next((other for other in entries if other["name"] == entry.get("scans_of")), None)
    return base is not None and conversion_of(base) == conversion_of(entry)


def label_words(entry: dict[str, Any]) -> str:
    """What a positive label means, in words; where nobody says it, which column holds it."""
    column = entry.get("columns", {}).get("label")
    own = f'positive by the column "{column}" of the table' if column else "label 1 of the dataset"
    return meaning_of(entry) or own


def meaning_of(entry: dict[str, Any]) -> str | None:
    """What a positive label means, in words; None where neither the source nor the dataset says it."""
    words = entry.get("label") or MEANINGS.get(entry["source"]) or TASKS.get(entry.get("task", ""))
    return " ".join(words.lower().split()) if words else None
