"""The arguments of ``chestct init``, without what reads tables: a command's help is there at once."""

import argparse
from pathlib import Path

#: What a column holds, and the option that names it.
WHAT = {
    "patient_id": "the patient (scans of one patient must stay together)",
    "study_id": "the scan's own name",
    "path": "the volume file or the DICOM folder",
    "label": "the label, 0 or 1",
}
OPTIONS = {"patient_id": "--patient", "study_id": "--scan", "path": "--path", "label": "--label"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``chestct init``."""
    parser.add_argument("--table", type=Path, required=True, help="CSV with one row per scan")
    parser.add_argument("--name", help="name of the study (default: the table's file name)")
    for key, option in OPTIONS.items():
        parser.add_argument(option, dest=key, metavar="COLUMN", help=f"column with {WHAT[key]}")
    parser.add_argument("--gpu", action="store_true", help="full size, for a GPU (default: sizes for a CPU)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a first look: smallest sizes, one network, one repetition; decides nothing (study NAME_quick)",
    )
