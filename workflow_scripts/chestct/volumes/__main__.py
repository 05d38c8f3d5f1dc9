"""Command line of the volumes step.

``python -m chestct.volumes convert SERIES OUT.nii.gz [--size 256|native]`` converts one scan by the code
of the workflow and prints its ledger row; ``python -m chestct.volumes export SHARD STUDY_ID OUT.nii.gz``
takes a scan out of a shard. Exit status: 0 done, 1 refused or failed (the reason on standard error), 2
wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chestct.errors import InputError
from chestct.store import read_volume
from chestct.tables import check_table
from chestct.volumes.convert import convert_one
from chestct.volumes.volume_file import WRITABLE, write_volume_file


def _size(text: str) -> int | None:
    if text == "native":
        return None
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 1 <= size <= 8192:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'native' nor a number of pixels (1 to 8192)")
    return size


def _output(text: str) -> Path:
    if not text.lower().endswith(WRITABLE):
        raise argparse.ArgumentTypeError(f"'{text}' should end in one of {', '.join(WRITABLE)}")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chestct.volumes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="convert one DICOM series or volume file")
    convert.add_argument("series", type=Path, help="folder of one DICOM series, or a volume file")
    convert.add_argument("out", type=_output, help="volume file to write, such as scan.nii.gz")
    convert.add_argument(
        "--size",
        type=_size,
        default=None,
        help="rows and columns after averaging, or 'native' (default)",
    )
    export = commands.add_parser("export", help="write one scan of a shard as a volume file")
    export.add_argument("shard", type=Path, help="HDF5 shard of the volumes step")
    export.add_argument("study_id", help="study_id of the scan")
    export.add_argument("out", type=_output, help="volume file to write")
    return parser


def _convert(series: Path, out: Path, size_px: int | None) -> int:
    conversion = convert_one(series, dataset="command_line", size_px=size_px)
    ledger = check_table(pd.DataFrame([conversion.ledger]), "ledger", where=series)
    print(ledger.to_csv(index=False), end="")
    if conversion.scan is None:
        print(f"refused: {ledger['reason'][0]}: {ledger['detail'][0]}", file=sys.stderr)
        return 1
    scan = conversion.scan
    write_volume_file(out, scan.hu, scan.spacing_mm, scan.origin_mm)
    return 0


def _export(shard: Path, study_id: str, out: Path) -> int:
    volume = read_volume(shard, study_id)
    # A shard keeps z positions only; x and y start at 0.
    write_volume_file(out, volume.hu, volume.spacing_mm, (0.0, 0.0, float(volume.z_mm[0])))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (argparse exits with 2 by itself)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "convert":
            return _convert(options.series, options.out, options.size)
        return _export(options.shard, options.study_id, options.out)
    except (InputError, OSError, RuntimeError) as error:
        # OSError and RuntimeError: the output can't be written (a full disk, a folder without permission).
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
