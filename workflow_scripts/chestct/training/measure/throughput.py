"""How fast this machine trains and scores: ``python -m chestct.training.measure.throughput [MODEL...]``.

Measures the steps of the training engine on windows that are in memory already: transfer, augmentation,
forward, backward, update; and scoring, as validation and as prediction do it. What the loader costs is not in
it. Each model runs in a process of its own, on a GPU once in its published and once in its fast form (and,
with --compile, compiled). Speeds are those of the quickest repeat, since whatever else the machine does only
slows one down; of one CPU thread they are over processor time. A table of all comes last. The rows of what a
study would run go to the table from which ``make plan`` computes what it costs.
"""

import argparse
import math
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import torch

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models.fast_forms import NEVER, ON_GPUS, SETTINGS, wants_fast_forms
from chestct.records import record_path
from chestct.tables import read_table, write_table
from chestct.training.compile_choice import BLOCKS, FORMS, THROUGHPUT
from chestct.training.machine.device import check_hardware
from chestct.training.measure.data_sheets import peak_tflops, why_no_peak
from chestct.training.measure.machine_speeds import product_tflops
from chestct.training.measure.speed import Measurement, Setting, measure_apart
from chestct.training.precision import scores_in

#: Speeds by device and model, which the plan of a study reads.
TABLE = THROUGHPUT

#: Slices that a model sees at once in the paper's study.
WINDOWS = {"window": 32, "slice": 1, "scan": 150}


def name_device(setting: Setting) -> str:
    """The GPU's name, or the processor's with the number of threads."""
    if setting.gpus:
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {setting.threads} thread(s)"


def update_table(path: Path, row: dict[str, object]) -> None:
    """Put a row into a table of schema ``throughput``, in place of one of the same thing if there is one.

    Raises:
        InputError: the table that is there is broken.
    """
    table = read_table(path, "throughput", recorded=False) if path.is_file() else pd.DataFrame()
    if len(table):
        keys = ("device", "model", "precision", "window", "size", "batch")
        same = pd.concat([table[key] == row[key] for key in keys], axis=1).all(axis=1)
        form = row.get("compiled")
        same &= table["compiled"].fillna("") == (form if isinstance(form, str) else "")
        table = table[~same]
    write_table(pd.DataFrame([*table.to_dict("records"), row]), path, "throughput")
    record_path(path).unlink()  # a table that the package brings has none


