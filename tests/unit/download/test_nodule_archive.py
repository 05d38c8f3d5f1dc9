"""The pinned archive: fetched once, resumed, compared with its commit and with the digest seen first."""

import errno
import fcntl
from collections.abc import Iterator

import pytest

from chestct.download.sources import lidc_nodules
from chestct.errors import InputError
from tests.unit.download import nodule_samples as samples
from tests.unit.download.file_server import SETTINGS, Fault, FileServer, running

NAME = "archive.zip"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return samples.pictures()


@pytest.fixture
def server(files, monkeypatch) -> Iterator[FileServer]:
    nodules = samples.table(files)
    monkeypatch.setattr(lidc_nodules, "read_nodules", lambda: nodules)
    with running(FileServer(samples.zipped(files))) as made:
        yield made


def listed(server, root):
    entry = {"name": "n", "source": "lidc_nodules", "task": "texture", "archive": f"{server.url}/zip/commit"}
    return lidc_nodules.list_series(entry, root, 80, SETTINGS)


def test_it_is_fetched_once(server, tmp_path):
    listing = listed(server, tmp_path)
    assert len(listing.series) == 3
    assert (tmp_path / NAME).read_bytes() == server.content
    listed(server, tmp_path)
    assert len(server.asked) == 1
    trusted = (tmp_path / "trusted.csv").read_text()
    assert "nikeboke/lidc_project-773f8ad9" in trusted
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {NAME, "trusted.csv", f".{NAME}.lock", ".trusted.csv.lock"}


def test_a_connection_that_is_cut_is_continued(server, tmp_path):
    server.faults = [Fault("cut", times=2)]
    listed(server, tmp_path)
    (whole, second, third) = server.asked
    # A block that did not arrive whole is asked for again.
    assert whole[0] == 0 < second[0] <= third[0]
    assert (tmp_path / NAME).read_bytes() == server.content


def test_a_later_run_goes_on_where_the_first_one_stopped(server, tmp_path):
    server.faults = [Fault("cut"), Fault("status", times=SETTINGS.attempts)]
    with pytest.raises(InputError, match="no good answer"):
        listed(server, tmp_path)
    begun = (tmp_path / f".{NAME}.part").stat().st_size
    server.asked.clear()
    listed(server, tmp_path)
    assert server.asked[0][0] == begun > 0
    assert (tmp_path / NAME).read_bytes() == server.content


@pytest.mark.parametrize("ranges", [True, False], ids=["another file", "no ranges"])
def test_what_cannot_be_continued_begins_anew(server, tmp_path, ranges):
    server.faults = [Fault("cut"), Fault("status", times=SETTINGS.attempts)]
    with pytest.raises(InputError):
        listed(server, tmp_path)
    server.ranges = ranges
    if ranges:
        server.etag = '"second"'
    listed(server, tmp_path)
    assert (tmp_path / NAME).read_bytes() == server.content


def test_an_archive_of_another_commit_is_refused(server, files, tmp_path):
    server.content = samples.zipped(files, "0" * 40)
    with pytest.raises(InputError, match="archive is of another commit: 0000") as caught:
        listed(server, tmp_path)
    assert "remedy: rerun" in str(caught.value)
    assert not (tmp_path / NAME).exists() and not (tmp_path / f".{NAME}.part").exists()


def test_what_is_no_archive_is_refused(server, tmp_path):
    server.content = b"<html>too many requests</html>"
    with pytest.raises(InputError, match="not a complete zip archive"):
        listed(server, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_an_archive_that_changed_is_refused(server, files, tmp_path):
    listed(server, tmp_path)
    (tmp_path / NAME).unlink()
    server.content = samples.zipped(dict(reversed(files.items())))  # the same commit, packed otherwise
    with pytest.raises(InputError, match=r"archive 'nikeboke\S+' is not the file that was seen first"):
        listed(server, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_an_archive_that_was_altered_on_disk_is_refused(server, tmp_path):
    listed(server, tmp_path)
    content = bytearray((tmp_path / NAME).read_bytes())
    content[500] ^= 1
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(InputError, match="is not the file that was seen first"):
        listed(server, tmp_path)


def test_an_archive_that_is_damaged_inside_is_not_trusted(server, tmp_path):
    right = server.content
    damaged = bytearray(right)
    damaged[500] ^= 1  # its directory, and so its commit, are whole
    server.content = bytes(damaged)
    with pytest.raises(InputError, match=r"the archive is damaged: .*slice-0.png"):
        listed(server, tmp_path)
    assert not (tmp_path / "trusted.csv").exists() and not (tmp_path / NAME).exists()
    server.content = right
    assert len(listed(server, tmp_path).series) == 3


def test_an_archive_that_is_gone_says_what_to_do(server, tmp_path):
    server.faults = [Fault("status", status=404)]
    with pytest.raises(InputError, match=r"no longer where it was published[\s\S]*key `archive`"):
        listed(server, tmp_path)


def test_one_that_is_there_without_a_record_must_be_of_the_commit(server, files, tmp_path):
    (tmp_path / NAME).write_bytes(samples.zipped(files, "0" * 40))
    with pytest.raises(
        InputError, match=r"commit: 0000[\s\S]*once .*archive.zip is moved elsewhere"
    ) as caught:
        listed(server, tmp_path)
    assert str(tmp_path / NAME) in str(caught.value)
    assert (tmp_path / NAME).exists() and not (tmp_path / "trusted.csv").exists()
    (tmp_path / NAME).write_bytes(server.content[:-500])
    with pytest.raises(InputError, match="not a complete zip archive"):
        listed(server, tmp_path)
    (tmp_path / NAME).write_bytes(server.content)
    listed(server, tmp_path)
    assert not server.asked and "773f8ad9" in (tmp_path / "trusted.csv").read_text()


def test_a_file_system_without_locks_only_warns(server, tmp_path, monkeypatch, caplog):
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    listed(server, tmp_path)
    assert "no locks" in caplog.text
    assert (tmp_path / NAME).read_bytes() == server.content
