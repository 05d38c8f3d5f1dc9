"""The one command for a GPU machine (benchmarks/gpu): what fails, what is left out, its dry form in part."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(root / "benchmarks" / "gpu")
    for name in ("TRITON_INTERPRET", "CUDA_VISIBLE_DEVICES"):  # set by the dry form, and put back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield {name: importlib.import_module(name) for name in ("findings", "run", "recovery", "pack")}
    for name in ("findings", "run", "recovery", "pack", "machine", "kernels", "networks"):
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


def test_only_the_filter_that_is_used_is_packed(script: dict[str, ModuleType], tmp_path: Path) -> None:
    for name in ("hdf5plugin/plugins/libh5bshuf.so", "hdf5plugin/plugins/libh5other.so", "yacs/tests/a.py"):
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text("")
    (tmp_path / "here" / "tabulate.py").write_text("x = 1")
    script["pack"].copy_packages(tmp_path / "there", tmp_path / "here")
    packed = {str(path.relative_to(tmp_path / "there")) for path in (tmp_path / "there").rglob("*.*")}
    assert packed == {"hdf5plugin/plugins/libh5bshuf.so", "tabulate.py"}
