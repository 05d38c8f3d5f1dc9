"""What is compiled serves all jobs of a user on a node, and nobody else's files are run."""

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from chestct.training.machine import compiler_caches, device
from chestct.training.machine.compiler_caches import file_system, own_compiler_caches, shared_folder

NAMES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder for temporary files of a machine, on its own disk."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mount(monkeypatch, tmp_path, "ext4")
    return tmp_path


def mount(monkeypatch: pytest.MonkeyPatch, node: Path, kind: str) -> None:
    table = node.parent / "mounts"
    table.write_text(f"a / ext4 rw 0 0\nb {str(node).replace(' ', chr(92) + '040')} {kind} rw 0 0\n")
    monkeypatch.setattr(compiler_caches, "_MOUNTS", table)


def places() -> list[Path]:
    """What a new job finds."""
    for name in NAMES:
        os.environ.pop(name, None)
    own_compiler_caches()
    return [Path(os.environ[name]) for name in NAMES]


def test_jobs_of_a_user_share_a_folder_that_stays(node: Path) -> None:
    first = places()
    assert first == places() and len(set(first)) == 2
    folder = first[0].parent
    assert folder.parent == node / f"chestct-compiled-{os.getuid()}" and "torch-" in folder.name
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


def test_what_a_user_set_stays(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "/mine")
    own_compiler_caches()
    assert all(os.environ[name] == "/mine" for name in NAMES) and not list(node.iterdir())


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "fuse.sshfs"])
def test_on_a_shared_file_system_every_job_has_its_own(
    node: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mount(monkeypatch, node, kind)
    assert file_system(node / "deeper") == kind and shared_folder(node) is None
    assert places()[0].parent != places()[0].parent


@pytest.mark.parametrize("fault", ["writable", "a link", "of another user", "a parent without a sticky bit"])
def test_a_folder_of_somebody_else_is_not_used(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    folder = node / f"chestct-compiled-{os.getuid()}"
    if fault == "writable":
        folder.mkdir()
        folder.chmod(0o770)
    elif fault == "a link":
        (node / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(node / "elsewhere")
    elif fault == "of another user":
        user = os.getuid() + 1
        (node / f"chestct-compiled-{user}").mkdir(mode=0o700)
        monkeypatch.setattr(os, "getuid", lambda: user)
    else:
        node.chmod(0o777)
    assert shared_folder(node) is None
    assert "not used for compiled kernels" in capsys.readouterr().out
    assert places()[0].parent.name.startswith("chestct-compiled-")


def test_places_are_set_before_anything_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(device, "own_compiler_caches", lambda: calls.append("places"))
    monkeypatch.setattr(device, "apply_fast_forms", lambda *_, **__: calls.append("forms") or {})
    with torch.backends.cudnn.flags():  # which are put back
        device.tune(nn.Identity(), gpus=1, precision="32-true")
    assert calls == ["places", "forms"]
