"""The arguments of ``convert``, without what converts: a command's help is there at once."""

import argparse
from pathlib import Path

from chestct.intensity import DISPLAY, HU, HU_PLUS_1024
from chestct.volumes.file_content import WRITABLE
from chestct.volumes.refusals import ACCEPTABLE

CONVERT_HELP = "convert a scan, or all scans below a folder"


def _size(text: str) -> int | None:
    if text == "native":
        return None
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 1 <= size <= 8192:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'native' nor a number from 1 to 8192")
    return size


def named(text: str) -> str:
    """A path that is written out: an empty one, as of a variable that is not set, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def _target(text: str) -> Path:
    path = Path(named(text))
    if not (text.lower().endswith(WRITABLE) or path.suffix == "" or path.is_dir()):
        raise argparse.ArgumentTypeError(
            f"'{text}' should end in {' or '.join(WRITABLE)}, or be a folder, without a dot in its name"
        )
    return path


def count(text: str) -> int:
    """A number from 1 to 100."""
    if not (text.isdigit() and 1 <= int(text) <= 100):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to 100")
    return int(text)


def add_intensity(command: argparse.ArgumentParser) -> None:
    """The argument of what the values in the files are."""
    words = "what the values in the files are, like the dataset key intensity (default hu)"
    command.add_argument("--intensity", choices=[HU, HU_PLUS_1024, DISPLAY], default=HU, help=words)


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``convert``."""
    parser.add_argument(
        "series",
        type=lambda text: Path(named(text)),
        metavar="SCAN",
        help="DICOM folder of one series, or volume file",
    )
    endings = ", ".join(WRITABLE)
    parser.add_argument(
        "out",
        type=_target,
        metavar="OUT",
        help=f"volume file to write ({endings}); or a folder, for all scans below the folder SCAN",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=None,
        help="rows and columns after averaging, or 'native' (default)",
    )
    parser.add_argument(
        "--accept",
        nargs="+",
        default=[],
        choices=ACCEPTABLE,
        metavar="REASON",
        help=f"after OUT: refusals to override (docs/volumes.md): {', '.join(ACCEPTABLE)}",
    )
    add_intensity(parser)
    parser.add_argument(
        "--suffix",
        choices=WRITABLE,
        default=".nii.gz",
        help="suffix of the files in a folder OUT (default .nii.gz)",
    )
    parser.add_argument(
        "--processes",
        type=count,
        default=1,
        help="number of processes that convert into a folder OUT (default 1)",
    )
