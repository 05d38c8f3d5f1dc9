import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chestct import files
from chestct.errors import InputError
from chestct.files import atomic_path, digest_object, one_line, put_in_place, sync_disk, write_text


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "a.csv"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_written_files_follow_the_umask(tmp_path):
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_private_files_are_closed_to_others_and_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "a", private=True) as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o660 & ~umask


def test_a_digest_does_not_see_the_order_of_keys():
    assert digest_object({"a": 1, "b": 2}) == digest_object({"b": 2, "a": 1})


def record_calls(monkeypatch, tmp_path):
    """Names of what is written out and of what is renamed, in order."""
    calls = []
    fsync = os.fsync
    monkeypatch.setattr(
        files.os,
        "fsync",
        lambda handle: (calls.append(str(Path(f"/proc/self/fd/{handle}").readlink())), fsync(handle)),
    )
    replace = Path.replace
    monkeypatch.setattr(
        Path,
        "replace",
        lambda self, target: (calls.append(f"rename {Path(target).name}"), replace(self, target))[1],
    )
    return calls


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    calls = record_calls(monkeypatch, tmp_path)
    write_text(tmp_path / "new" / "a.csv", "x")
    made, content, renamed, folder = calls
    assert (made, renamed, folder) == (str(tmp_path), "rename a.csv", str(tmp_path / "new"))
    assert Path(content).name.startswith(".a.")
    calls.clear()
    write_text(tmp_path / "cache", "x", durable=False)
    assert calls == ["rename cache"]


def test_a_disk_that_cannot_write_is_told_before_the_old_file_is_gone(tmp_path, monkeypatch):
    write_text(tmp_path / "a", "old")

    def fail(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(InputError, match="Input/output error"):
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_file_systems_that_cannot_be_asked_to_write_out_are_used_all_the_same(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(files.os, "fsync", fail)
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"
    sync_disk(tmp_path)
    put_in_place(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        ValueError("Disk quota exceeded (os error 122)"),
        RuntimeError("Error while serializing: I/O error: File too large (os error 27)"),
    ],
)
def test_a_full_disk_is_one_message_whoever_writes(tmp_path, error):
    with pytest.raises(InputError, match=r"cannot be written[\s\S]*df -i[\s\S]*make room") as caught:
        with atomic_path(tmp_path / "a"):
            raise error
    assert str(tmp_path / "a") in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("free", [0, 1 << 40])
def test_pytorchs_own_words_mean_a_full_disk_only_where_it_is_full(tmp_path, monkeypatch, free):
    monkeypatch.setattr(files, "has_room", lambda folder: free > 0)
    with pytest.raises(RuntimeError if free else InputError, match="file write failed"):
        with atomic_path(tmp_path / "a"):
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


def test_a_name_that_is_too_long_and_a_folder_that_is_no_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"File name too long[\s\S]*shorten"):
        write_text(tmp_path / ("x" * 300), "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "file" / "a", "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=2"])
def test_a_real_full_disk_by_bytes_and_by_inodes(tmp_path, options):
    code = """
import sys; from pathlib import Path; from chestct.files import write_text
for number in range(40): write_text(Path(sys.argv[1]) / f"{number}.csv", "x" * 4096)
"""
    mount = f"mount -t tmpfs -o {options} none {tmp_path} 2>/dev/null || exit 77; "
    mount += f"exec {sys.executable} -c '{code}' {tmp_path}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no mounts here")
    assert "InputError: a file cannot be written" in done.stderr and "df -i" in done.stderr


def test_a_name_is_one_line_whatever_it_holds():
    assert one_line("a\nrefused  b\t\u2028é.nii") == "a\\nrefused  b\\t\\u2028é.nii"
