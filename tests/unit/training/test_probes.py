"""Frozen probes: features once a network, a head for every run, scores without the network."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from engine_data import RUN, SCRATCH, WINDOW, history, make_job, record, train, weights, windows, write_data
from probe_jobs import PROBE, extract, features_job, fit, predict
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from chestct import records, tables
from chestct.errors import InputError
from chestct.training import predict as networks
from chestct.training import start
from chestct.training.probes.features import read_features
from chestct.training.probes.heads import STRENGTHS, fit_heads, window_weights
from chestct.training.record import save_weights
from chestct.training.windows.dataset import Scan, drawn_parts

FILES = {"weights.safetensors", "history.csv", "run.csv", "config.yaml"}


@pytest.fixture(scope="module")
def features(data, tmp_path_factory):
    """Path of the features of a random network."""
    return extract(data, tmp_path_factory.mktemp("features") / "features-seed-0.safetensors")


@pytest.fixture(scope="module")
def fitted(data, features, tmp_path_factory):
    """Folder of a fitted run."""
    return fit(data, features, tmp_path_factory.mktemp("fitted"))[0]


def composed(data, features, folder, output):
    """Predictions of the network with the run's head, by the way of trained networks."""
    job = features_job(data)
    model, _ = start.build_network(
        job.model, job.init, SCRATCH, num_slices=8, size_px=32, seed=job.network_seed
    )
    found = model.load_state_dict(weights(folder), strict=False)
    assert not found.unexpected_keys
    save_file(model.state_dict(), output.with_suffix(".safetensors"))
    records.record(output.with_suffix(".safetensors"))
    networks.predict(
        runs=[PROBE],
        weights=[str(output.with_suffix(".safetensors"))],
        settings=make_job(data).settings,
        display_window_hu=WINDOW,
        intensity="hu",
        window_slices=8,
        **{name: data[name] for name in ("index", "windows", "splits")},
        output=str(output),
        threads=1,
        num_workers=0,
        gpus=0,
    )
    return tables.read_table(output, "predictions")


def test_a_run_leaves_head_curve_record_and_configuration(fitted):
    assert {path.name for path in fitted.glob("[!.]*")} == FILES
    assert {name: tuple(value.shape) for name, value in weights(fitted).items()} == {
        "blocks.5.proj.weight": (1, 256),
        "blocks.5.proj.bias": (1,),
    }
    curve, row = history(fitted), record(fitted)
    assert curve["l2_strength"].tolist() == list(STRENGTHS)
    assert curve["learning_rate"].isna().all()
    assert row["validation_auroc"] == curve["validation_auroc"].max()
    # Of equal ones the strongest penalty.
    assert row["l2_strength"] == curve.loc[curve["validation_auroc"].idxmax(), "l2_strength"]
    assert (row["num_scans"], row["num_positive"], row["windows_seen"]) == (12, 6, 24)
    assert row[["learning_rate", "num_steps", "budget_windows", "best_step"]].isna().all()
    assert row["num_parameters"] > 1000
    assert pd.isna(row["initial_weights"])


def test_scores_are_those_of_the_network_with_this_head(data, features, fitted, tmp_path):
    found = predict(data, features, [fitted], tmp_path / "found.csv")
    expected = composed(data, features, fitted, tmp_path / "expected.csv")
    np.testing.assert_allclose(found["score"], expected["score"], atol=2e-5)
    pd.testing.assert_frame_equal(found.drop(columns="score"), expected.drop(columns="score"))
    valid = found[found["split"] == "validation"]
    positive, negative = (valid.loc[valid["label"] == label, "score"].to_numpy() for label in (1, 0))
    above = np.subtract.outer(positive, negative)
    auroc = ((above > 0) + 0.5 * (above == 0)).mean()
    assert auroc == pytest.approx(record(fitted)["validation_auroc"])
    assert auroc > 0.9, "bright scans are positive"


def test_a_second_run_gives_equal_files_but_for_times(data, features, fitted, tmp_path):
    again = extract(data, tmp_path / "features.safetensors")
    assert torch.equal(read_features(again).values, read_features(features).values)
    folder = fit(data, again, tmp_path)[0]
    for name in ("weights.safetensors", "history.csv", "config.yaml"):
        assert (folder / name).read_bytes() == (fitted / name).read_bytes()
    measured = ["seconds", "windows_per_second", "peak_memory_mb"]
    pd.testing.assert_series_equal(record(folder).drop(measured), record(fitted).drop(measured))


