"""Some elements of a DICOM file's header, without its pixels."""

from pathlib import Path

import pydicom

from chestct.errors import InputError


def read_header(path: Path, tags: list[str]) -> pydicom.Dataset:
    """Read the elements named ``tags``; those that the file lacks are missing from the result.

    Raises:
        InputError: the file is no DICOM file, or does not open.
    """
    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except Exception as error:  # pydicom documents no list of what damaged bytes raise
        raise InputError(
            f"a DICOM file does not open: {error}",
            where=path,
            expected="a DICOM file of the collection",
            remedy="obtain the file again, or leave its patient out",
        ) from error
