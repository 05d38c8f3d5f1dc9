"""Where a study's data come from: one manifest, and what to cite."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chestct.files import sha256_file, write_text
from chestct.records import read_recorded, write_recorded

PAPER = (
    "Ke, Huang, O'Connell, Klimont, Yeung, Rajpurkar, Video pretraining advances 3D deep learning on chest "
    "CT tasks, MIDL 2023, PMLR 227:758-774"
)
#: Of a row of the weights table, what a reader of the study needs.
_WEIGHTS_KEYS = ("weights_id", "model", "init", "training_data", "source", "url", "package", "licence")


def read_manifests(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The manifests of the study's datasets, in order.

    Raises:
        InputError: one is missing or not what was written.
    """
    return [json.loads(read_recorded(path)) for path in paths]


def write_data_manifest(
    study: str, manifests: Sequence[Path], weights: Sequence[tuple[Mapping[str, str], Path]], path: Path
) -> None:
    """Write the manifest of all data that a study uses: datasets, and weight files as they are on disk.

    Args:
        study: its name.
        manifests: manifest.json of every dataset.
        weights: row of the weights table and file, of every published weight file that the study uses.
        path: JSON to write.
    """
    facts = {
        "study": study,
        "datasets": read_manifests(manifests),
        "weights": [
            {key: row[key] for key in _WEIGHTS_KEYS if row.get(key)}
            | {
                "citation": [row["citation"]],
                "size_bytes": file.stat().st_size,
                "sha256": sha256_file(file),
                "sha256_known_beforehand": bool(row.get("sha256")),
            }
            for row, file in weights
        ],
    }
    write_recorded(path, json.dumps(facts, indent=2) + "\n")


def write_citations(manifests: Sequence[Path], weights: Sequence[Mapping[str, str]], path: Path) -> None:
    """Write what a publication that uses this study's data is to cite, as Markdown.

    Args:
        manifests: manifest.json of every dataset.
        weights: rows of the weights table that the study uses.
        path: file to write.
    """
    write_text(path, citations_text(read_manifests(manifests), weights))


def citations_text(datasets: Sequence[Mapping[str, Any]], weights: Sequence[Mapping[str, str]]) -> str:
    """What to cite, as Markdown, from facts on datasets (``datasets.manifest_facts``) and rows of weights."""
    lines = ["# What to cite", "", "## The study", "", f"- {PAPER}", "- This workflow: see CITATION.cff", ""]
    for facts in datasets:
        lines += [f"## Data: {facts['dataset']}", "", f"{facts['description']}.", ""]
        lines += [f"- {citation}" for citation in facts["citation"]] or ["- nothing to cite"]
        # The path of the user's copy is private.
        local = str(facts["source"]).startswith(("/", "~", "."))
        source = "a local copy" if local else facts["source"]
        lines += ["", f"Version: {facts['version']}. Source: {source}. Licence: {facts['licence']}."]
        lines += ([f"Terms: {facts['terms']}."] if facts.get("terms") else []) + [""]
    for row in weights:
        lines += [f"## Weights: {row['weights_id']}", "", f"- {row['citation']}", ""]
        lines += [
            f"Trained on {row['training_data']}. Source: {row['source']}. Licence: {row['licence']}.",
            "",
        ]
    return "\n".join(lines)
