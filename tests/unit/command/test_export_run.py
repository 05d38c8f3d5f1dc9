"""``chestct export``: files that another program scores windows with, and a card that says what they are."""

import errno
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_run import CROP, SIZE, facts_of, write_run, write_scan

from chestct.errors import InputError
from chestct.records import write_recorded
from chestct.run import Run
from chestct.subsets.windows import window_places
from chestct.tables import write_table
from chestct.volumes.convert_scan import convert_one
from chestct_command import export as exporting
from chestct_command.main import main
from chestct_command.model_card import model_card, read_study
from chestct_command.predict import Scorer
from chestct_command.trained_run import read_trained_run

ROOT = Path(__file__).resolve().parents[3]
#: Runs a script where nothing of the project can be imported.
ALONE = """
import runpy, sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("chestct"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
try:
    import chestct
    raise SystemExit("the project can be imported")
except ImportError:
    pass
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and, beside it, what export wrote of it."""
    folder = tmp_path_factory.mktemp("exported")
    write_run(folder / "run")
    assert main(["export", str(folder / "run"), str(folder / "taken" / "along")]) == 0
    return folder


def test_a_process_that_cannot_import_the_project_gives_the_same_scores(exported, tmp_path):
    taken = exported / "taken" / "along"
    assert sorted(path.name for path in taken.iterdir() if not path.name.startswith(".")) == [
        "MODEL_CARD.md",
        "inference.json",
        "model.pt2",
        "predict_example.py",
        "weights.safetensors",
    ]
    scan = write_scan(tmp_path / "scan.nii.gz", 19)
    run = read_trained_run(exported / "run")
    row = Scorer(run).row(str(scan))
    _, converted = convert_one(scan, dataset="d", size_px=SIZE)
    starts, width = window_places(19, run.rule)
    np.save(tmp_path / "windows.npy", np.stack([converted.hu[start : start + width] for start in starts]))
    script = [str(taken / "predict_example.py"), str(tmp_path / "windows.npy")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    *windows, last = done.stdout.splitlines()
    assert len(windows) == len(starts) == row["num_windows"]
    found = re.fullmatch(r"scan: ([\d.]+) \(window (\d+)\)", last)
    assert float(found[1]) == pytest.approx(row["score"], abs=1e-6)
    assert starts[int(found[2])] == row["top_start"]
    # The folder is a run's too.
    assert Scorer(read_trained_run(taken)).row(str(scan))["score"] == row["score"]


def test_what_is_passed_on_names_no_folder_of_this_machine(exported):
    for path in (exported / "taken" / "along").rglob("*"):
        content = path.read_bytes()
        for name in (str(exported), str(ROOT), "/site-packages/"):
            assert name.encode() not in content, f"{path.name} names {name}"


def test_the_facts_say_how_a_scan_becomes_a_score(exported):
    facts = json.loads((exported / "taken" / "along" / "inference.json").read_text())
    assert facts["input"] == {
        "shape": ["windows", 8, SIZE, SIZE],
        "dtype": "int16",
        "any_number_of_windows": True,
    }
    assert facts["windows"]["stride"] == 4 and facts["scan"]["fill"] == -1024
    assert facts["inside_the_model"]["centre_crop_px"] == CROP
    assert facts["trained"]["training_data"]["label"] == "nodule"


def test_another_score_than_the_run_s_leaves_nothing(exported, tmp_path, monkeypatch, capsys):
    run = read_trained_run(exported / "run")
    windows, model = exporting.sample_windows(run), exported / "taken" / "along" / "model.pt2"
    # Read once: the scores are what is compared.
    monkeypatch.setattr(torch.export, "load", cache(torch.export.load))
    assert exporting.largest_difference(run, model, windows, (1, 2, 3)) < 1e-6
    scores = exporting.run_scores
    monkeypatch.setattr(exporting, "run_scores", lambda *given: scores(*given) + 2e-5)
    assert exporting.largest_difference(run, model, windows) == pytest.approx(2e-5, abs=1e-6)
    monkeypatch.setattr(exporting, "run_scores", lambda *given: scores(*given) * torch.nan)
    assert exporting.largest_difference(run, model, windows) == torch.inf
    monkeypatch.setattr(exporting, "_exported", lambda *_, **__: None)
    monkeypatch.setattr(torch.export, "save", lambda program, path: Path(path).touch())
    monkeypatch.setattr(exporting, "largest_difference", lambda *_: 2e-5)
    assert main(["export", str(exported / "run"), str(tmp_path / "taken")]) == 1
    assert "cannot be exported: scores differ by 2e-05" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    write_run(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("notes")
    for target in ("mine", "run", "mine/notes.txt"):
        assert main(["export", str(tmp_path / "run"), str(tmp_path / target)]) == 1
        assert "holds something already" in capsys.readouterr().err
    assert (tmp_path / "mine" / "notes.txt").read_text() == "notes"


def test_a_folder_that_cannot_be_written_to_is_one_message(tmp_path, capsys, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    write_run(tmp_path / "run")
    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "taken")]) == 1
    assert "a file cannot be written" in capsys.readouterr().err


