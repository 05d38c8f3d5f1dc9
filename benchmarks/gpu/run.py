"""Checks and measures everything on a GPU in one call (see benchmarks/README.md).

``--dry`` does the same at tiny sizes on a CPU, kernels by Triton's interpreter.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from findings import OutOfTimeError, Report

PARTS = ("kernels", "forms", "recovery", "study", "speed", "compiled", "graphs", "kernel-times")
#: Without them the others still say that all is right.
MEASURED_ONLY = ("speed", "compiled", "graphs", "kernel-times")


def _out_of_time(*_: object) -> None:
    raise OutOfTimeError


def _ended(number: int, _: object) -> None:
    sys.exit(128 + number)  # so that the study ends too


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="tiny sizes on a CPU")
    parser.add_argument("--seconds", type=float, help="that all may take (default: 450, dry 1200)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all, in this order"
    )
    parser.add_argument("--fast-only", action="store_true", help="do not time the published forms")
    parser.add_argument("--sizes", action="store_true", help="time kernels with other sizes of programs, too")
    parser.add_argument("--output", type=Path, help="file for the table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; returns 1 where something failed or a check was left out."""
    given = _parser().parse_args(arguments)
    if given.dry:
        os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is imported
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    seconds = given.seconds or (1200.0 if given.dry else 450.0)
    report = Report(seconds)
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.signal(signal.SIGTERM, _ended)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        _run(report, given)
    except OutOfTimeError:
        report.left_out.append("what comes after: the time was over")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    table = report.table()
    if given.output:
        given.output.write_text(table + "\n")
    print(f"\n{table}", flush=True)
    return int(report.failed > 0 or any(not what.startswith(MEASURED_ONLY) for what in report.left_out))


def _run(report: Report, given: argparse.Namespace) -> None:
    import torch
    from kernels import check_kernels, time_kernels
    from machine import Machine, look_at_machine
    from networks import check_forms, time_compiled_models, time_graphs, time_models
    from recovery import check_recovery
    from study import Study

    from chestct.training.machine.compiler_caches import own_compiler_caches

    parts, dry = given.parts, given.dry
    if not dry and not torch.cuda.is_available():
        report.add("machine", "GPU", "there is none; --dry runs on a CPU", False)
        return
    own_compiler_caches()
    torch.backends.cudnn.benchmark = not dry
    device = torch.device("cpu") if dry else torch.device("cuda", torch.cuda.current_device())
    machine = look_at_machine(report, device, dry=dry)
    running: Study | None = None
    if "study" in parts:
        try:
            running = Study.start(machine)
        except Exception as error:  # the others must still run
            report.add("study", "start", f"{type(error).__name__}: {error}", False)

    def wait_for_study(report: Report, _: Machine) -> None:
        if running:
            running.wait(report)

    ways: dict[str, Callable[[Report, Machine], None]] = {
        "kernels": check_kernels,
        "forms": check_forms,
        "recovery": check_recovery,
        # What is timed has the machine to itself.
        "study": wait_for_study,
        "speed": partial(time_models, fast_only=given.fast_only),
        "compiled": time_compiled_models,
        "graphs": time_graphs,
        "kernel-times": partial(time_kernels, other_sizes=given.sizes),
    }
    try:
        for part in PARTS:
            if part in parts:
                ways[part](report, machine)
    finally:
        if running:
            running.stop()


if __name__ == "__main__":
    sys.exit(main())