def list_variants(setting: Setting, *, compiled: bool) -> dict[str, Setting]:
    """The forms that are measured of a model, by what the table calls them.

    Args:
        setting: of the measurement; where it asks for the published form, that one alone is measured.
        compiled: measure the compiled form too.

    Returns:
        at least one; the published form is left out where no model would take another.
    """
    published = replace(setting, fast_forms=NEVER, compiled=False)
    variants = {"published": published}
    if wants_fast_forms(setting.fast_forms, gpus=setting.gpus):
        # The plain loop is measured once a model.
        variants["fast"] = replace(setting, compiled=False, plain=False)
    if compiled:
        variants["compiled"] = replace(setting, compiled=True, plain=False)
    return variants


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What speeds are held against, 10**12 operations a second: the data sheet (if known), a product here."""

    sheet: float | None
    product: float


def describe(name: str, found: Measurement, setting: Setting, peaks: Peaks) -> str:
    """What was found, in lines for people."""
    train, score, predict = min(found.train), min(found.score), min(found.predict)
    lines = [
        f"{name}: {setting.batch} x {setting.window} x {setting.size} x {setting.size}, {setting.precision}",
        f"  training step  {train:.4g} s (median {statistics.median(found.train):.4g}): "
        f"{setting.batch / train:.4g} windows/s",
        f"  scoring        {score:.4g} s (median {statistics.median(found.score):.4g}): "
        f"{setting.scored / score:.4g} windows/s",
        f"  prediction     {predict:.4g} s (median {statistics.median(found.predict):.4g}): "
        f"{setting.scored / predict:.4g} windows/s, in {scores_in(setting.precision, gpus=setting.gpus)}",
        f"  a window       {found.forward_flops / 1e9:.4g} GFLOP forward, "
        f"{found.train_flops / 1e9:.4g} with backward",
        f"  peak memory    {found.peak_memory_gb} GB",
    ]
    tflops = found.train_flops * setting.batch / train / 1e12
    share = f"{100 * tflops / peaks.sheet:.1f} % of {peaks.sheet:g}, " if peaks.sheet else ""
    share += f"{100 * tflops / peaks.product:.1f} % of a matrix product here"
    lines.append(f"  model FLOPs    {tflops:.3g} TFLOP/s, {share}")
    lines.append(f"  forms          {_forms(found, setting)}; first step {found.first_seconds:.3g} s")
    if found.plain:
        plain = min(found.plain)
        lines.append(f"  plain float32  {plain:.4g} s: the engine takes {plain / train:.2f} times less")
    elif setting.plain:
        lines.append("  plain float32  out of memory")
    return "\n".join(lines)


def _forms(found: Measurement, setting: Setting) -> str:
    return ", ".join([*found.forms, *["compiled"] * setting.compiled]) or "published"


#: Head of the last table.
_COLUMNS = (
    "model", "forms", "windows/s", "validated/s", "predicted/s", "MFU (data sheet)", "MFU (product)", "GB",
    "first step, s",
)  # fmt: skip


def summary_row(name: str, found: Measurement, setting: Setting, peaks: Peaks) -> tuple[str, ...]:
    """A row of the last table."""
    train = min(found.train)
    tflops = found.train_flops * setting.batch / train / 1e12
    return (
        name,
        _forms(found, setting),
        f"{setting.batch / train:.4g}",
        f"{setting.scored / min(found.score):.4g}",
        f"{setting.scored / min(found.predict):.4g}",
        f"{100 * tflops / peaks.sheet:.1f} %" if peaks.sheet else "",
        f"{100 * tflops / peaks.product:.1f} %",
        f"{found.peak_memory_gb:g}",
        f"{found.first_seconds:.3g}",
    )


def full_size_models(size: int) -> list[str]:
    """Models of the catalogue that are trained as published, at a size."""
    return [
        name
        for name, entry in MODELS.items()
        if not entry.frozen
        and not entry.build.endswith("narrow")
        and entry.slices[0] <= WINDOWS[entry.sees] <= entry.slices[1]
        and entry.size_px[0] <= size <= entry.size_px[1]
    ]


def _table_row(name: str, found: Measurement, setting: Setting, device: str) -> dict[str, object]:
    """A row of schema ``throughput``."""
    standing = ["measured"] + ["compiled"] * setting.compiled
    standing += ["processor time"] * (not setting.gpus and setting.threads == 1)
    return {
        "device": device,
        "model": name,
        "precision": setting.precision,
        "window": setting.window,
        "size": setting.size,
        "batch": setting.batch,
        "train_windows_per_second": _round(setting.batch / min(found.train)),
        "score_windows_per_second": _round(setting.scored / min(found.score)),
        "predict_windows_per_second": _round(setting.scored / min(found.predict)),
        "gflops_per_window": _round(found.forward_flops / 1e9),
        "peak_memory_gb": found.peak_memory_gb,
        "compiled": setting.compile_form if setting.compiled else None,
        "compile_seconds": found.compile_seconds,
        "standing": ", ".join([*standing, *(f"{form} form" for form in found.forms)]),
        "date": date.today().isoformat(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chestct.training.measure.throughput", description=__doc__
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="names in the catalogue; default: all at full size"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default=None, help="default: a GPU if there is")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed", "16-mixed"], default=None)
    parser.add_argument(
        "--window", type=int, default=None, help="slices; default: those of the paper's study"
    )
    parser.add_argument("--size", type=int, default=224, help="rows and columns that the model sees")
    parser.add_argument("--batch", type=int, default=None, help="windows at once; default 16, 1 on a CPU")
    parser.add_argument("--repeats", type=int, default=None, help="default 20, 2 on a CPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument(
        "--compile",
        nargs="?",
        choices=FORMS,
        const=BLOCKS,
        help=f"with torch.compile, of training.compile_form; default {BLOCKS}",
    )
    parser.add_argument("--fast-forms", choices=SETTINGS, default=ON_GPUS, help="as training.fast_forms")
    parser.add_argument(
        "--plain",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="measure a plain float32 eager loop too; default: on a GPU",
    )
    parser.add_argument("--peak-tflops", type=float, help="of the device, where it is none that is known")
    parser.add_argument(
        "--output",
        type=Path,
        default=TABLE,
        help="table to update",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure models one after another; returns 1 where one could not be."""
    given = _parser().parse_args(arguments)
    gpus = int(given.device == "cuda" or (given.device is None and torch.cuda.is_available()))
    setting = Setting(
        window=given.window or WINDOWS["window"],
        size=given.size,
        batch=given.batch or (16 if gpus else 1),
        gpus=gpus,
        precision=given.precision or ("bf16-mixed" if gpus else "32-true"),
        repeats=given.repeats or (20 if gpus else 2),
        threads=given.threads,
        compiled=given.compile is not None,
        compile_form=given.compile or BLOCKS,
        plain=bool(gpus) if given.plain is None else given.plain,
        fast_forms=given.fast_forms,
    )
    try:
        check_hardware(gpus=gpus, precision=setting.precision)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    torch.set_num_threads(setting.threads)
    device = name_device(setting)
    peaks = Peaks(
        sheet=given.peak_tflops or peak_tflops(device, setting.precision),
        product=product_tflops(setting.device, setting.precision),
    )
    if gpus and peaks.sheet is None:
        print(f"{why_no_peak(device, setting.precision)}; give --peak-tflops for shares of it", flush=True)
    rows: list[Sequence[str]] = [_COLUMNS, ["---"] * len(_COLUMNS)]
    failed = 0
    for name in given.models or full_size_models(setting.size):
        if name in MODELS and not given.window:
            setting = replace(setting, window=WINDOWS[MODELS[name].sees])
        variants = list_variants(setting, compiled=setting.compiled)
        for variant, of_variant in variants.items():
            found = measure_apart(name, of_variant)
            if isinstance(found, str):
                print(f"{name}: {found}", file=sys.stderr, flush=True)
                failed = 1
                break
            print(describe(name, found, of_variant, peaks), flush=True)
            rows.append(summary_row(name, found, of_variant, peaks))
            if variant != "published" or "fast" not in variants:
                update_table(given.output, _table_row(name, found, of_variant, device))
    print(f"\n{device}: a matrix product reaches {peaks.product:.4g} TFLOP/s")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return failed


def _round(value: float) -> float:
    """Four digits that count: more would pretend."""
    return round(value, 3 - math.floor(math.log10(value)))


if __name__ == "__main__":
    sys.exit(main())