def test_a_model_that_takes_one_window_at_a_time_says_so(exported, tmp_path, monkeypatch, capsys):
    any_number = exporting._exported

    def one(run, windows, *, several):
        if several:
            raise ValueError("the model does not allow it")
        return any_number(run, windows, several=several)

    monkeypatch.setattr(exporting, "_exported", one)
    assert main(["export", str(exported / "run"), str(tmp_path / "taken")]) == 0
    assert "one window at a time" in capsys.readouterr().out
    facts = json.loads((tmp_path / "taken" / "inference.json").read_text())
    assert not facts["input"]["any_number_of_windows"] and facts["input"]["shape"][0] == 1
    assert "split(1)" in (tmp_path / "taken" / "predict_example.py").read_text()


def in_study(folder: Path, **data) -> Path:
    """A run in the results of a study, with its metrics and manifest beside it."""
    facts = facts_of(**data)
    run = Run(**facts["run"])
    keys = {key: value for key, value in run.asdict().items() if key != "fold"}
    row = keys | {"metric": "auroc", "value": 0.8, "patients_low": 0.71, "patients_high": 0.86}
    row |= {"bca_low": None, "bca_high": None, "num_scans": 40, "num_positive": 12, "num_resamples": 10}
    rows = [row, row | {"dataset": "lidc_on_b", "value": 0.6}, row | {"seed": 1, "value": 0.9}]
    write_table(pd.DataFrame(rows), folder / "evaluation/metrics.csv", "metrics")
    manifest = {"dataset": "lidc", "description": "Chest CT", "citation": ["Armato et al., 2011"]}
    manifest |= {
        "licence": "CC BY 3.0",
        "version": "1",
        "source": str(folder / "private"),
        "terms": "attribution",
    }
    write_recorded(folder / "download/data_manifest.json", json.dumps({"datasets": [manifest]}))
    return write_run(folder / "training" / run.folder, facts)


def test_the_card_has_metrics_with_intervals_licences_and_limits(tmp_path):
    run = read_trained_run(in_study(tmp_path / "mystudy", published_weights=["i3d_kinetics400"]))
    card = model_card(run, read_study(run))
    assert "| lidc | auroc | 0.800 | 0.710 to 0.860 | 40 | 12 |" in card
    assert "| lidc_on_b | auroc | 0.600 |" in card and "0.900" not in card
    for words in (
        "mystudy",
        "CC BY 3.0",
        "Armato",
        "Carreira",
        "no medical device",
        run.sha256,
        "9, 4 of them",
    ):
        assert words in card
    assert str(tmp_path) not in card and not re.search(r"\b(None|nan)\b|phantom", card)


def test_the_card_of_a_run_on_phantoms_says_so_first(tmp_path):
    run = read_trained_run(write_run(tmp_path / "run", facts_of(phantoms=True, source="phantom_lidc")))
    card = model_card(run, read_study(run))
    assert "phantoms" in card.split("## ")[0]
    assert "No metrics on test patients lay beside the run" in card and "0.750" in card


def test_a_damaged_manifest_is_one_message(tmp_path):
    folder = in_study(tmp_path / "s")
    manifest = tmp_path / "s" / "download/data_manifest.json"
    write_recorded(manifest, "[]")
    with pytest.raises(InputError, match="manifest of a study's data cannot be read"):
        read_study(read_trained_run(folder))
    manifest.write_text('{"datasets": []}')
    with pytest.raises(InputError, match="is not what was written"):
        read_study(read_trained_run(folder))
