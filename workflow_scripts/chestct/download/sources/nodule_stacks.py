"""Stacks of slices around the nodules of LIDC-IDRI, from where they lie: a folder, an archive, a packed file.

The published layout is PATIENT/nodule-N/images/slice-K.png with the readers' masks beside it
(mask-0 to mask-3), slices from feet to head. Whatever they come from, a stack is the same array: the central
64 x 64 pixels of every slice.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from chestct.download.transfer.retries import Unobtainable
from chestct.download.transfer.zip_on_disk import (
    DIRECTORY_ERRORS,
    MAX_MEMBER_BYTES,
    MEMBER_ERRORS,
    open_zip,
    read_member,
)
from chestct.errors import InputError

#: Rows and columns of a stack.
SIDE = 64
LAYOUT = "PATIENT/nodule-N/images/slice-K.png, beside it mask-0 to mask-3"
#: Bytes of a picture of 512 x 512 pixels are at most a quarter of a million.
_MAX_PICTURE_BYTES = 1 << 24
#: Folder of the layout in the published repository.
TOP = "LIDC-IDRI-slices"
#: The layout below any folder, as it may lie in an archive.
_FILE = re.compile(
    rf"(?:.*/)?{TOP}/(?P<folder>[\w-]+/nodule-\d+)/(?P<kind>images|mask-\d)/slice-(?P<slice>\d{{1,9}})\.png"
)


@dataclass(kw_only=True)
class Stack:
    """A nodule's files.

    Attributes:
        slices: number of a slice -> where its picture lies.
        has_masks: whether a reader's mask lies beside them.
        doubled: a slice that is there twice (also as slice-1 and slice-01): nobody knows which counts.
    """

    slices: dict[int, str] = field(default_factory=dict)
    has_masks: bool = False
    doubled: str = ""


class Origin(Protocol):
    """Where stacks come from."""

    where: str

    def depths(self) -> Mapping[str, int]:
        """Number of slices by folder (PATIENT/nodule-N), of all nodules that are there."""
        ...

    def read(self, folder: str) -> np.ndarray:
        """The stack of a nodule, uint8 of shape (slices, 64, 64), feet to head.

        Raises:
            Unobtainable: it is not there, or not as published.
            InputError: a file of it cannot be read.
        """
        ...


def collect(names: Iterable[str]) -> dict[str, Stack]:
    """The stacks among the names of files, by folder."""
    found: dict[str, Stack] = {}
    for name in names:
        match = _FILE.fullmatch(name)
        if match is None:
            continue
        stack = found.setdefault(match["folder"], Stack())
        if match["kind"] == "images":
            if int(match["slice"]) in stack.slices:
                stack.doubled = f"slice-{match['slice']}.png"
            stack.slices[int(match["slice"])] = name
        else:
            stack.has_masks = True
    return found


def check_complete(stack: Stack | None, folder: str) -> Stack:
    """The stack, if all its slices and a mask are there.

    Raises:
        Unobtainable: ``not_found`` or ``incomplete``.
    """
    if stack is None or not stack.slices:
        raise Unobtainable("not_found", f"{folder} has no slices")
    if stack.doubled:
        raise Unobtainable("altered", f"{folder} has {stack.doubled} twice")
    num_lacking = max(stack.slices) + 1 - len(stack.slices)
    if num_lacking:
        first = next(number for number in count() if number not in stack.slices)
        raise Unobtainable("incomplete", f"{folder} lacks slice-{first}.png ({num_lacking} missing)")
    if not stack.has_masks:
        raise Unobtainable("incomplete", f"{folder} has no masks, so that nothing says which nodule it is")
    return stack


def central(content: bytes, name: str) -> np.ndarray:
    """A whole picture, uint8, of at least 64 x 64 pixels, of which ``stacked`` takes the central ones.

    Raises:
        Unobtainable: ``altered``: no grey picture of 8 bits, or a smaller one.
    """
    try:
        buffer = np.frombuffer(content, dtype=np.uint8)
        picture = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # such as a header that announces more pixels than OpenCV takes
        picture = None
    if picture is None:
        raise Unobtainable("altered", f"{name} is no picture")
    if picture.ndim != 2 or picture.dtype != np.uint8 or min(picture.shape) < SIDE:
        raise Unobtainable("altered", f"{name} has shape {picture.shape} of {picture.dtype}")
    return picture


def stacked(pictures: Iterable[np.ndarray], folder: str) -> np.ndarray:
    """The central pixels of whole pictures, uint8 of shape (slices, 64, 64).

    Raises:
        Unobtainable: ``mixed_sizes``.
    """
    planes = list(pictures)
    sizes = sorted({plane.shape for plane in planes})
    if len(sizes) > 1:
        raise Unobtainable("mixed_sizes", f"{folder} has slices of {' and '.join(map(str, sizes))} pixels")
    top, left = ((length - SIDE) // 2 for length in sizes[0])
    return np.stack([plane[top : top + SIDE, left : left + SIDE] for plane in planes])


def _unreadable(where: str, error: OSError) -> InputError:
    """A disk that fails or denies is no defect of the nodule: the run stops, and goes on when rerun."""
    return InputError(
        f"a nodule's file cannot be read: {error.strerror or error}",
        where=where,
        expected="a file that the user may read, on a disk that answers",
        remedy="mend that, or replace the file, and rerun: nodules that are whole are kept",
    )


class FolderStacks:
    """The published layout in a folder, or in its folder LIDC-IDRI-slices.

    Raises:
        InputError: no nodule lies there.
    """

    def __init__(self, folder: Path) -> None:
        self.base = folder / TOP if (folder / TOP).is_dir() else folder
        self.where = str(folder)
        names = (
            f"{TOP}/{path.relative_to(self.base).as_posix()}"
            for path in self.base.glob("*/nodule-*/*/slice-*.png")
        )
        self.stacks = collect(names)
        if not self.stacks:
            raise InputError(
                "no nodules found", where=folder, expected=LAYOUT, remedy="correct `folder` of the dataset"
            )

    def depths(self) -> dict[str, int]:
        """See ``Origin``."""
        return {folder: len(stack.slices) for folder, stack in self.stacks.items()}

    def read(self, folder: str) -> np.ndarray:
        """See ``Origin``."""
        stack = check_complete(self.stacks.get(folder), folder)
        paths = [self.base / stack.slices[number].partition("/")[2] for number in sorted(stack.slices)]
        pictures = []
        for path in paths:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise _unreadable(str(path), error) from error
            pictures.append(central(content, path.name))
        return stacked(pictures, folder)


class ArchiveStacks:
    """The published layout in a zip archive on disk, whose members' checksums are compared.

    Args:
        path: of the archive.
        remedy: for the message where it cannot be used.

    Raises:
        InputError: it is not a complete zip archive, or holds no nodule.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self.where = str(path)
        self.file = open_zip(path, expected=f"a zip archive of {TOP}/{LAYOUT}", remedy=remedy)
        # Members are read into memory by name and never written: no name can lead out of a folder.
        self.stacks = collect(self.file.namelist())
        if not self.stacks:
            raise InputError(
                "the archive holds no nodules", where=path, expected=f"{TOP}/{LAYOUT}", remedy=remedy
            )

    def depths(self) -> dict[str, int]:
        """See ``Origin``."""
        return {folder: len(stack.slices) for folder, stack in self.stacks.items()}

    def read(self, folder: str) -> np.ndarray:
        """See ``Origin``."""
        stack = check_complete(self.stacks.get(folder), folder)
        pictures = []
        for number in sorted(stack.slices):
            name = stack.slices[number]
            try:
                content = read_member(self.file, name, _MAX_PICTURE_BYTES)
            except MEMBER_ERRORS as error:
                raise Unobtainable("altered", f"{name}: {error}") from error
            except OSError as error:
                raise _unreadable(f"{self.where}, {name}", error) from error
            pictures.append(central(content, f"{folder}/slice-{number}.png"))
        return stacked(pictures, folder)


