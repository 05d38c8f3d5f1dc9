"""Trust on first use: the first digest is kept, another refused, also by many processes at once."""

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chestct import trusted_weights as trusted
from chestct.errors import InputError
from chestct.locks import locked
from chestct.training.start import expected_sha256

ONE, OTHER = "1" * 64, "2" * 64


def check(folder: Path, weights_id: str, sha256: str) -> None:
    trusted.check_trusted(folder, weights_id, sha256, size_bytes=7, source=f"https://zoo/{weights_id}.pth")


def test_the_first_digest_is_recorded_and_holds(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    assert trusted.read_trusted(folder) == {}
    check(folder, "b", ONE)
    check(folder, "a", OTHER)
    before = (folder / "trusted.csv").read_text()
    check(folder, "b", ONE)
    assert (folder / "trusted.csv").read_text() == before
    rows = trusted.read_trusted(folder)
    assert list(rows) == ["a", "b"]
    assert (rows["b"]["sha256"], rows["b"]["size_bytes"]) == (ONE, "7")
    assert rows["b"]["source"] == "https://zoo/b.pth" and rows["b"]["first_seen"].count("-") == 2


def test_another_digest_is_refused_until_its_row_is_deleted(tmp_path: Path) -> None:
    check(tmp_path, "a", ONE)
    with pytest.raises(InputError, match="not the file that was seen first") as caught:
        check(tmp_path, "a", OTHER)
    message = str(caught.value)
    assert ONE in message and OTHER in message and str(tmp_path / "trusted.csv") in message
    assert trusted.read_trusted(tmp_path)["a"]["sha256"] == ONE

    table = tmp_path / "trusted.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    check(tmp_path, "a", OTHER)
    assert trusted.read_trusted(tmp_path)["a"]["sha256"] == OTHER


HEADER = ",".join(trusted.COLUMNS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "columns are missing"),
        ("weights_id,sha256\n", "columns are weights_id, sha256"),
        (f"{HEADER}\na,{ONE},7,2026-01-01,x\na,{OTHER},7,2026-01-01,x\n", "'a' has two rows"),
        (f"{HEADER}\na,,7,2026-01-01,x\n", "'a' has no SHA-256"),
        (f"{HEADER}\na\n", "row 2 has 1 cells"),
        (f"{HEADER}\na,{ONE},7,2026-01-01,x,y\n", "row 2 has 6 cells"),
        (f"{HEADER}\na,{ONE},seven,2026-01-01,x\n", "lacks a name or a size"),
        (f"{HEADER}\n\0\0\0\n", "row 2 has 1 cells"),
        (f"{HEADER}\na,{ONE},7,2026-01-01,{'x' * 200_000}\n", "field larger"),
        (f'{HEADER}\n"a,{ONE}', "end of data"),
    ],
)
def test_a_damaged_table_trusts_nothing(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "trusted.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        check(tmp_path, "a", ONE)
    assert (tmp_path / "trusted.csv").read_text() == text


def test_many_processes_lose_no_row(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from chestct.trusted_weights import check_trusted\n"
        "for i in range(10): check_trusted(Path(sys.argv[1]), f'{sys.argv[2]}{i}', sys.argv[2] * 64, "
        "size_bytes=1, source='x')"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), letter]) for letter in "abcd"]
    assert [job.wait(600) for job in jobs] == [0] * 4
    rows = trusted.read_trusted(tmp_path)
    assert sorted(rows) == sorted(f"{letter}{i}" for letter in "abcd" for i in range(10))
    assert all(row["sha256"] == name[0] * 64 for name, row in rows.items())


def test_of_two_first_uses_at_once_one_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, seen = trusted.read_trusted, []

    def read_before_the_other(folder: Path) -> dict[str, dict[str, str]]:
        rows = read(folder)
        if not seen:
            seen.append(folder)
            check(folder, "a", OTHER)  # another job records its file in between
        return rows

    monkeypatch.setattr(trusted, "read_trusted", read_before_the_other)
    with pytest.raises(InputError, match="not the file that was seen first"):
        check(tmp_path, "a", ONE)
    assert read(tmp_path)["a"]["sha256"] == OTHER


def test_a_file_system_without_locks_only_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    check(tmp_path, "a", ONE)
    assert "no locks" in caplog.text
    assert trusted.read_trusted(tmp_path)["a"]["sha256"] == ONE


def test_the_lock_never_empties_what_a_link_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("precious")
    (tmp_path / "lock").symlink_to(precious)
    with pytest.raises(OSError), locked(tmp_path / "lock"):
        pass
    (tmp_path / "lock").unlink()
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(OSError, match="not a regular file"), locked(tmp_path / "lock"):
        pass
    (tmp_path / "text").write_text("kept")
    with locked(tmp_path / "text") as there:
        assert there
    assert precious.read_text() == "precious" and (tmp_path / "text").read_text() == "kept"


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; import chestct.trusted_weights\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'numpy', 'pandas', 'torch', 'requests'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_training_takes_the_trusted_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.weights"
    path.write_bytes(b"first")
    initial = {"path": str(path), "sha256": None, "trusted_as": "a"}
    assert expected_sha256(initial) is None and trusted.read_trusted(tmp_path) == {}
    check(tmp_path, "a", hashlib.sha256(b"first").hexdigest())
    assert expected_sha256(initial) == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"replaced after the download")
    with pytest.raises(InputError, match="not the file that was seen first") as caught:
        expected_sha256(initial)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("known", [ONE, None])
def test_a_digest_of_the_table_and_the_studys_own_weights_need_no_record(
    tmp_path: Path, known: str | None
) -> None:
    path = tmp_path / "a.weights"
    path.write_bytes(b"first")
    assert expected_sha256({"path": str(path), "sha256": known}) == known
    assert expected_sha256({"path": str(path), "sha256": known, "trusted_as": None}) == known
    assert trusted.read_trusted(tmp_path) == {}
