"""Synthetic lung nodule scans in LIDC-IDRI's layout: PATIENT/STUDY/SERIES/*.dcm and readers' XML."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from chestct.download.labels import lidc_labels
from chestct.download.phantoms.anatomy import phantom_rng
from chestct.download.phantoms.dicom import PhantomIds, encode_slices, phantom_ids
from chestct.download.phantoms.grid import SHAPE
from chestct.download.phantoms.headers import draw_header
from chestct.download.phantoms.lidc_patients import DIFFICULTY, plan_patient, render
from chestct.download.phantoms.radiologists_xml import readers_xml
from chestct.download.phantoms.scanners import scanner_of
from chestct.download.phantoms.scans import list_scans, phantom_manifest, write_scans
from chestct.download.sources.study_folders import Listing
from chestct.download.transfer.retries import TransferSettings, Unobtainable

#: Labels come back through the code that reads the real collection.
read_labels = lidc_labels.read_labels
XML_NAME = "readers.xml"
#: Share of scans with a contrast agent.
CONTRAST_SHARE = 0.4


def patient_ids(entry: dict, index: int) -> PhantomIds:
    """Identifiers of patient ``index``; they change with dataset, seed, scanner and difficulty."""
    return phantom_ids("LIDC-PHANT", entry, index, "lidc", DIFFICULTY)


def list_series(entry: dict, root: Path, shard_size: int, settings: TransferSettings) -> Listing:
    """List ``num_patients`` scans (table ``series``), a study and series each.

    Raises:
        InputError: a patient named in ``patients`` does not exist.
    """
    return list_scans(
        entry, shard_size, patient_ids, lambda ids: f"{ids.patient_id}/{ids.study_id}/{ids.series_id}"
    )


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Write the listed scans and their readers' XML under ``root``, each study whole or not at all.

    File names follow a random order: only the headers tell where a slice lies.
    """
    name, seed, scanner = entry["name"], entry["seed"], scanner_of(entry)

    def files(index: int, ids: PhantomIds) -> Iterator[tuple[str, bytes]]:
        plan = plan_patient(name, seed, index)
        order = phantom_rng(name, seed, index, "file-order").permutation(SHAPE[0])
        fields = draw_header(name, seed, index, plan.label, contrast_share=CONTRAST_SHARE, scanner=scanner)
        slices = encode_slices(render(plan, name, seed, index, scanner), ids, fields)
        yield from zip((f"{number + 1:06d}.dcm" for number in order), slices, strict=True)
        yield XML_NAME, readers_xml(plan, ids)

    write_scans(entry, root, series_rows, patient_ids, files, lambda folder: (folder / XML_NAME).is_file())
    return {}


def manifest(entry: dict) -> dict:
    """What these scans are, for provenance."""
    return phantom_manifest(
        entry,
        DIFFICULTY.version,
        "Synthetic lungs with nodules among vessels, in the layout and label format of LIDC-IDRI",
    )
