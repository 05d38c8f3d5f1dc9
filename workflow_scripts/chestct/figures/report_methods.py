"""A methods section, ready to copy: what was done, from the configuration and the records of the study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chestct.catalogue import INIT_TITLES, MODELS
from chestct.dataset_entries import intensity_of, label_words
from chestct.figures import style
from chestct.figures.report_outside import use_sentences
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import count, listed, metric_title
from chestct.intensity import DISPLAY, DISPLAY_WORDS

_TEMPLATE = "methods.txt.j2"
_MAX_VERSIONS = 3
_SPLITS = {"train": "training", "validation": "validation", "test": "test patients"}


def methods_of(
    study: StudyTables, configuration: Mapping[str, Any], flows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Paragraphs with their titles; plain text.

    Args:
        study: tables of the study.
        configuration: the resolved configuration.
        flows: cohort flow of every dataset (``cohort_flow``).
    """
    subsets, training = configuration["subsets"], configuration["training"]
    evaluation = configuration["evaluation"]
    present = set(study.runs["init"])
    values = {
        **{
            name: value
            for name, value in (subsets | training).items()
            if isinstance(value, int | float | str)
        },
        "datasets": [_dataset(study, configuration, flow) for flow in flows],
        "uses": use_sentences(study, configuration["datasets"]),
        "size_px": configuration["volumes"]["size_px"],
        "split": listed([f"{100 * subsets['split'][name]:g} % {words}" for name, words in _SPLITS.items()]),
        "percents": listed([str(percent) for percent in sorted(configuration["percents"])]),
        "models": listed(_models([entry["name"] for entry in configuration["models"]])),
        "inits": listed([f"\u201c{title}\u201d" for name, title in INIT_TITLES.items() if name in present]),
        "probes": any(MODELS[entry["name"]].frozen for entry in configuration["models"]),
        "rates": listed([f"{rate:g}" for rate in training["learning_rates"]]),
        "budget": _windows(training["budget"]),
        "patience": _windows(training["patience"]) if training["patience"] else "",
        "max_shift_px": training["max_shift_px"],
        "num_seeds": count(len(configuration["seeds"]), "seed"),
        "metrics": listed([metric_title(name) for name in evaluation["metrics"]]),
        "num_resamples": f"{evaluation['num_resamples']:,}",
        "simulations": f"{evaluation['simulations']:,}",
        "confidence": f"{100 * evaluation['confidence']:g} %",
        "margin": evaluation["margin"],
        "python": _versions(study, "python"),
        "torch": _versions(study, "torch"),
    }
    loader = FileSystemLoader(Path(__file__).parent)
    # Plain text, which the page escapes like all other.
    plain = Environment(loader=loader, undefined=StrictUndefined, autoescape=False)
    text = plain.get_template(_TEMPLATE).render(values)
    parts = [part.partition("\n") for part in text.split("# ")[1:]]
    return [(title.strip(), " ".join(words.split())) for title, _, words in parts]


def _dataset(study: StudyTables, configuration: Mapping[str, Any], flow: Mapping[str, Any]) -> dict[str, Any]:
    name = flow["dataset"]
    entry = next(entry for entry in configuration["datasets"] if entry["name"] == name)
    window, is_display = entry["display_window_hu"], intensity_of(entry) == DISPLAY
    parts = [
        f"{count(split['scans'], 'scan')} of {count(split['patients'], 'patient')} for {split['name']} "
        f"({split['positive']:,} positive)"
        for split in flow["first_splits"]
    ]
    manifest = study.manifests[name]
    return {
        "name": name,
        "description": manifest["description"],
        "stand_in": manifest["stand_in"],
        "label": label_words(entry),
        "parts": listed(parts),
        "unit": f"grey levels ({DISPLAY_WORDS})" if is_display else "HU",
        "num_slices": entry.get("num_slices"),
        "width": f"{window['width']:g}",
        "centre": f"{window['centre']:g}",
    }


def _models(names: Sequence[str]) -> list[str]:
    """The models by kind, with their titles in brackets."""
    kinds = {
        "3D models": [name for name in names if MODELS[name].family == "3d" and not MODELS[name].frozen],
        "frozen probes": [name for name in names if MODELS[name].frozen],
        "2D models": [name for name in names if MODELS[name].family == "2d" and not MODELS[name].frozen],
    }
    return [f"{kind} ({'; '.join(map(style.model_title, found))})" for kind, found in kinds.items() if found]


def _windows(amount: Mapping[str, Any]) -> str:
    """Windows of a run that depend on the number of its training scans, in words."""
    return f"{amount['windows_per_scan']:g} windows a training scan (at least {amount['min_windows']:,})"


def _versions(study: StudyTables, name: str) -> str:
    found = sorted(map(str, study.runs[name].dropna().unique()))
    return listed(found) if len(found) <= _MAX_VERSIONS else f"{len(found)} versions"
