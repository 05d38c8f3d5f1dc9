"""``chestct predict``: new scans get the scores that the workflow would give them, or a reason."""

import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_run
from small_run import DISPLAY_WINDOW, SETTINGS, facts_of, write_run, write_scan

from chestct.errors import InputError
from chestct.intensity import HU
from chestct.run import Run
from chestct.subsets.windows import list_windows
from chestct.tables import check_table, read_table, write_table
from chestct.training import predict as workflow
from chestct.training.record import save_weights
from chestct.volume_store import Volume, write_shard
from chestct.volumes.convert_scan import convert_one
from chestct.window_forms import WindowRule
from chestct_command.main import main
from chestct_command.predict import introduction
from chestct_command.trained_run import read_trained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that sees windows of eight slices."""
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    "arguments", [["predict", "run", ""], ["convert", "", "a.nii"], ["convert", "a", ""]]
)
def test_an_empty_path_is_not_this_folder(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "the path is empty" in capsys.readouterr().err


def scores(path: Path) -> pd.DataFrame:
    return check_table(pd.read_csv(path, dtype={"scan": "string"}), "scores", where=path)


def workflow_predictions(folder: Path, run: Path, rule: WindowRule, scans: list[Path]) -> pd.DataFrame:
    """What rules convert_series, list_windows and predict give of scans and a run."""
    folder.mkdir()
    volumes, rows = [], []
    for scan in scans:
        ledger, converted = convert_one(scan, dataset="lidc", size_px=small_run.SIZE)
        names = {key: ledger[key] for key in ("patient_id", "study_id", "series_id")}
        volumes.append(Volume(**names, hu=converted.hu, spacing_mm=converted.spacing_mm, z_mm=converted.z_mm))
        size = dict(zip(("num_slices", "rows", "columns"), converted.hu.shape, strict=True))
        spacing = dict.fromkeys(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), 1.0)
        rows.append({"dataset": "lidc", **names, **size, **spacing, "sha256": volumes[-1].sha256})
    index = pd.DataFrame(rows).assign(store=str(folder / "shard.h5"))
    write_shard(folder / "shard.h5", volumes)
    keys = index[["dataset", "patient_id", "study_id"]].assign(label=1)
    windows = list_windows(keys.assign(num_slices=index["num_slices"], status="used"), None, rule)
    paths = {name: str(folder / f"{name}.csv") for name in ("index", "windows", "splits", "predictions")}
    write_table(index, paths["index"], "index")
    write_table(windows, paths["windows"], "windows")
    write_table(keys.assign(fold=0, split="test"), paths["splits"], "splits")
    facts = read_trained_run(run).facts
    workflow.predict(
        runs=[Run(**facts["run"])],
        weights=[str(run / "weights.safetensors")],
        settings=SETTINGS,
        display_window_hu=DISPLAY_WINDOW,
        intensity=HU,
        window_slices=rule.window,
        index=paths["index"],
        windows=paths["windows"],
        splits=paths["splits"],
        output=paths["predictions"],
        threads=1,
        num_workers=0,
        gpus=0,
    )
    return read_table(paths["predictions"], "predictions")


@pytest.mark.parametrize(
    ("model", "window", "stride"),
    [
        (small_run.MODEL, 8, 4),
        ("efficientnet_lite0_slices", 1, 1),
        ("lrcn_efficientnet_lite0_scan", 10, None),
    ],
)
def test_scores_are_those_of_the_workflow(tmp_path, capsys, model, window, stride):
    folder = write_run(tmp_path / "run", facts_of(model, window, stride))
    scans = [write_scan(tmp_path / f"s{n}.nii.gz", n, seed=n) for n in (5, 19, 24)]
    output = tmp_path / "scores.csv"
    assert main(["predict", str(folder), *map(str, scans), "-o", str(output), "--threads", "1"]) == 0
    table = scores(output)
    rule = WindowRule(window=window, stride=stride, min_positive=1)
    # One by one: which windows share a batch moves scores by rounding.
    parts = [workflow_predictions(tmp_path / scan.stem, folder, rule, [scan]) for scan in scans]
    expected = pd.concat(parts, ignore_index=True)
    assert table["scan"].tolist() == [str(scan) for scan in scans]
    assert table["score"].tolist() == expected["score"].tolist()
    assert expected["score"].nunique() == 3, "the network tells scans apart"
    assert table["num_windows"].tolist() == expected["num_windows"].tolist()
    assert table["top_start"].tolist() == expected["top_start"].tolist()
    assert table["top_stop"].tolist() == np.minimum(expected["top_stop"].astype(int), [5, 19, 24]).tolist()
    np.testing.assert_allclose(table["top_low_mm"], -100 + 2.5 * table["top_start"].astype(float))
    np.testing.assert_allclose(table["top_high_mm"], -102.5 + 2.5 * table["top_stop"].astype(float))


def test_a_refused_scan_has_its_reason_and_does_not_stop_the_others(run, tmp_path, capsys):
    good = write_scan(tmp_path / "good.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.nii.gz").write_text("no volume")
    given = [tmp_path / "gone", tmp_path / "empty", good, tmp_path / "text.nii.gz", good]
    output = tmp_path / "new" / "scores.csv"
    assert main(["predict", str(run), *map(str, given), "-o", str(output)]) == 0
    table, printed = scores(output), capsys.readouterr()
    assert table["scan"].tolist() == [str(path) for path in given], "in the order given"
    assert table["status"].tolist() == ["refused", "refused", "scored", "refused", "scored"]
    assert table["reason"].tolist()[:2] == ["missing_files", "no_dicom_files"]
    assert table.loc[2, "score"] == table.loc[4, "score"]
    assert table.loc[[0, 1, 3], "score"].isna().all() and table.loc[[0, 1, 3], "detail"].notna().all()
    assert len(printed.out.splitlines()) == 5 and "refused" in printed.out.splitlines()[0]
    assert "2 of 5 scans scored" in printed.err and "A high score means: nodule" in printed.err


def test_the_program_failing_on_a_scan_is_a_reason_too(run, tmp_path, monkeypatch):
    good, bad = write_scan(tmp_path / "good.nii.gz"), write_scan(tmp_path / "bad.nii.gz", seed=1)

    def convert(path, **settings):
        if path == str(bad):
            raise ZeroDivisionError("odd")
        return convert_one(path, **settings)

    monkeypatch.setattr("chestct_command.predict.convert_one", convert)
    output = tmp_path / "scores.csv"
    assert main(["predict", str(run), str(bad), str(good), "-o", str(output)]) == 0
    assert scores(output)["reason"].tolist()[0] == "unexpected_error"
    assert "ZeroDivisionError: odd" in scores(output)["detail"][0]


def test_nothing_scored_is_exit_status_1_and_a_stopped_call_keeps_its_rows(
    run, tmp_path, monkeypatch, capsys
):
    assert main(["predict", str(run), str(tmp_path / "gone")]) == 1
    scan, asked = write_scan(tmp_path / "scan.nii.gz"), []

    def convert(path, **settings):
        asked.append(path)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return convert_one(path, **settings)

    monkeypatch.setattr("chestct_command.predict.convert_one", convert)
    output = tmp_path / "scores.csv"
    assert main(["predict", str(run), *[str(scan)] * 3, "-o", str(output)]) == 130
    assert len(scores(output)) == 1 and "stopped after 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scores.txt", "scan.csv", "folder.csv"])
def test_a_table_takes_the_place_of_nothing_that_was_given(run, tmp_path, capsys, name):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "scan.csv").write_text("mine")
    given = ["predict", str(run), str(tmp_path / "scan.csv"), "-o", str(tmp_path / name)]
    assert main(given) == 1
    assert "this is not a table that can be written" in capsys.readouterr().err
    assert (tmp_path / "scan.csv").read_text() == "mine"


def test_a_table_that_cannot_be_written_is_told_before_anything_is_scored(run, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    given = ["predict", str(run), str(tmp_path / "gone"), "-o", str(tmp_path / "file" / "scores.csv")]
    assert main(given) == 1
    said = capsys.readouterr()
    assert "a file cannot be written" in said.err and said.out == ""


def test_a_gpu_that_is_not_there_is_said(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["predict", str(run), str(tmp_path), "--gpu"]) == 1
    assert "finds no GPU" in capsys.readouterr().err


def test_every_run_that_cannot_be_used_ends_in_one_message(tmp_path, capsys):
    def message(folder: Path) -> str:
        with pytest.raises(InputError) as caught:
            read_trained_run(folder)
        assert "delete" not in str(caught.value)
        return str(caught.value)

    place = tmp_path / "results/s/training/lidc/swin_narrow/scratch/percent-100/seed-0/fold-0"
    write_run(place)
    for folder in (tmp_path, tmp_path / "results", place.parent, place.parents[2]):
        assert str(place) in message(folder), "a run below the folder is named"
    assert "no such folder" in message(tmp_path / "other")
    weights = place / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "is not what was written" in message(place)
    assert "frozen probe" in message(write_run(tmp_path / "probe", facts_of() | {"holds": "head"}))
    assert "do not say how they were trained" in message(_with_header(tmp_path / "silent", {}))
    other = facts_of()
    other["run"]["model"] = "gone"
    assert "no such model 'gone'" in message(_with_header(tmp_path / "gone", other))
    other = facts_of()
    other["model"]["slice_step"] = 2
    assert "no such model 'swin_narrow'" in message(_with_header(tmp_path / "step", other))
    assert main(["predict", str(tmp_path / "probe"), str(tmp_path)]) == 1
    assert "frozen probe" in capsys.readouterr().err


def _with_header(folder: Path, facts: dict) -> Path:
    """A folder whose weights hold nothing but a header."""
    save_weights({}, folder / "weights.safetensors", facts)
    return folder


def test_facts_that_lack_something_are_another_version_s(tmp_path):
    whole = facts_of()
    number = 0
    for part in (None, *(name for name, value in whole.items() if isinstance(value, dict))):
        for name in whole if part is None else whole[part]:
            facts = facts_of()
            del (facts if part is None else facts[part])[name]
            number += 1
            folder = _with_header(tmp_path / str(number), facts)
            try:
                run = read_trained_run(folder)
            except InputError as error:
                assert "remedy" in str(error)
            else:  # what no command reads may lack
                assert introduction(run) and str(run)
    assert number > 40


def test_whoever_reads_scores_is_told_what_they_are(tmp_path):
    facts = facts_of(num_folds=3, phantoms=True)
    facts["run"]["fold"] = 1
    facts["started_from"] = {"words": "generated motion clips", "sha256": "0" * 64, "stand_in": True}
    told = "\n".join(introduction(read_trained_run(_with_header(tmp_path, facts))))
    for words in ("fold 2 of 3", "phantoms", "stand in", "generated motion clips", "no diagnosis"):
        assert words in told
    assert str(tmp_path) not in told
