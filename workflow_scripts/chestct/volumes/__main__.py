"""Command line of the volumes step.

``convert SCAN OUT.nii.gz [--size 256|native] [--intensity hu] [--accept REASON...]`` converts one scan by
the code of the workflow and prints its ledger row; ``convert FOLDER OUT_FOLDER`` converts all scans below a
folder. ``export SHARD STUDY_ID OUT.nii.gz`` takes a scan out of a shard. ``sheet SCAN OUT.png
[--study-id STUDY_ID] [--window lung]`` draws a contact sheet of a scan, of a shard, or of a series.
``check SHARD...`` compares all that shards hold with their checksums. Exit status: 0 done, 1 refused,
damaged or failed (the reason on standard error), 2 wrong usage, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.errors import InputError
from chestct.exit_status import exit_status
from chestct.files import atomic_path
from chestct.open_scan import not_there
from chestct.pictures import YES
from chestct.tables import check_table, read_table
from chestct.volume_store import Volume, check_shard, list_scans, read_volume
from chestct.volumes.contact_sheet import DISPLAY_WINDOWS, contact_sheet
from chestct.volumes.convert_arguments import CONVERT_HELP, add_convert_arguments, add_intensity, count
from chestct.volumes.convert_folder import Settings, convert_folder
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.file_content import WRITABLE
from chestct.volumes.remedies import remedy_for_reason
from chestct.volumes.scan import Scan
from chestct.volumes.volume_file import write_volume_file

_SHARD_SUFFIX = ".h5"
#: Reasons of the ledger by which a folder holds more than one scan.
_SEVERAL = {"chose_largest_series", "several_series", "several_studies"}


def _file(*suffixes: str) -> Callable[[str], Path]:
    def path(text: str) -> Path:
        if not text.lower().endswith(suffixes):
            raise argparse.ArgumentTypeError(f"'{text}' should end in {' or '.join(suffixes)}")
        return Path(text)

    return path


def _display_window(text: str) -> tuple[float, float]:
    if text in DISPLAY_WINDOWS:
        return DISPLAY_WINDOWS[text]
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        centre = width = 0.0
    if not width > 0:
        names = ", ".join(DISPLAY_WINDOWS)
        raise argparse.ArgumentTypeError(f"'{text}' is none of {names}, nor CENTRE,WIDTH in HU")
    return centre, width


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chestct.volumes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_convert_arguments(commands.add_parser("convert", help=CONVERT_HELP))
    export = commands.add_parser("export", help="write one scan of a shard as a volume file")
    export.add_argument("shard", type=Path, help="HDF5 shard of the volumes step")
    export.add_argument("study_id", help="study_id of the scan")
    export.add_argument("out", type=_file(*WRITABLE), help="volume file to write")
    sheet = commands.add_parser("sheet", help="draw a contact sheet of one scan")
    sheet.add_argument("scan", type=Path, help="folder of one DICOM series, a volume file, or a shard (.h5)")
    sheet.add_argument("out", type=_file(".png"), help="picture to write, .png")
    sheet.add_argument("--study-id", help="scan of a shard; needed where it holds several")
    sheet.add_argument(
        "--window",
        type=_display_window,
        default="lung",
        help=f"{', '.join(DISPLAY_WINDOWS)}, or --window=CENTRE,WIDTH in HU (default lung)",
    )
    add_intensity(sheet)
    sheet.add_argument("--slices", type=count, default=12, help="axial slices to show (default 12)")
    check = commands.add_parser("check", help="compare shards with their checksums")
    check.add_argument("shards", type=Path, nargs="+", help="HDF5 shards of the volumes step")
    return parser


def convert(options: argparse.Namespace) -> int:
    """``convert`` with the arguments of ``add_convert_arguments``; returns the exit status.

    Raises:
        InputError: something cannot be read or written.
    """
    if options.out.name.lower().endswith(WRITABLE) and not options.out.is_dir():
        settings = {"intensity": options.intensity, "accept": options.accept}
        return _convert(options.series, options.out, options.size, **settings)
    chosen = Settings(
        size_px=options.size,
        intensity=options.intensity,
        accept=tuple(options.accept),
        suffix=options.suffix,
    )
    return convert_folder(options.series, options.out, chosen, processes=options.processes)


def _print_row(series: Path, row: dict[str, Any]) -> None:
    """Print the ledger row, and why the scan is refused if it is."""
    ledger = check_table(pd.DataFrame([row]), "ledger", where=series)
    print(ledger.to_csv(index=False), end="")
    if row["status"] == "refused":
        print(f"refused: {row['reason']}: {row['detail']}", file=sys.stderr)
        print(f"  remedy: {remedy_for_reason(row['reason'])} (docs/volumes.md)", file=sys.stderr)


def _convert(series: Path, out: Path, size_px: int | None, **settings: Any) -> int:
    """``settings``: intensity and accept of ``convert_one``."""
    if out.exists() and series.exists() and out.samefile(series):
        raise InputError(
            "the file to write is the scan itself",
            where=out,
            expected="a new file: a volume in HU may hold less than the one that it is made of",
            remedy="name another one",
        )
    row, scan = convert_one(series, dataset="command_line", size_px=size_px, **settings)
    _print_row(series, row)
    if _SEVERAL & set((row["reason"] or "").split("; ")):
        print(
            "the folder holds several scans; a folder in the place of the file converts all of them: "
            "convert SCAN OUT_FOLDER",
            file=sys.stderr,
        )
    if scan is None:
        return 1
    write_volume_file(out, scan.hu, scan.spacing_mm, scan.origin_mm)
    return 0


def _export(shard: Path, study_id: str, out: Path) -> int:
    volume = read_volume(shard, _checked(shard, study_id))
    # A shard keeps z positions only; x and y start at 0.
    write_volume_file(out, volume.hu, volume.spacing_mm, (0.0, 0.0, float(volume.z_mm[0])))
    return 0


def _only_scan(shard: Path) -> str:
    scans = list_scans(shard)
    if len(scans) != 1:
        raise InputError(
            f"the shard holds {len(scans)} scans",
            where=shard,
            expected="--study-id with one of them",
            remedy=f"name one, such as --study-id {scans[0]}" if scans else "take another shard",
        )
    return scans[0]


def _checked(shard: Path, study_id: str) -> str:
    """The identifier of a scan, if the shard holds it: a misspelt one says nothing against the shard."""
    scans = list_scans(shard)
    if study_id not in scans:
        raise not_there(shard, study_id, scans)
    return study_id


def _in_ledger(shard: Path, study_id: str) -> str | None:
    """What the ledger beside a shard says of text burned into the pixels of a scan."""
    path = shard.with_suffix(".ledger.csv")
    ledger = read_table(path, "ledger").set_index("study_id") if path.is_file() else pd.DataFrame()
    value = ledger["burned_in_annotation"].get(study_id) if len(ledger) else None
    return None if pd.isna(value) else str(value)


def _sheet(options: argparse.Namespace) -> int:
    scan: Volume | Scan | None
    if options.scan.suffix == _SHARD_SUFFIX:
        given = options.study_id
        study_id = _only_scan(options.scan) if given is None else _checked(options.scan, given)
        burned_in = _in_ledger(options.scan, study_id)
        scan = read_volume(options.scan, study_id) if burned_in != YES else None
    else:
        row, scan = convert_one(
            options.scan, dataset="command_line", size_px=None, intensity=options.intensity
        )
        if scan is None:
            _print_row(options.scan, row)
            return 1
        burned_in = row["burned_in_annotation"]
    if burned_in == YES or scan is None:
        print("refused: a header says that text is burned into the pixels", file=sys.stderr)
        return 1
    if burned_in is None:
        print("no header says whether a name is burned into the pixels: look before it is passed on")
    picture = contact_sheet(
        scan.hu, scan.spacing_mm, scan.z_mm, display_window_hu=options.window, num_slices=options.slices
    )
    with atomic_path(options.out) as temporary:
        picture.save(temporary)
    return 0


def _check(shards: Sequence[Path]) -> int:
    status = 0
    for shard in shards:
        try:
            problems = check_shard(shard)
        except InputError as error:
            problems = {"": error.what}
        for problem in problems.values():
            print(f"{shard}: {problem}", file=sys.stderr)
        print(f"{shard}: {'DAMAGED' if problems else 'whole'}")
        status |= bool(problems)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (argparse exits with 2 by itself)."""
    options = _parser().parse_args(arguments)
    # RuntimeError: how h5py says that a file cannot be read or written.
    return exit_status(partial(_run, options), RuntimeError)


def _run(options: argparse.Namespace) -> int:
    if options.command == "convert":
        return convert(options)
    if options.command == "sheet":
        return _sheet(options)
    if options.command == "check":
        return _check(options.shards)
    return _export(options.shard, options.study_id, options.out)


if __name__ == "__main__":
    sys.exit(main())