class PackedStacks:
    """All stacks in one NumPy file: arrays ``slices``, ``offsets`` and ``volume_id`` (PATIENT_nodule-N).

    Raises:
        InputError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                unpacked = sum(member.file_size for member in file.zip.infolist())
                if unpacked > MAX_MEMBER_BYTES:
                    raise ValueError(f"{unpacked} bytes unpacked, expected at most {MAX_MEMBER_BYTES}")
                self.slices, self.offsets = file["slices"], file["offsets"]
                names = [str(name) for name in file["volume_id"]]
        # The file is a zip archive; an array of it may announce any size.
        except (*DIRECTORY_ERRORS, *MEMBER_ERRORS, KeyError, AttributeError, MemoryError) as error:
            raise self._refuse(f"does not read: {error}") from error
        ascending = self.offsets.ndim == 1 and self.offsets.dtype.kind in "iu" and len(self.offsets) > 1
        ascending = ascending and bool((np.diff(self.offsets.astype(np.int64)) > 0).all())
        if self.slices.dtype != np.uint8 or self.slices.ndim != 3 or self.slices.shape[1:] != (SIDE, SIDE):
            raise self._refuse(f"has slices of shape {self.slices.shape} and type {self.slices.dtype}")
        if not ascending or self.offsets[0] != 0 or self.offsets[-1] != len(self.slices):
            raise self._refuse("has offsets that do not divide its slices")
        if len(names) != len(self.offsets) - 1 or len(set(names)) < len(names):
            raise self._refuse(f"names {len(set(names))} nodules and holds {len(self.offsets) - 1}")
        self.places = {"/nodule-".join(name.rsplit("_nodule-", 1)): i for i, name in enumerate(names)}

    def _refuse(self, what: str) -> InputError:
        return InputError(
            f"the packed nodules' file {what}",
            where=self.where,
            expected=f"arrays slices (uint8, n x {SIDE} x {SIDE}), offsets and volume_id",
            remedy="replace the file, or remove `packed`, so that the nodules are downloaded",
        )

    def depths(self) -> dict[str, int]:
        """See ``Origin``."""
        numbers = np.diff(self.offsets).tolist()
        return {folder: numbers[place] for folder, place in self.places.items()}

    def read(self, folder: str) -> np.ndarray:
        """See ``Origin``."""
        if folder not in self.places:
            raise Unobtainable("not_found", f"{folder} is not in {Path(self.where).name}")
        place = self.places[folder]
        return self.slices[self.offsets[place] : self.offsets[place + 1]]