@pytest.mark.parametrize("batch", [1, 5])
def test_features_do_not_depend_on_how_many_windows_are_computed_at_once(data, features, tmp_path, batch):
    settings = replace(features_job(data).settings, windows_at_once=batch)
    found = read_features(extract(data, tmp_path / "features.safetensors", settings=settings))
    np.testing.assert_allclose(found.values, read_features(features).values, atol=1e-5)


def test_a_random_network_is_one_a_seed(data, features, tmp_path):
    other = read_features(extract(data, tmp_path / "features.safetensors", seed=1))
    assert not torch.allclose(other.values, read_features(features).values, atol=1e-3)
    # The first network is drawn from the dataset, model and seed alone.
    assert features_job(data).network_seed == features_job(data, init="other").network_seed


def test_loaded_weights_give_the_features_and_are_recorded(data, features, tmp_path):
    run = replace(RUN, model="slow_narrow")
    base = train(make_job(data, budget=windows(24)), tmp_path / "base", run=run)
    initial = SCRATCH | {"path": str(base / "weights.safetensors"), "words": "the run before"}
    path = extract(data, tmp_path / "features.safetensors", init="ct", initial=initial)
    # Nothing is left to a seed.
    same = extract(data, tmp_path / "same.safetensors", init="ct", initial=initial, seed=5)
    assert torch.equal(read_features(path).values, read_features(same).values)
    assert not torch.allclose(read_features(path).values, read_features(features).values, atol=1e-3)
    folder = fit(data, path, tmp_path, [replace(PROBE, init="ct")])[0]
    row = record(folder)
    assert row["initial_weights"] == "the run before"
    assert row["initial_weights_sha256"] == record(base)["final_weights_sha256"]
    wrong = initial | {"sha256": "0" * 64}
    with pytest.raises(InputError, match="SHA-256"):
        extract(data, tmp_path / "wrong.safetensors", init="ct", initial=wrong)
    assert not (tmp_path / "wrong.safetensors").exists()


def test_all_runs_of_an_arm_are_fitted_and_scored_in_their_order(data, features, fitted, tmp_path):
    runs = [replace(PROBE, seed=seed) for seed in (0, 1, 2)]
    copy = shutil.copy(features, tmp_path / "a-copy.safetensors")
    records.record(copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: 0.0)  # the fits themselves take no time
        folders = fit(data, [features, str(copy), features], tmp_path, runs)
    assert [record(folder)["seed"] for folder in folders] == [0, 1, 2]
    assert all(torch.equal(value, weights(folders[1])[name]) for name, value in weights(fitted).items())
    table = predict(data, features, folders, tmp_path / "p.csv", runs)
    assert table["seed"].tolist() == [0] * 12 + [1] * 12 + [2] * 12
    # What runs share is counted once; records round to two places.
    whole = read_features(features).facts["seconds"]
    shares = [whole / 2, whole, whole / 2]
    assert [record(folder)["seconds"] for folder in folders] == pytest.approx(shares, abs=0.00501)


def test_a_subset_of_one_class_is_refused(data, features, tmp_path):
    subset = tables.read_table(data["subset"], "subset")
    positive = subset["study_id"].str[1:].astype(int) % 2 == 1
    tables.write_table(subset[positive | (subset["split"] != "train")], tmp_path / "subset.csv", "subset")
    with pytest.raises(InputError, match="training subset holds 6 positive and 0 negative"):
        fit(data | {"subset": str(tmp_path / "subset.csv")}, features, tmp_path)
    assert not (tmp_path / "run-0").exists()


def test_features_of_other_windows_are_refused(data, features, fitted, tmp_path):
    table = tables.read_table(data["windows"], "windows")
    path = str(tmp_path / "windows.parquet")
    tables.write_table(table.assign(start=table["start"] + 1, stop=table["stop"] + 1), path, "windows")
    with pytest.raises(InputError, match="features are of other windows"):
        fit(data | {"windows": path}, features, tmp_path)
    with pytest.raises(InputError, match="features are of other windows"):
        predict(data | {"windows": path}, features, [fitted], tmp_path / "p.csv")


def test_damaged_features_and_weights_of_a_whole_network_are_refused(data, features, trained, tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(features).read_bytes()[:5000])
    with pytest.raises(InputError, match="file of features has no record"):
        fit(data, str(broken), tmp_path)
    records.record(broken)
    with pytest.raises(InputError, match="cannot be read"):
        fit(data, str(broken), tmp_path)
    with pytest.raises(InputError, match="weights are those of another run"):
        predict(data, features, [trained], tmp_path / "p.csv")
    save_weights(load_file(trained / "weights.safetensors"), tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="the head of a probe and nothing else"):
        predict(data, features, [tmp_path], tmp_path / "p.csv")


