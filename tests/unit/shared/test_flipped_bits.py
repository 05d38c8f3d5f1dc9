"""One flipped bit anywhere in any kind of output is noticed by what reads it; nothing else changes.

The number of flips grows with the environment variable FLIPS (of every kind, 12 by default).
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from synthetic_files import run_row

from chestct import records
from chestct.errors import InputError
from chestct.evaluation.claims import DatasetDraws
from chestct.evaluation.matching import RunKey
from chestct.figures.report_attachments import embed_figure
from chestct.records import read_recorded, record_path, recorded_path, write_recorded
from chestct.run import Run
from chestct.tables import read_table, write_table
from chestct.training.checkpoint import StateFile
from chestct.training.probes.features import Features, read_features, write_features
from chestct.training.record import check_weights, write_results
from chestct.volume_store import Volume, check_shard, read_volume, write_shard

FLIPS = int(os.environ.get("FLIPS", "12"))
RUN = Run(dataset="lidc_phantom", model="swin_narrow", init="scratch", percent=100, seed=0, fold=0)
SLICES = {
    "study_id": ["001", "002"],
    "slice_index": [0, 1],
    "z_mm": [0.5, 1.5],
    "sop_instance_uid": ["1.2", None],
}


def write_run(folder: Path) -> None:
    row = run_row(RUN, num_train=10, auroc=0.8)
    for added in ("final_weights_sha256", "python", "torch"):
        row.pop(added, None)
    curve = {"step": 4, "windows_seen": 16, "learning_rate": 0.1, "train_loss": 0.7}
    history = [curve | {"validation_loss": 0.6, "validation_auroc": 0.8}]
    write_results(folder, {"w": torch.arange(300.0)}, history, {"seed": 0}, row, {"holds": "model"})


def draws(folder: Path) -> None:
    DatasetDraws(
        dataset="d",
        patients=np.arange(40),
        labels=np.arange(40) % 2,
        folds=np.zeros(40, dtype=int),
        cells=[],
        scores={RunKey("i3d", "video", 100, 0): np.linspace(0, 1, 40)},
    ).save(folder / "draws.npz")


def features(folder: Path) -> None:
    content = Features(
        values=torch.rand(6, 8),
        starts=torch.arange(6),
        stops=torch.arange(6) + 8,
        rows={"s": (0, 6)},
        head="head",
        head_shape=(1, 8),
        facts={"code_digest": "c"},
    )
    write_features(content, str(folder / "features.safetensors"))


def figure(folder: Path) -> None:
    with recorded_path(folder / "forest.png") as temporary:
        Image.radial_gradient("L").resize((70, 40)).save(temporary)


def shard(folder: Path) -> None:
    hu = np.random.default_rng(0).integers(-1024, 2000, (3, 16, 16)).astype(np.int16)
    one = Volume(
        patient_id="p", study_id="s", series_id="r", hu=hu, spacing_mm=(1.0, 1.0, 1.0), z_mm=np.arange(3.0)
    )
    write_shard(folder / "shard-0.h5", [one])


def state(folder: Path) -> None:
    StateFile(folder, "key").save({"step": 3, "w": torch.arange(300.0)})


def load_state(path: Path) -> None:
    if StateFile(path.parents[1], "key").load() is None:
        raise InputError("not used", where=path, expected="", remedy="")


def read_shard(path: Path) -> None:
    """Compares all that the shard holds; what lies between its parts is of no consequence."""
    if check_shard(path):
        raise InputError("damaged", where=path, expected="", remedy="")


#: What writes a kind of output into a folder, the file, and what reads it.
KINDS: dict[str, tuple[Callable[[Path], object], str, Callable[[Path], object]]] = {
    "table": (lambda f: write_table(pd.DataFrame(SLICES), f / "t.csv", "slices"), "t.csv",
              lambda p: read_table(p, "slices")),
    "large table": (lambda f: write_table(pd.DataFrame(SLICES), f / "t.parquet", "slices"), "t.parquet",
                    lambda p: read_table(p, "slices")),
    "manifest": (lambda f: write_recorded(f / "manifest.json", '{"stand_in": true}'), "manifest.json",
                 read_recorded),
    "weights": (write_run, "weights.safetensors", check_weights),
    "record of a run": (write_run, "run.csv", lambda p: read_table(p, "runs")),
    "learning curve": (write_run, "history.csv", lambda p: read_table(p, "history")),
    "configuration of a run": (write_run, "config.yaml", read_recorded),
    "draws": (draws, "draws.npz", DatasetDraws.load),
    "features": (features, "features.safetensors", lambda p: read_features(str(p))),
    "figure": (figure, "forest.png", lambda p: embed_figure(p, 100)),
    "saved state": (state, ".checkpoint/last.ckpt", load_state),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_flip_and_every_cut_is_noticed(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(records, "_SETTLE_SECONDS", 0)
    write, name, read = KINDS[kind]
    write(tmp_path)
    path, rng = tmp_path / name, random.Random(kind)
    content, time = path.read_bytes(), path.stat()
    read(path)
    unnoticed = []
    for number in range(FLIPS):
        position, bit = rng.randrange(len(content)), rng.randrange(8)
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        if number % 4 == 3:  # every fourth is cut instead, or filled with zeros as after a power cut
            damaged = bytearray(content[:position]) if number % 8 == 3 else bytearray(len(content))
        path.write_bytes(damaged)
        os.utime(path, ns=(time.st_atime_ns, time.st_mtime_ns))
        try:
            read(path)
        except InputError:
            continue
        unnoticed.append((position, bit))
    assert not unnoticed, f"{len(unnoticed)} of {FLIPS}"
    path.write_bytes(content)
    read(path)


def test_weights_of_another_run_are_noticed_with_their_record(tmp_path):
    for name in ("one", "other"):
        write_run(tmp_path / name)
    path = tmp_path / "one" / "weights.safetensors"
    with recorded_path(path) as temporary:
        temporary.write_bytes(b"whole, but of another run")
    with pytest.raises(InputError, match="not those of their run") as caught:
        check_weights(path)
    assert f"--forcerun {path}" in str(caught.value)
    assert record_path(path).is_file()


def test_a_flip_in_a_shard_changes_no_voxel_unnoticed(tmp_path):
    shard(tmp_path)
    path, rng = tmp_path / "shard-0.h5", random.Random(0)
    content = path.read_bytes()
    expected = read_volume(path, "s").hu
    for _ in range(FLIPS):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            read_shard(path)
        except InputError:
            continue
        assert np.array_equal(read_volume(path, "s").hu, expected)
