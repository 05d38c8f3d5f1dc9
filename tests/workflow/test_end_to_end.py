"""The smoke study from phantoms to report, and what reruns when something changes."""

import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import yaml
from snakemake.utils import update_config

from chestct.dataset_entries import outside_sets
from chestct.run import Run
from chestct.run_grid import list_runs
from chestct.tables import read_table
from tests.workflow.project import clean_environment

RESULTS = "results/smoke"


def resolved(project):
    """The smoke study's configuration: config.yaml with the overlay's lists and blocks."""
    names = ("config.yaml", "studies/smoke.yaml")
    config, overlay = (yaml.safe_load((project.folder / name).read_text()) for name in names)
    update_config(config, overlay)
    return config


def test_every_run_has_metrics_with_an_interval_around_the_value(smoke):
    metrics = read_table(smoke.folder / RESULTS / "evaluation/metrics.csv", "metrics")
    auroc = metrics[metrics["metric"] == "auroc"]
    keys = ["dataset", "model", "init", "percent", "seed"]
    config = resolved(smoke)
    expected = {tuple(run.asdict()[key] for key in keys) for run in list_runs(config)}
    for outside in outside_sets(config["datasets"]):
        expected |= {(outside.name, *key[1:]) for key in expected if key[0] == outside.trained}
    assert {"lidc_phantom_smoke_on_lidc_phantom_b_smoke"} < {key[0] for key in expected}
    of_runs = auroc[auroc["init"] != "none"]  # the others have seen no image, and are no runs
    assert set(of_runs[keys].itertuples(index=False, name=None)) == expected
    assert auroc["value"].between(0, 1).all()
    assert (auroc["patients_low"] <= auroc["value"]).all()
    assert (auroc["value"] <= auroc["patients_high"]).all()


def test_comparisons_figures_and_report_are_there(smoke):
    folder = smoke.folder / RESULTS
    contrasts = set(read_table(folder / "evaluation/comparisons.csv", "comparisons")["contrast"])
    assert {"video - scratch", "video - ct"} <= contrasts
    assert list((folder / "figures").glob("*.png"))
    report = (folder / "report.html").read_text()
    assert "stand-in" in report.lower()
    assert str(smoke.folder) not in report


def test_predictions_score_held_out_patients_only(smoke):
    folder = smoke.folder / RESULTS
    for path in (folder / "training").glob("*/*/predictions.csv"):
        predictions = read_table(path, "predictions")
        dataset = predictions["dataset"].iloc[0]
        splits = read_table(folder / f"subsets/{dataset}/splits.csv", "splits")
        train = set(splits.loc[splits["split"] == "train", "patient_id"])
        assert train.isdisjoint(predictions["patient_id"])
        test = splits.loc[splits["split"] == "test", "study_id"]
        scored = predictions[predictions["split"] == "test"]
        for _, run in scored.groupby(["init", "percent", "seed", "fold"]):
            assert sorted(run["study_id"]) == sorted(test)


def test_a_scanner_that_no_model_has_seen_is_a_test_set_like_others(smoke):
    folder, name = smoke.folder / RESULTS, "lidc_phantom_smoke_on_lidc_phantom_b_smoke"
    splits = read_table(folder / f"subsets/{name}/splits.csv", "splits")
    theirs = read_table(folder / "subsets/lidc_phantom_b_smoke/splits.csv", "splits")
    assert set(theirs["split"]) == {"test"}
    assert set(splits.loc[splits["split"] == "test", "study_id"]) == set(theirs["study_id"])
    makers = read_table(folder / "volumes/lidc_phantom_b_smoke/acquisition.csv", "acquisition")
    assert set(makers["manufacturer"]) == {"WEST PHANTOMS"}
    claims = read_table(folder / "evaluation/claims.csv", "claims")
    assert (
        claims["datasets"]
        .dropna()
        .str.split(";")
        .explode()
        .isin(["rspect_phantom_smoke", "lidc_phantom_smoke"])
        .all()
    )
    report = (folder / "report.html").read_text()
    assert "its models are tested on lidc_phantom_b_smoke too" in report
    assert not (folder / "training/lidc_phantom_b_smoke").exists()


