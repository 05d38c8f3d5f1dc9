"""Records beside files: damage and changes by hand are noticed, and the way back to the first is followed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from chestct import records
from chestct.errors import InputError
from chestct.records import check_record, read_recorded, record_path, recorded_path, trace, write_recorded


@pytest.fixture(autouse=True)
def job(tmp_path, monkeypatch):
    """A process that has read nothing yet, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "_SETTLE_SECONDS", 0)
    return new_job(monkeypatch)


def new_job(monkeypatch):
    monkeypatch.setattr(records, "_read", {})


def write_chain(monkeypatch, passing=False):
    """labels.csv -> cohort.csv -> metrics.csv, each by a job of its own."""
    write_recorded("labels.csv", "labels")
    for source, target in (("labels.csv", "cohort.csv"), ("cohort.csv", "metrics.csv")):
        new_job(monkeypatch)
        text = read_recorded(source)
        if passing and source == "cohort.csv":
            with recorded_path("copy.csv", of_job=True) as temporary:
                temporary.write_text(text)
            new_job(monkeypatch)
            read_recorded("copy.csv")
            Path("copy.csv").unlink()
        write_recorded(target, f"{text} {target}")


def test_a_record_is_what_sha256sum_checks():
    write_recorded("a b.csv", "x")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", ".a b.csv.sha256"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "a b.csv: OK\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_text("y"), "damaged, or was changed by hand"),
        (lambda path: path.write_text(""), "damaged, or was changed by hand"),
        (lambda path: record_path(path).unlink(), "no record"),
        (
            lambda path: record_path(path).write_bytes(b"\xff\xfe"),
            "no record of its digest, or a damaged one",
        ),
        (lambda path: record_path(path).write_text(""), "no record"),
        (lambda path: shutil.copy(record_path("b"), record_path(path)), "no record"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_what_is_not_as_written_is_refused_with_a_way_out(damage, words):
    write_recorded("a", "x")
    write_recorded("b", "x")
    damage(Path("a"))
    with pytest.raises(InputError, match=words) as caught:
        check_record("a", "table")
    assert "snakemake --cores all --forcerun a" in str(caught.value) and "delete" not in str(caught.value)


def test_every_flipped_bit_of_a_record_is_noticed_by_reader_or_report(monkeypatch):
    write_chain(monkeypatch)
    path = record_path("cohort.csv")
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        new_job(monkeypatch)
        try:
            check_record("cohort.csv")
        except InputError:
            continue
        assert any(link.problem for link in trace(["metrics.csv"])), position


def test_a_file_that_another_study_writes_anew_is_read_again(monkeypatch):
    write_recorded("a", "old")
    record = record_path("a").read_text()
    write_recorded("a", "new")
    new, _ = record_path("a").read_text(), record_path("a").write_text(record)
    monkeypatch.setattr(records.time, "sleep", lambda _: record_path("a").write_text(new))
    check_record("a")


@pytest.mark.parametrize("passing", [False, True])
def test_the_way_back_is_followed_and_verified(monkeypatch, passing):
    write_chain(monkeypatch, passing)
    assert [(link.path, link.problem) for link in trace(["metrics.csv"])] == [
        ("cohort.csv", None),
        ("labels.csv", None),
        ("metrics.csv", None),
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            lambda: write_recorded("labels.csv", "others"),
            "another file than the one that cohort.csv was made",
        ),
        (lambda: Path("labels.csv").write_text("others"), "does not match its record"),
        (lambda: Path("labels.csv").unlink(), "is gone"),
        (lambda: record_path("labels.csv").unlink(), "has no record"),
    ],
)
def test_the_way_back_shows_what_changed_since(monkeypatch, change, found):
    write_chain(monkeypatch)
    new_job(monkeypatch)
    change()
    problems = {link.path: link.problem for link in trace(["metrics.csv"]) if link.problem}
    assert list(problems) == ["labels.csv"] and found in problems["labels.csv"]


def test_a_kill_before_the_file_has_its_name_leaves_nothing_that_is_believed(monkeypatch):
    write_recorded("a", "old")
    replace = Path.replace
    end = lambda self, target: os._exit(9) if Path(target).name == "a" else replace(self, target)  # noqa: E731
    monkeypatch.setattr(Path, "replace", end)
    child = os.fork()
    if not child:
        write_recorded("a", "new")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with pytest.raises(InputError, match="damaged"):
        check_record("a")
