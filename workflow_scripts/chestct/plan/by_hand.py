"""What a person must do before a study can run: accounts, rules to accept, files no program can fetch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chestct.download.datasets import steps_by_hand
from chestct.download.published_weights import offline_path
from chestct.download.weights_table import weights_row
from chestct.plan.cost import PlannedJob


def lines_by_hand(config: dict[str, Any], jobs: Sequence[PlannedJob]) -> list[str]:
    """The steps that are still to be done, a line each, or one line that there are none.

    Args:
        config: the study's configuration, its datasets resolved.
        jobs: of the study; weights that are there need nothing.

    Raises:
        InputError: a source is not known.
    """
    steps = [
        f"dataset {entry['name']}: {step}"
        for entry in config["datasets"]
        if "scans_of" not in entry
        for step in steps_by_hand(entry)
    ]
    folder = Path(config["data_dir"]) / "weights"
    for job in jobs:
        row = weights_row(job.wildcards["weights_id"]) if job.rule == "download_weights" else None
        if row and job.to_do and row["kind"] == "by_hand" and not offline_path(row, folder).exists():
            steps.append(
                f"weights {row['weights_id']}: open {row['url']} in a browser, download {row['file']} and "
                f"put it at {offline_path(row, folder)}"
            )
    if not steps:
        return ["Manual steps first: none."]
    return ["Manual steps first:", *(f"- {step}" for step in steps)]