def test_scans_outside_are_scored_from_features_of_their_own(data, features, fitted, tmp_path):
    own = predict(data, features, [fitted], tmp_path / "own.csv")
    folder = tmp_path / "theirs"
    folder.mkdir()
    theirs = write_data(folder, num_scans=8)
    splits = tables.read_table(theirs["splits"], "splits").assign(split="test", dataset="d_on_theirs")
    kept = tables.read_table(data["splits"], "splits").query("split == 'validation'")
    path = str(folder / "outside.csv")
    tables.write_table(pd.concat([kept.assign(dataset="d_on_theirs"), splits]), path, "splits")
    outside = theirs | {"splits": path}
    found = extract(outside, tmp_path / "features.safetensors", outside=True)
    assert len(read_features(found).rows) == 8
    table = predict(
        outside,
        found,
        [fitted],
        tmp_path / "outside.csv",
        outside="d_on_theirs",
        own_predictions=str(tmp_path / "own.csv"),
    )
    assert set(table["dataset"]) == {"d_on_theirs"}
    assert table.groupby("split").size().to_dict() == {"test": 8, "validation": 6}
    valid = own.loc[own["split"] == "validation", "score"].tolist()
    assert table.loc[table["split"] == "validation", "score"].tolist() == valid


# --- Heads


def made_up(num_windows, num_features, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_windows) % 2
    features = rng.normal(3, 2, (num_windows, num_features)) * rng.uniform(0.1, 10, num_features)
    return torch.tensor(features, dtype=torch.float32), labels


def auroc(head, features, labels):
    above = np.subtract.outer(*(head.logits(features).numpy()[labels == label] for label in (1, 0)))
    return (above > 0).mean()


def test_a_head_is_the_librarys_regression_on_standardised_features():
    features, labels = made_up(60, 7)
    weighted = np.where(labels == 1, 1.0, 3.0) / 120
    heads = dict(fit_heads(features, labels.tolist(), weighted.tolist()))
    assert list(heads) == list(STRENGTHS)
    x = features.double().numpy()
    mean = np.average(x, axis=0, weights=weighted)
    standard = (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weighted))
    for strength, head in heads.items():
        model = LogisticRegression(C=1 / (60 * strength), tol=1e-9, max_iter=10_000)
        model.fit(standard, labels, sample_weight=60 * weighted)
        np.testing.assert_allclose(
            head.logits(features), model.decision_function(standard), atol=2e-3, rtol=1e-3
        )


def test_constant_features_get_no_weight():
    features, labels = made_up(40, 5)
    features[:, 1], features[:, 3] = 7.0, 0.0
    features[0, 1] = torch.nextafter(torch.tensor(7.0), torch.tensor(8.0))
    for _, head in fit_heads(features, labels.tolist(), [1 / 40] * 40):
        assert head.weight[[1, 3]].tolist() == [0, 0]
        assert torch.isfinite(head.weight).all()


def test_what_can_be_learnt_is_learnt_and_permuted_labels_teach_nothing():
    features, labels = made_up(400, 30)
    features[:, 0] += torch.tensor(labels) * features[:, 0].std()
    rng = np.random.default_rng(1)
    found, permuted = [], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(400)
        half, rest = order[:200], order[200:]
        for values, taught in ((found, labels[half]), (permuted, rng.permutation(labels[half]))):
            for _, head in fit_heads(features[half], taught.tolist(), [1 / 200] * 200):
                values.append(auroc(head, features[rest], labels[rest]))
    assert np.mean(found) > 0.65
    assert abs(np.mean(permuted) - 0.5) < 0.06


def scan(name, label, window_labels):
    starts = tuple(range(len(window_labels)))
    return Scan(
        patient_id=name,
        study_id=name,
        label=label,
        store="",
        starts=starts,
        stops=starts,
        window_labels=tuple(window_labels),
    )


def test_windows_are_weighted_as_training_draws_them():
    scans = [scan("a", 1, [0, 1, 1]), scan("b", 0, [0]), scan("c", 0, [0, 0])]
    of_scans = window_weights(drawn_parts(scans, "slow_narrow_probe", "negative_scans"))
    assert of_scans == [(0, 1, 1 / 4), (0, 2, 1 / 4), (1, 0, 1 / 4), (2, 0, 1 / 8), (2, 1, 1 / 8)]
    parts = drawn_parts(scans, "slow_narrow_probe", "all_scans")
    of_windows = window_weights(parts)
    assert len(of_windows) == 6
    assert sum(weight for *_, weight in of_windows) == pytest.approx(1)
    positive = sum(weight for part, _, weight in of_windows if parts[part].label)
    assert positive == pytest.approx(0.5)
