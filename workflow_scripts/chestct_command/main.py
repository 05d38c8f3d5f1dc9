"""Run a study, estimate its cost, follow its progress, check its results; convert scans, score new ones.

run, plan, status, cite and crate do the same as the make targets and snakemake.
Exit status: 0 done, 1 failed or refused (the reason on standard error), 2 wrong usage, 130 stopped by Ctrl-C.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from chestct.exit_status import exit_status
from chestct.volumes.convert_arguments import CONVERT_HELP, add_convert_arguments, named
from chestct_command import begin_arguments

_RUN_HELP = "results/STUDY/training/DATASET/MODEL/INIT/percent-P/seed-S/fold-F, or a folder written by export"


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chestct", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a study, or continue it")
    _add_studies(run)
    run.add_argument("--cores", default="all", help="number of this machine's cores (default: all)")
    run.add_argument(
        "--profile", help="a folder of profiles/, such as slurm, instead of this machine's cores"
    )
    run.add_argument("--dry-run", action="store_true", help="print the jobs, run none")
    plan = commands.add_parser("plan", help="print a study's cost (jobs, hours, disk) and its manual steps")
    _add_studies(plan)
    status = commands.add_parser("status", help="show a run's progress: running, done, failed, time left")
    status.add_argument("study", nargs="?", help="name of the study (default: the one that ran last)")
    cites = commands.add_parser("cite", help="print what a publication that uses a study's data must cite")
    _add_studies(cites)
    commands.add_parser("studies", help="list the studies")
    checks = commands.add_parser("check", help="compare a finished study with the expected results")
    _add_studies(checks)
    checks.add_argument("--results", type=Path, metavar="FOLDER", help="its results (default: results/STUDY)")
    checks.add_argument(
        "--write", action="store_true", help="write the expected results, from finished studies"
    )
    checks.add_argument(
        "--from",
        dest="sources",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="with --write: results of the study, and of studies that differ from it only in seeds "
        "(default: results/STUDY)",
    )
    add_convert_arguments(commands.add_parser("convert", help=CONVERT_HELP))
    predicts = commands.add_parser("predict", help="score new scans with a trained run")
    predicts.add_argument("run", type=Path, metavar="RUN_FOLDER", help=_RUN_HELP)
    predicts.add_argument(
        "scans", nargs="+", type=named, metavar="SCAN", help="DICOM folder of one series, or volume file"
    )
    predicts.add_argument("-o", "--output", type=Path, help="CSV to write (schemas/scores.schema.yaml)")
    predicts.add_argument("--threads", type=_count, help="CPU threads (default: PyTorch's choice)")
    predicts.add_argument("--batch", type=_count, help="windows at once (default: as in the study)")
    predicts.add_argument("--gpu", action="store_true", help="compute on the GPU")
    exports = commands.add_parser(
        "export", help="pack a trained run for use elsewhere: weights, model, model card"
    )
    exports.add_argument("run", type=Path, metavar="RUN_FOLDER", help=_RUN_HELP)
    exports.add_argument("target", type=Path, metavar="DIR", help="new folder to write")
    crates = commands.add_parser("crate", help="write a finished study as a Workflow Run RO-Crate")
    _add_studies(crates)
    crates.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: results/STUDY/crate")
    crates.add_argument("--results", type=Path, metavar="FOLDER", help="its results (default: results/STUDY)")
    crates.add_argument("--agent", metavar="NAME", help="who ran the study (default: not stated)")
    begin_arguments.add_arguments(
        commands.add_parser("init", help="write a study of your own scans, from a table of them")
    )
    return parser


def _add_studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help="one or more names in studies/, each overriding the ones before (default: the default study)",
    )


def _options(options: argparse.Namespace, folder: Path) -> list[str]:
    from chestct.yaml_file import read_yaml
    from chestct_command.project import configuration_files

    files = configuration_files(folder, options.studies)
    for path in (folder / "config.yaml", *files):
        read_yaml(path)  # Snakemake would name no line
    if not files:
        return []
    return ["--configfile", *(str(path.relative_to(folder)) for path in files)]


def _run(options: argparse.Namespace, folder: Path) -> int:
    if options.profile:
        from chestct_command.project import check_profile

        check_profile(folder, options.profile)
    where = (
        ["--workflow-profile", f"profiles/{options.profile}"]
        if options.profile
        else ["--cores", options.cores]
    )
    dry = ["--dry-run"] if options.dry_run else []
    return _call(["-m", "snakemake", *where, *_options(options, folder), *dry], folder)


def _call(arguments: Sequence[str], folder: Path) -> int:
    """Run Python in the project's folder, with its packages on the path, as long as it takes."""
    own = [str(folder / "workflow_scripts"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, own))}
    try:
        return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment).returncode
    except KeyboardInterrupt:  # Snakemake had it too, and has ended its jobs
        return 130


def _command(options: argparse.Namespace) -> int:
    # Imported here: what a command needs takes up to seconds, for which no other should wait.
    if options.command == "convert":
        from chestct.volumes.__main__ import convert

        return convert(options)
    if options.command == "predict":
        from chestct_command.predict import predict

        return predict(
            options.run,
            options.scans,
            output=options.output,
            gpu=options.gpu,
            threads=options.threads,
            windows_at_once=options.batch,
        )
    if options.command == "export":
        from chestct_command.export import export

        return export(options.run, options.target)
    from chestct_command.project import list_studies, project_folder

    folder = project_folder()
    if options.command == "run":
        return _run(options, folder)
    if options.command == "plan":
        return _call(["workflow_scripts/print_plan.py", "--cores", "1", *_options(options, folder)], folder)
    if options.command == "status":
        return _call(["-m", "chestct.status", *(["--study", options.study] if options.study else [])], folder)
    if options.command == "cite":
        from chestct_command import cite

        print(cite.citations(folder, options.studies), end="")
        return 0
    if options.command == "check":
        from chestct_command.check import check

        return check(options, folder)
    if options.command == "crate":
        from chestct_command.crate import crate

        return crate(folder, options.studies, options.output, options.results, options.agent)
    if options.command == "init":
        from chestct_command.begin import begin

        return begin(options, folder)
    for name, what in list_studies(folder).items():
        print(f"{name}: {what}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (argparse exits with 2 by itself)."""
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help(sys.stderr)
        return 2
    return exit_status(partial(_command, parser.parse_args(arguments)))
