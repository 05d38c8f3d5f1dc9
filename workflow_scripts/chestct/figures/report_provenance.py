"""Provenance in the report: versions, digests, and whether the files that led to its tables are verified."""

from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.catalogue import LONGER
from chestct.figures import style
from chestct.figures.report_outside import dataset_words
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import hide_folders
from chestct.files import digest_object, sha256_file
from chestct.records import trace

_PACKAGES = ("numpy", "pandas", "matplotlib", "jinja2", "pyyaml")
_MAX_DIGESTS = 4
_WEIGHTS_COLUMNS = ["model", "initial_weights", "initial_weights_sha256"]

_VALIDATION_LABELS = {
    "all": "of the whole validation split in every run; a percentage counts training patients alone",
    "percent": "of as large a share as of the training patients; a percentage counts both",
}

Facts = list[tuple[str, str]]


def provenance_of(
    study: StudyTables,
    configuration: dict[str, Any],
    provenance: dict[str, str],
    tables: dict[str, str | Path],
) -> list[tuple[str, Facts]]:
    """Groups of (name, value).

    Args:
        study: tables of the study.
        configuration: the resolved configuration.
        provenance: further versions and digests by name.
        tables: files whose digests are stated, by name.
    """
    runs = study.runs
    # Weights trained by a run of this study are listed in the table of runs.
    weights = runs.dropna(subset=["initial_weights_sha256"]).drop_duplicates("initial_weights_sha256")
    weights = weights[~weights["initial_weights_sha256"].isin(runs["final_weights_sha256"])]
    return [
        (
            "Versions",
            [("Python (training)", _distinct(runs["python"])), ("torch (training)", _distinct(runs["torch"]))]
            + [("cuDNN (training)", _distinct(runs["cudnn"]))] * bool(runs["cudnn"].notna().any())
            + [(f"{name} (report)", metadata.version(name)) for name in _PACKAGES],
        ),
        (
            "Configuration, code, data",
            [
                ("configuration", digest_object(configuration)),
                ("training configuration", _distinct(runs["config_digest"])),
                ("training code", _distinct(runs["code_digest"])),
                *[
                    (f"data of {name}", _distinct(runs.loc[runs["dataset"] == name, "data_digest"]))
                    for name in study.scanned
                    if (runs["dataset"] == name).any()
                ],
                *[(str(name), str(value)) for name, value in provenance.items()],
            ],
        ),
        (
            "Starting weights (sha256)",
            [
                (f"{style.model_title(model)}: {hide_folders(words)}", digest)
                for model, words, digest in weights[_WEIGHTS_COLUMNS].to_numpy()
            ],
        ),
        ("Tables (sha256)", [(name, sha256_file(path)) for name, path in tables.items()]),
        ("Files, from the first lists to these tables", chain_of(tables.values())),
    ]


def chain_of(paths: Iterable[str | Path]) -> Facts:
    """Whether every file on the way to some tables is as it was written and read, and which files these are.

    Args:
        paths: of the tables.

    Returns:
        The verdict first, then the number of files by name.
    """
    links = trace(paths)
    broken = [f"{hide_folders(link.path)}: {hide_folders(link.problem)}" for link in links if link.problem]
    if broken:
        more = f" and {len(broken) - _MAX_DIGESTS} more" if len(broken) > _MAX_DIGESTS else ""
        verdict = ("NOT verified", f"{'; '.join(broken[:_MAX_DIGESTS])}{more}")
    else:
        words = "each is as it was written, and as it was when others were made from it"
        verdict = ("verified", f"{len(links)} files: {words}")
    names = Counter(Path(link.path).name for link in links)
    return [verdict, *((name, f"{number} file(s)") for name, number in sorted(names.items()))]


def _distinct(values: pd.Series) -> str:
    found = values.dropna().astype(str).unique()
    return ", ".join(found) if len(found) <= _MAX_DIGESTS else f"{len(found)}, see training/runs.csv"


def settings_of(configuration: dict[str, Any]) -> Facts:
    """The most important settings in words; those missing from the configuration are left out."""
    subsets, training = configuration.get("subsets", {}), configuration.get("training", {})
    evaluation, volumes = configuration.get("evaluation", {}), configuration.get("volumes", {})
    budget = training.get("budget", {})
    facts = [
        ("Training set sizes", _joined(configuration.get("percents", []), " % of the training patients")),
        ("Seeds", _joined(configuration.get("seeds", []), "")),
        *_settings_of_datasets(configuration.get("datasets", [])),
        (
            "Split of patients",
            _joined([f"{name} {share:g}" for name, share in subsets.get("split", {}).items()], ""),
        ),
        ("Validation labels", _VALIDATION_LABELS.get(subsets.get("validation_labels", ""), "")),
        ("Window", _text("{window_slices} slices, every {window_stride} slices", subsets)),
        ("Whole scan", _text("at most {scan_slices} slices, of models that see whole scans", subsets)),
        ("Image", _text("{size_px} x {size_px} pixels", volumes) + _text(", cropped to {crop_px}", training)),
        (
            "Training budget",
            _text("{windows_per_scan:g} windows a training scan, at least {min_windows:,}", budget),
        ),
        ("Batch", _text("{batch_size} windows", training)),
        (
            "Early stopping",
            _text(
                "after {windows_per_scan:g} windows a training scan, at least {min_windows:,}, without a "
                "better validation",
                training.get("patience") or {},
            ),
        ),
        ("Longer training from scratch", _longer(configuration)),
        ("Learning rate", _rates(training)),
        ("Bootstrap", _text("{num_resamples} resamples of patients, seed {seed}", evaluation)),
        ("Metrics", _joined(evaluation.get("metrics", []), "")),
    ]
    return [(name, words) for name, words in facts if words]


def _settings_of_datasets(entries: list[dict[str, Any]]) -> Facts:
    """What is special about the use of a dataset, in words."""
    facts = [(f"Dataset {entry['name']}", "; ".join(dataset_words(entry))) for entry in entries]
    return [(name, words) for name, words in facts if words]


def _joined(values: list[Any], unit: str) -> str:
    return ", ".join(map(str, values)) + unit if values else ""


def _text(form: str, values: dict[str, Any]) -> str:
    try:
        return form.format(**values)
    except KeyError:
        return ""


def _longer(configuration: dict[str, Any]) -> str:
    """How much longer the arms of ``LONGER`` train, where the study has one."""
    own = [entry.get("inits", []) for entry in configuration.get("models", [])]
    if not any(init in LONGER for inits in (configuration.get("inits", []), *own) for init in inits):
        return ""
    return _text("{long_factor:g} times the budget and the patience", configuration["training"])


def _rates(training: dict[str, Any]) -> str:
    if training.get("learning_rates"):
        tried = ", ".join(f"{rate:g}" for rate in training["learning_rates"])
        return f"chosen for every arm among {tried}"
    return f"{training['learning_rate']:g}, unless a model has its own" if "learning_rate" in training else ""