def test_a_manufacturer_is_left_out_of_training(smoke):
    folder = smoke.folder / RESULTS
    splits = read_table(folder / "subsets/rspect_phantom_smoke/splits.csv", "splits")
    acquisition = read_table(folder / "volumes/rspect_phantom_smoke/acquisition.csv", "acquisition")
    makers = splits["study_id"].map(acquisition.set_index("study_id")["manufacturer"])
    assert (makers.eq("EAST PHANTOMS") == splits["split"].eq("test")).all()
    assert splits["split"].nunique() == 3


def test_metrics_lead_back_to_their_origin(smoke):
    runs = read_table(smoke.folder / RESULTS / "training/runs.csv", "runs")
    assert len(runs) == len(list_runs(resolved(smoke)))
    digests = ["config_digest", "code_digest", "data_digest", "final_weights_sha256"]
    assert (runs[digests].astype(str).map(len) >= 16).all(axis=None)
    ct = runs[runs["init"] == "ct"]
    source = runs[(runs["init"] == "scratch") & (runs["percent"] == 100) & (runs["model"] == "swin_narrow")]
    assert set(ct["initial_weights_sha256"]) <= set(source["final_weights_sha256"])
    assert (runs.loc[runs["init"].isin(["video", "ct"]), "initial_stand_in"] == 1).all()
    assert (runs.loc[runs["init"] == "imagenet", "initial_weights"].notna()).all()


def test_a_new_scan_gets_the_score_and_the_window_that_the_study_gives_it(smoke, tmp_path):
    dataset, model = "lidc_phantom_smoke", "swin_narrow"
    run = Run(dataset=dataset, model=model, init="video", percent=100, seed=0, fold=0)
    predictions = read_table(
        smoke.folder / RESULTS / f"training/{dataset}/{model}/predictions.csv", "predictions"
    )
    chosen = (predictions[list(run.asdict())] == pd.Series(run.asdict())).all(axis=1)
    expected = predictions[chosen & (predictions["split"] == "test")].head(3)
    series = read_table(smoke.folder / f"data/{dataset}/series.csv", "series").set_index("study_id")
    scans = [f"data/{dataset}/{path}" for path in series.loc[expected["study_id"], "path"]]
    folder, output = f"{RESULTS}/training/{run.folder}", tmp_path / "scores.csv"
    smoke.python("-m", "chestct_command", "predict", folder, *scans, "-o", str(output), "--threads", "1")
    scores = pd.read_csv(output)
    assert len(scores) == 3 and (scores["status"] == "scored").all()
    np.testing.assert_allclose(scores["score"], expected["score"], atol=1e-6)
    for column in ("num_windows", "top_start", "top_stop"):
        assert scores[column].tolist() == expected[column].tolist()


def test_the_plan_counts_the_jobs_of_the_study(smoke):
    counts = smoke.cost_plan("smoke")
    assert not any(to_do for _, to_do in counts.values())
    counts = {rule: jobs for rule, (jobs, _) in counts.items()}
    shards = list((smoke.folder / "data").glob("*/shards/shard-*.csv"))
    assert counts.pop("download_series") == counts.pop("convert_series") == len(shards) == 5
    # Where everything is done anew, Snakemake learns of the shards' jobs later.
    assert counts == smoke.planned("--forceall")


def test_a_killed_run_resumes_to_the_same_predictions(smoke, tmp_path):
    project = smoke.copy(tmp_path / "project")
    arm = f"{RESULTS}/training/rspect_phantom_smoke/swin_narrow"
    predictions, run = f"{arm}/predictions.csv", project.folder / arm / "scratch"
    # What the run that is killed makes first, so that it has something to leave as it is.
    subset = project.folder / RESULTS / "subsets/rspect_phantom_smoke/percent-50/seed-0/subset.csv"
    for path in (subset, project.folder / predictions):
        path.unlink()
    shutil.rmtree(run)
    process = subprocess.Popen(
        project.command(predictions),
        cwd=project.folder,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 600
    while not (run / "percent-50").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    project.ask("--unlock")
    output = project.run(predictions).stdout
    assert "sample_subset" not in output and "finetune" in output
    one, other = (pd.read_csv(p.folder / predictions) for p in (smoke, project))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
