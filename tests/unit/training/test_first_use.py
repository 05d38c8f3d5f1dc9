"""Weights without a published digest: trusted once they load into their model, and refused with a way out."""

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.catalogue import MODELS
from chestct.download.checkpoint_format import problem_of
from chestct.errors import InputError
from chestct.models import build_model, load_weights
from chestct.models.weight_files import parse_torch
from chestct.training.start import build_network
from chestct.trusted_weights import read_trusted

TENSORS = {"a.weight": torch.arange(24.0).reshape(4, 6), "a.bias": torch.ones(4), "n": torch.tensor(3)}


def saved(content: object, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return stream.getvalue()


def problem(content: bytes, tmp_path: Path) -> str | None:
    (tmp_path / "w").write_bytes(content)
    return problem_of(tmp_path / "w")


WHOLE = {
    "zip": saved(TENSORS),
    "older": saved(TENSORS, zipped=False),
    "half": saved({"w": torch.ones(3, 5, dtype=torch.float16), "b": torch.ones(2, dtype=torch.bfloat16)}),
    "shared": saved({"a": TENSORS["a.weight"], "b": TENSORS["a.weight"].T}, zipped=False),
    "training": saved({"state": TENSORS, "epoch": 3, "optimizer": {"lr": 0.1, "names": ["a"]}}),
    "arrays": pickle.dumps({"a": np.arange(5.0), "b": {"c": np.ones((2, 3))}}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_checkpoints_are_known(tmp_path, kind):
    assert problem(WHOLE[kind], tmp_path) is None


# By name: a zip holds the time at which it was written, so that its bytes would name another test each time.
NO_CHECKPOINTS = {
    "nothing": b"",
    "a blank": b" ",
    "a page": b"<!DOCTYPE html><html>login</html>",
    "a cut pickle": b"\x80\x02}q",
    "an empty dict": pickle.dumps({}),
    "no tensors": pickle.dumps({"a": 1}),
    "a list and more": pickle.dumps([1, 2]) + b"more",
    "another archive": archive(**{"README.txt": b"moved"}),
    "an archive without tensors": archive(**{"x/data.pkl": pickle.dumps({"a": 1})}),
    "an archive with a cut pickle": archive(**{"x/data.pkl": b"\x80\x02}q"}),
    "an empty state": saved({}),
    "an epoch, not zipped": saved({"epoch": 3}, zipped=False),
}


@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_no_weight_file(tmp_path, kind):
    assert problem(NO_CHECKPOINTS[kind], tmp_path) is not None


@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_cut_checkpoint_is_none(tmp_path_factory, kind, data):
    content = WHOLE[kind]
    cut = data.draw(st.integers(0, len(content) - 1))
    assert problem(content[:cut], tmp_path_factory.getbasetemp()) is not None


def test_looking_runs_no_code(tmp_path):
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    for content in (
        pickle.dumps({"a": Evil(), "b": np.ones(2)}),
        archive(**{"x/data.pkl": pickle.dumps(Evil())}),
    ):
        problem(content, tmp_path)
    assert not mark.exists()


# --- Trust by training


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A model whose published weights have no digest, and where they lie."""
    name = "swin_narrow"
    monkeypatch.setitem(load_weights.MODELS, name, replace(MODELS[name], weights={"video": "tiny"}))

    class Table:
        num_classes = 3

        @staticmethod
        def read(content, path):
            return parse_torch(content, path)

        @staticmethod
        def rename(tensors):
            return tensors

    module = load_weights.importlib.import_module(f"chestct.models.{MODELS[name].module}")
    monkeypatch.setattr(module, "PUBLISHED", {"tiny": Table}, raising=False)
    path = tmp_path / "weights" / "tiny.weights"
    path.parent.mkdir()
    return path


def state(num_classes: int = 3) -> dict[str, torch.Tensor]:
    return build_model("swin_narrow", num_slices=8, size_px=32, num_classes=num_classes, seed=1).state_dict()


def start_from(path: Path) -> None:
    initial = {"path": str(path), "sha256": None, "trusted_as": "tiny", "words": "w", "stand_in": False}
    build_network("swin_narrow", "video", initial, num_slices=8, size_px=32, seed=0)


def test_a_file_is_trusted_once_it_loads_and_the_right_one_is_never_refused(published):
    wrong = state()
    wrong.pop(next(iter(wrong)))
    for content in (saved(wrong), saved(state())[:-100], saved(state(num_classes=4)), archive(a=b"b")):
        published.write_bytes(content)
        with pytest.raises(
            InputError, match="'tiny' are not those of swin_narrow, and not trusted"
        ) as caught:
            start_from(published)
        assert str(published.parent / "offline") in str(caught.value)
        assert f"--forcerun {published}" in str(caught.value)
        assert read_trusted(published.parent) == {}
    published.write_bytes(saved(state()))
    start_from(published)
    assert list(read_trusted(published.parent)) == ["tiny"]
    start_from(published)
    changed = state()
    changed["head.bias"] += 1
    published.write_bytes(saved(changed))
    with pytest.raises(InputError, match="not the file that was seen first"):
        start_from(published)
