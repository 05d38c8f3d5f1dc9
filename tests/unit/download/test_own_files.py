"""A user's file that changes is noticed: by size and time first, and then by its content alone."""

import os
from pathlib import Path

import pytest

from chestct.download.sources import own_files
from chestct.obtained_files import content_digest, state_of


def seen(scan: Path) -> tuple[str, tuple[str, str]]:
    return str(scan), (state_of(scan).times, content_digest(scan))


@pytest.fixture
def remembered(tmp_path):
    """A volume, a detached volume, and a folder with a folder inside, remembered as shard 3."""
    root = tmp_path / "data"
    names = ["a.nii.gz", "b.mhd", "b.raw", "c/1.dcm", "c/deeper/2.dcm"]
    for name in names:
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())

    def remember(*paths):
        paths = paths or ("a.nii.gz", "b.mhd", "c")
        own_files.remember(root, 3, dict(map(seen, (tmp_path / "own" / name for name in paths))))

    assert own_files.count_changes(root, 3) == 0, "nothing was taken yet"
    remember()
    return root, tmp_path / "own", remember


def later(path: Path) -> None:
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))


@pytest.mark.parametrize("name", ["a.nii.gz", "b.mhd", "b.raw", "c/1.dcm", "c/deeper/2.dcm"])
def test_a_new_content_counts_and_a_new_time_does_not(remembered, name):
    root, own, remember = remembered
    assert own_files.count_changes(root, 3) == 0
    later(own / name)
    assert own_files.count_changes(root, 3) == 0, "the same content"
    (own / name).write_bytes(b"x" * len(name))  # the same size
    later(own / name)
    assert own_files.count_changes(root, 3) == own_files.count_changes(root, 3) == 1
    remember()
    assert own_files.count_changes(root, 3) == 1, "as it was taken the second time"
    (own / name).write_bytes(b"another size")
    assert own_files.count_changes(root, 3) == 2


def test_files_that_come_or_go_are_changes(remembered):
    root, own, remember = remembered
    (own / "c" / "3.dcm").write_bytes(b"new")
    assert own_files.count_changes(root, 3) == 1
    remember()
    (own / "c" / "1.dcm").unlink()
    assert own_files.count_changes(root, 3) == 2
    remember()
    (own / "a.nii.gz").unlink()
    assert own_files.count_changes(root, 3) == 3
    assert own_files.count_changes(root, 4) == 0, "another shard"


def test_unchanged_files_are_not_read(remembered, monkeypatch):
    root, own, remember = remembered
    monkeypatch.setattr(own_files, "content_digest", lambda path: pytest.fail("read"))
    assert own_files.count_changes(root, 3) == 0
    remember()
    own_files.remember(root, 4, dict([seen(own / "a.nii.gz")]))
    assert own_files.count_changes(root, 4) == 0


def test_a_damaged_or_lost_record_counts_as_a_change(remembered):
    root, _, _ = remembered
    (record,) = (root / "shards").glob(".shard-3*")
    assert record.stat().st_mode & 0o007 == 0, "it holds paths"
    content = record.read_bytes()
    (root / "shards" / "shard-3.csv").write_text("the shard is there")
    for damaged in (b"{", b"", b"\0" * 50, b"[" * 10**5, b'{"version": Infinity, "scans": {}}', content[:-9]):
        record.write_bytes(damaged)
        changed = own_files.count_changes(root, 3)
        assert changed != 0 and changed == own_files.count_changes(root, 3)
    for position in range(0, len(content), len(content) // 20):  # version, names, states and digests alike
        flipped = bytearray(content)
        flipped[position] ^= 4
        record.write_bytes(flipped)
        assert own_files.count_changes(root, 3) != 0, position
    record.unlink()
    assert own_files.count_changes(root, 3) == -1
    own_files.remember(root, 3, {}, version=-1)
    assert own_files.count_changes(root, 3) == -1, "as the job that took the files began with"


def test_what_is_not_there_has_no_state(tmp_path):
    assert state_of(tmp_path / "gone") == ("", "")


def test_files_that_links_lead_to_count_and_links_in_a_circle_end(remembered):
    root, own, remember = remembered
    (own.parent / "disk").mkdir()
    (own.parent / "disk" / "5.dcm").write_bytes(b"5")
    (own / "c" / "linked").symlink_to(own.parent / "disk")
    (own / "c" / "deeper" / "back").symlink_to(own / "c")
    (own.parent / "disk" / "around").symlink_to(own / "c" / "deeper")
    (own / "c" / "itself").symlink_to("itself")
    remember()
    before = own_files.count_changes(root, 3)
    (own.parent / "disk" / "5.dcm").write_bytes(b"another")
    assert own_files.count_changes(root, 3) == before + 1


def test_entries_that_are_no_files_are_neither_read_nor_in_the_way(remembered):
    root, own, remember = remembered
    (own / "c" / "3.dcm").symlink_to("nowhere")
    os.mkfifo(own / "c" / "4.dcm")  # reading it would wait for ever
    os.mkfifo(own / "b.pipe")
    assert own_files.count_changes(root, 3) == 1, "entries that were not there"
    remember()
    assert own_files.count_changes(root, 3) == 1
    (own / "c" / "3.dcm").unlink()
    (own / "c" / "3.dcm").write_bytes(b"fetched")
    assert own_files.count_changes(root, 3) == 2


def test_voxels_in_a_folder_below_their_header_count(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "v.raw").write_bytes(b"1")
    header = tmp_path / "v.mhd"
    header.write_text("ElementDataFile = below/v.raw")
    before = seen(header)
    (tmp_path / "below" / "v.raw").write_bytes(b"2")
    later(tmp_path / "below" / "v.raw")
    assert not set(seen(header)[1]) & set(before[1])
