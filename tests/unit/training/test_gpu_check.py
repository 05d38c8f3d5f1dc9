"""The one command for a GPU machine (benchmarks/gpu): what fails, what is left out, its dry form in part."""

import importlib
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest

MODULES = ("findings", "run", "recovery", "study", "pack", "unpack")


@pytest.fixture
def script(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(root / "benchmarks" / "gpu")
    for name in ("TRITON_INTERPRET", "CUDA_VISIBLE_DEVICES"):  # set by the dry form, and put back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in (*MODULES, "machine", "kernels", "networks"):
        sys.modules.pop(name, None)


def test_a_failure_does_not_stop_what_follows(script: dict[str, ModuleType]) -> None:
    findings = script["findings"]
    report = findings.Report(100)

    def broken() -> None:
        raise ValueError("first line\nsecond line")

    def late() -> None:
        raise findings.OutOfTimeError

    report.run("a", "broken", 1, broken)
    report.run("a", "late", 1, late)
    report.run("b", "long", 1000, broken)
    report.run("b", "right", 1, lambda: report.add("b", "right", "1.0", True))
    report.run("b", "measured", 1, lambda: report.add("b", "measured", "2.0"))
    assert report.failed == 1 and len(report.left_out) == 2
    table = report.table()
    assert "| a | broken | ValueError: first line | FAILED |" in table
    assert "left out, for want of time: b: long (takes about 1000 s, " in table
    assert "| b | measured | 2.0 |  |" in table
    assert "1 checks passed, 1 failed, 2 parts left out" in table.splitlines()[-1]


def test_the_dry_form_resumes_a_run_and_exhausts_memory(
    script: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script["recovery"], "STEPS", 3)
    monkeypatch.setattr(script["recovery"], "ENDED_AT", 1)
    output = tmp_path / "table.md"
    assert script["run"].main(["--dry", "--parts", "recovery", "--output", str(output)]) == 0
    table = output.read_text()
    assert "exit code 143, 2 steps after it" in table
    assert "out of memory with 4 windows at once" in table
    assert "2 checks passed, 0 failed, 0 parts left out" in table


def test_a_check_without_time_is_no_success(script: dict[str, ModuleType]) -> None:
    assert script["run"].main(["--dry", "--parts", "recovery", "--seconds", "12"]) == 1


@pytest.mark.parametrize(
    ("file", "packed"),
    [
        ("hdf5plugin/plugins/libh5bshuf.so", True),
        ("hdf5plugin/plugins/libh5other.so", False),
        ("yacs/tests/a.py", False),
        ("yacs/config.py", True),
        ("yacs-0.1.8.dist-info/METADATA", True),
        ("rpds/rpds.cpython-311-x86_64-linux-gnu.so", False),
        ("../../../bin/snakemake", False),
    ],
)
def test_what_is_packed_of_a_package(script: dict[str, ModuleType], file: str, packed: bool) -> None:
    assert script["pack"].is_packed(PurePosixPath(file)) is packed


def test_packages_that_are_packed_are_installed_here(script: dict[str, ModuleType], tmp_path: Path) -> None:
    pack = script["pack"]
    for name in (*pack.PACKAGES, *pack.WHEELS):
        assert metadata.version(name)
    pack.copy_packages(tmp_path, ["tabulate", "snakemake-interface-common"])
    assert (tmp_path / "tabulate" / "__init__.py").is_file()
    assert list(tmp_path.glob("snakemake_interface_common-*.dist-info/METADATA"))


def test_another_python_than_it_was_packed_for_is_one_message(
    script: dict[str, ModuleType], tmp_path: Path
) -> None:
    file, here = tmp_path / "check.pyz", f"{sys.version_info.major}.{sys.version_info.minor}"
    script["pack"].write_archive(file, tmp_path / "nothing", "3.2")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"this is Python {here}, and the packages here are for 3.2",
        f"  remedy: run it by python3.2, or pack it with --python {here}",
    ]


def test_what_is_packed_and_what_the_machine_has_are_imported(
    script: dict[str, ModuleType], tmp_path: Path
) -> None:
    for name in ("project/workflow_scripts/ours.py", "site/packed.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    python = script["unpack"].make_environment(tmp_path)
    subprocess.run([python, "-c", "import ours, packed, yaml"], env={}, check=True)


def running(study: ModuleType, folder: Path, program: str) -> Any:
    """A program in the place of Snakemake."""
    (folder / "output.txt").write_text("begun\nWorkflowError: in rule finetune\n")
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    return study.Study(folder, process, time.monotonic())


def write_results(folder: Path, **auroc: float) -> None:
    results = folder / "results" / "gpu_check"
    for name, table in {
        "training/runs.csv": "init,device\nscratch,cpu\nvideo,cpu\n",
        "evaluation/metrics.csv": "metric,init,value\nauroc,none,0.5\n"
        + "".join(f"auroc,{init},{value}\n" for init, value in auroc.items()),
        "report.html": "x" * 20_000,
    }.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(table)


@pytest.mark.parametrize(
    ("program", "auroc", "row"),
    [
        ("", {"scratch": 0.5, "video": 0.7}, "AUROC 0.50 from scratch, AUROC 0.70 from video, on cpu"),
        ("", {"scratch": 0.5}, None),
        ("", {"scratch": 0.5, "video": math.nan}, None),
        ("raise SystemExit(1)", {}, "exit code 1: WorkflowError: in rule finetune"),
        ("import time; time.sleep(60)", {}, "not done after"),
    ],
)
def test_a_study_that_fails_or_hangs_is_a_row(
    script: dict[str, ModuleType], tmp_path: Path, program: str, auroc: dict[str, float], row: str | None
) -> None:
    # A busy machine may take seconds to start a process, but not a minute.
    report, folder = script["findings"].Report(1.0 if "sleep" in program else 60.0), tmp_path / "study"
    folder.mkdir()
    write_results(folder, **auroc)
    study = running(script["study"], folder, program)
    study.wait(report)
    (found,) = report.rows
    assert found.passed == ("on cpu" in (row or "")) and (row or "AUROC") in found.found
    assert not program or found.found.endswith(": WorkflowError: in rule finetune")
    assert study.process.poll() is not None and not folder.exists()
