"""Shards on the node's own disk."""

import subprocess
import sys
from pathlib import Path

import pytest
from engine_data import write_data

from chestct.tables import read_table
from chestct.training.machine.staging import staged_index
from chestct.volume_store import WindowReader


@pytest.fixture
def index(tmp_path) -> str:
    return write_data(tmp_path)["index"]


@pytest.mark.parametrize(
    ("resources", "reserve"),
    [({}, 0), ({"stage_shards": 0}, 0), ({"stage_shards": 1, "nodes": 2}, 0), ({"stage_shards": 1}, 10**18)],
    ids=["nothing asked", "not wanted", "several nodes", "a full disk"],
)
def test_shards_may_stay_where_they_are(index, tmp_path, monkeypatch, resources, reserve):
    monkeypatch.setattr("chestct.training.machine.staging._RESERVE_BYTES", reserve)
    assert staged_index(index, resources | {"tmpdir": str(tmp_path)}) == index


def test_copies_read_alike_and_belong_to_the_user_alone(index, tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    staged = staged_index(index, {"stage_shards": 1, "tmpdir": str(node), "nodes": 1})
    before, after = read_table(index, "index"), read_table(staged, "index")
    assert before.drop(columns="store").equals(after.drop(columns="store"))
    assert all(path.startswith(str(node)) for path in after["store"])
    assert Path(staged).parent.stat().st_mode & 0o077 == 0
    one, other = (WindowReader().read(t["store"][3], t["study_id"][3], 2, 9) for t in (before, after))
    assert (one == other).all()


def test_copies_vanish_with_the_job(index, tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    script = "import sys; from chestct.training.machine.staging import staged_index; "
    script += "print(staged_index(sys.argv[1], {'stage_shards': 1, 'tmpdir': sys.argv[2]}))"
    done = subprocess.run(
        [sys.executable, "-c", script, index, str(node)], capture_output=True, text=True, check=True
    )
    assert str(node) in done.stdout
    assert not list(node.iterdir())


@pytest.mark.parametrize("kind", ["absent", "a file"])
def test_a_tmpdir_that_cannot_be_used_is_said_and_not_replaced_in_silence(
    index, tmp_path, monkeypatch, capsys, kind
):
    asked = tmp_path / "asked"
    if kind == "a file":
        asked.write_text("")
    monkeypatch.setenv("CHESTCT_TMPDIR", str(asked))
    # What Python took instead.
    for instead in ("/tmp", str(Path.cwd())):
        assert staged_index(index, {"stage_shards": 1, "tmpdir": instead}) == index
        assert str(asked) in capsys.readouterr().out
    # A folder that the profile states is another matter.
    node = tmp_path / "node"
    node.mkdir()
    assert staged_index(index, {"stage_shards": 1, "tmpdir": str(node)}) != index
