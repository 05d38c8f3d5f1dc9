"""Scans outside the training set are scored like test scans; scores of validation scans are taken over."""

import pandas as pd
from engine_data import RUN, SETTINGS, WINDOW, score, write_data

from chestct.intensity import HU
from chestct.tables import read_table, write_table
from chestct.training import predict


def test_outside_scans_are_scored_and_validation_scores_taken_over(data, trained, tmp_path):
    own = score(data, trained, tmp_path / "own.csv")
    folder = tmp_path / "theirs"
    folder.mkdir()
    theirs = write_data(folder, num_scans=8)
    splits = pd.concat(
        [
            read_table(data["splits"], "splits").query("split == 'validation'"),
            read_table(theirs["splits"], "splits").assign(split="test"),
        ]
    ).assign(dataset="d_on_theirs")
    write_table(splits, folder / "outside.csv", "splits")
    predict.predict(
        runs=[RUN],
        weights=[str(trained / "weights.safetensors")],
        settings=SETTINGS,
        display_window_hu=WINDOW,
        intensity=HU,
        window_slices=8,
        index=theirs["index"],
        windows=theirs["windows"],
        splits=str(folder / "outside.csv"),
        output=str(tmp_path / "outside.csv"),
        threads=1,
        num_workers=0,
        gpus=0,
        outside="d_on_theirs",
        own_predictions=str(tmp_path / "own.csv"),
        window_scores=str(tmp_path / "window_scores.parquet"),
    )
    scores = read_table(tmp_path / "window_scores.parquet", "window_scores")
    assert set(scores["dataset"]) == {"d_on_theirs"} and scores["study_id"].nunique() == 8
    found = read_table(tmp_path / "outside.csv", "predictions")
    assert set(found["dataset"]) == {"d_on_theirs"}
    tested = found[found["split"] == "test"]
    assert sorted(tested["study_id"]) == [f"s{number:02d}" for number in range(8)]
    assert tested["score"].between(0, 1).all()
    kept = found[found["split"] == "validation"].drop(columns="dataset").reset_index(drop=True)
    expected = own[own["split"] == "validation"].drop(columns="dataset").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, expected, check_exact=True)
