"""Windows, jobs and hours that a plan counts."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from planned_jobs import ARM, RULES, RUN, job, study_jobs

from chestct.errors import InputError
from chestct.plan import text
from chestct.plan.cost import (
    count_windows,
    hours_of_jobs,
    longest_chain,
    windows_of_run,
)
from chestct.plan.device_hours import device_lines
from chestct.plan.scans import ASSUMED_SLICES, PUBLISHED, Scans, count_scans
from chestct.plan.speeds import read_speeds
from chestct.records import record, write_recorded
from chestct.run import Run
from chestct.run_grid import list_runs, selection_run, training_settings
from chestct.subsets.windows import window_starts
from chestct.tables import read_table
from chestct.training.budget import num_training_steps
from chestct.training.compile_choice import THROUGHPUT
from chestct.training.measure.prediction_speed import with_prediction

ROOT = Path(__file__).resolve().parents[3]


def scans(num_scans=1000, slices=240.0):
    return Scans(num_scans=num_scans, slices=slices, num_bytes=1e9, num_shards=3, origin="test")


def test_the_modules_that_every_job_imports_are_quick_to_import():
    rules = [*(ROOT / "rules").glob("*.smk"), ROOT / "Snakefile"]
    lines = re.findall(r"^(?:import|from) (chestct[\w.]*)", "\n".join(map(Path.read_text, rules)), re.M)
    program = (
        "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, *lines], capture_output=True, text=True, check=True)
    assert "chestct.plan.scans" in done.stdout.split()
    assert not {"torch", "scipy", "sklearn", "matplotlib"} & set(done.stdout.split())


@pytest.mark.parametrize("num_slices", [1, 16, 32, 33, 48, 49, 240, 246])
@pytest.mark.parametrize(("window", "stride"), [(32, 16), (16, 8), (32, 19)])
def test_windows_of_a_scan_are_those_of_the_window_table(num_slices, window, stride):
    subsets = {"window_slices": window, "window_stride": stride, "min_positive_slices": 1}
    assert scans(slices=float(num_slices)).windows(subsets) == len(window_starts(num_slices, window, stride))


@pytest.mark.parametrize("folds", [1, 5])
def test_every_scan_is_in_one_split(paper, folds):
    paper["subsets"]["folds"] = folds
    parts = {name: scans().split(name, paper["subsets"]) for name in ("train", "validation", "test")}
    assert sum(parts.values()) == pytest.approx(1000, abs=1)
    assert parts["test"] == (150 if folds == 1 else 200)


@pytest.mark.parametrize(("sees", "expected"), [("slice", 240), ("scan", 1), ("window", 14)])
def test_what_covers_a_scan_depends_on_what_a_model_sees(paper, sees, expected):
    assert scans().windows(paper["subsets"], sees) == expected


def test_slices_and_scans_are_counted_as_what_they_are(paper):
    jobs = [
        job(rule, dataset="lidc", model=model, **more)
        for model in ("resnet18_slices", "lrcn_resnext101_32x8d_scan")
        for rule, more in (("finetune", {"init": "imagenet", **RUN}), ("predict", {}))
    ]
    found = count_windows(paper, {"lidc": scans()}, jobs)
    runs = 3 * 5 * 3  # three starts, five percents, three seeds
    settings = [training_settings(paper, name) for name in ("resnet18_slices", "lrcn_resnext101_32x8d_scan")]
    validations = [one.num_validations for one in settings]
    of_slices, of_scans = [validations[0] * 150 * 240, runs * 300 * 240], [validations[1] * 150, runs * 300]
    assert (found["score"] + found["predict"]).tolist() == [*of_slices, *of_scans]
    assert (found["predict"] > 0).tolist() == [False, True] * 2


def test_speeds_are_those_of_what_a_model_sees(paper):
    speeds = read_speeds(paper)["NVIDIA A100"]
    assert speeds["train"]["resnet18_slices"] == pytest.approx(32 * speeds["train"]["resnet18"], rel=0.01)
    shorter = read_speeds(paper | {"subsets": paper["subsets"] | {"scan_slices": 100}})["NVIDIA A100"]
    assert "lrcn_resnext101_32x8d_scan" in speeds.index
    assert "lrcn_resnext101_32x8d_scan" not in shorter.index


def test_a_run_trains_its_steps_and_scores_every_validation(paper):
    run = Run(dataset="lidc", model="slow_r50", init="video", percent=10, seed=0, fold=0)
    train, score = windows_of_run(paper, scans(), run)
    # 70 of 700 training scans; 366 windows a scan, rounded up to 50 equal parts of whole steps of 16 windows.
    assert train == 16 * 50 * math.ceil(70 * 366 / (16 * 50))
    assert score == 50 * 150 * len(window_starts(240, 32, 16))
    longer = windows_of_run(paper, scans(), replace(run, init="scratch_long"))
    assert longer == (6 * train, 6 * score)
    train, _ = windows_of_run(paper, scans(), replace(run, percent=1))
    assert train == 16_000, "at least"
    train, _ = windows_of_run(paper, scans(), replace(run, percent=100))
    assert train == 16 * 50 * math.ceil(700 * 366 / (16 * 50))
    assert num_training_steps(700, training_settings(paper, "slow_r50")) * 16 == train


def test_every_job_counts_the_windows_of_its_runs(paper):
    jobs = [
        job("pretrain", model="slow_narrow"),
        job("try_learning_rates", rate="0.001", **ARM),
        job("choose_learning_rate", **ARM),
        job("finetune", **ARM, **RUN),
        job("predict", dataset="lidc", model="slow_r50"),
        job("list_series", dataset="lidc"),
    ]
    found = count_windows(paper, {"lidc": scans()}, jobs)
    clips = paper["training"]["pretraining"]
    num_runs = sum((run.dataset, run.model) == ("lidc", "slow_r50") for run in list_runs(paper))
    assert list(found[["train", "score", "predict"]].itertuples(index=False, name=None)) == [
        (clips["num_clips"] * clips["epochs"], 0, 0),
        (*windows_of_run(paper, scans(), selection_run(paper, *ARM.values())), 0),
        (0, 0, 0),
        (*windows_of_run(paper, scans(), Run(**ARM, percent=10, seed=0, fold=0)), 0),
        (0, 0, num_runs * 300 * len(window_starts(240, 32, 16))),
        (0, 0, 0),
    ]


def test_a_probe_costs_one_pass_over_all_scans_a_network(paper):
    arm = {"dataset": "lidc", "model": "slow_r50_probe", "init": "video"}
    jobs = [job("extract_features", point="shared", **arm), job("fit_probes", **arm), job("predict_probes")]
    found = count_windows(paper, {"lidc": scans()}, jobs)
    assert found["train"].tolist() == [0, 0, 0]
    assert found["predict"].tolist() == [1000 * len(window_starts(240, 32, 16)), 0, 0]


def test_hours_follow_from_speeds():
    speeds = pd.DataFrame({"train": [10.0], "score": [40.0], "predict": [20.0]}, index=["m"])
    rows = [
        ("m", 36_000.0, 144_000.0, 0.0),
        ("other", 1.0, 0.0, 0.0),
        ("m", 1.0, math.nan, 0.0),
        (None, 0.0, 0.0, 0.0),
        ("m", 0.0, 0.0, 144_000.0),
    ]
    hours = hours_of_jobs(pd.DataFrame(rows, columns=["model", "train", "score", "predict"]), speeds)
    assert hours.tolist() == pytest.approx([2.0, math.nan, math.nan, 0.0, 2.0], nan_ok=True)
    assert longest_chain([job("a"), job("b")], [2.0, 2.0]) == 2.0
    assert longest_chain([job("a", after=(1,)), job("b")], [2.0, 2.0]) == 4.0


def test_a_probe_computes_features_as_fast_as_its_model_scores(paper):
    speeds = read_speeds(paper)["NVIDIA A100"]
    assert speeds["predict"]["penet_probe"] == speeds["predict"]["penet"] == speeds["score"]["penet"] / 2 > 0
    other = read_speeds(paper | {"subsets": paper["subsets"] | {"window_slices": 31}})["NVIDIA A100"]
    assert "penet" not in other.index


def test_what_is_listed_counts_instead_of_what_is_published(paper, tmp_path):
    entry = {"name": "lidc", "source": "lidc_idri", "from": "idc"}
    assert count_scans(paper, entry).num_scans == PUBLISHED["lidc_idri"][0]
    assert count_scans(paper, entry | {"patients": ["a", "b"]}).num_scans == 2
    (tmp_path / "lidc").mkdir()
    rows = [f"lidc,p{i},s{i},x{i},folder,{100 + i},1000,{i // 2}" for i in range(5)]
    header = "dataset,patient_id,study_id,series_id,path,num_instances,num_bytes,shard"
    (tmp_path / "lidc" / "series.csv").write_text("\n".join([header, *rows]) + "\n")
    record(tmp_path / "lidc" / "series.csv")
    known = count_scans(paper, entry)
    assert (known.num_scans, known.slices, known.num_bytes, known.num_shards) == (5, 102.0, 5000.0, 3)
    (tmp_path / "lidc" / "series.csv").write_text("nothing\n")
    with pytest.raises(InputError, match="series"):
        count_scans(paper, entry)


def test_the_text_holds_jobs_hours_and_disk(paper):
    plan = text.plan_text(paper, RULES, study_jobs(paper))
    assert "1,725 runs of 21 models" in plan
    assert "272 trials of 4 learning rates" in plan
    for line in ("NVIDIA A100", "mvit_base_32x3_probe", "volumes", "CPU hours"):
        assert line in plan
    rows = [line.split() for line in plan.splitlines()]
    assert ["convert_series", "208", "208"] in rows
    assert ["try_learning_rates", "272", "0"] in rows
    assert ["total", "1,864", "1,592"] in rows
    assert "Jobs by shard of rspect, lidc are estimates" in plan
    assert "cite_data" not in plan
    assert "Hours are upper bounds: a run ends early after 36.6 windows per training scan" in plan
    assert "Of the total, scratch_long takes" in plan
    assert not any(word in plan for word in ("nan", "None", "unknown"))
    of_one_device = plan[plan.index("hours of one NVIDIA A100") :].split("\n\n")[0].splitlines()[1:]
    hours = {line.split()[0]: float(line.split()[4].replace(",", "")) for line in of_one_device}
    assert hours.pop("total") == pytest.approx(sum(hours.values()), rel=0.01)
    assert len(hours) == 21


def test_shards_that_snakemake_knows_are_no_estimate(paper):
    jobs = [job("convert_series", dataset=name, shard="0") for name in ("rspect", "lidc")]
    plan = text.plan_text(paper, RULES, jobs)
    assert ["convert_series", "2", "2"] in [line.split() for line in plan.splitlines()]
    assert "estimates:" not in plan


def test_the_default_study_knows_its_minutes():
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"data_dir": "nowhere"}
    jobs = [*study_jobs(config), job("predict", dataset="lidc_phantom", model="i3d", fold="0")]
    plan = text.plan_text(config, RULES, jobs)
    found = [word for word in ("nan", "None", "unknown", "hours of one A", "upper bounds") if word in plan]
    assert found == []
    of_one_core = plan[plan.index("minutes of one AMD EPYC, 1 thread(s)") :].split("\n\n")[0].splitlines()[1:]
    minutes = {line.split()[0]: float(line.split()[4]) for line in of_one_core}
    assert list(minutes) == [*(entry["name"] for entry in config["models"]), "total"]
    assert 3 < minutes["total"] < 30 and minutes["i3d"] > minutes["slow_narrow"] > 0
    assert "Starting 103 of these jobs takes about 5 s of a core each, in addition: 8.6 minutes." in plan


def test_a_model_without_speed_and_without_a_job_costs_nothing():
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"data_dir": "nowhere"}
    jobs = study_jobs(config)
    config["models"] = [*config["models"], {"name": "x3d_narrow"}]
    speeds = read_speeds(config)["AMD EPYC, 1 thread(s)"].drop(index="x3d_narrow", errors="ignore")
    windows = count_windows(config, {e["name"]: count_scans(config, e) for e in config["datasets"]}, jobs)
    lines = device_lines(config, jobs, windows, "X", speeds)
    assert [line.split()[1:5] for line in lines if line.startswith("x3d_narrow")] == [["0.0"] * 4]


def test_the_study_on_real_nodules_knows_its_hours():
    files = ("config.yaml", "studies/lidc_nodules.yaml")
    config: dict = {}
    for name in files:
        given = yaml.safe_load((ROOT / name).read_text())
        config |= {
            key: config.get(key, {}) | part if isinstance(part, dict) else part for key, part in given.items()
        }
    speeds = read_speeds(config)["AMD EPYC, 1 thread(s)"]
    assert {entry["name"] for entry in config["models"]} <= set(speeds.index)


def test_own_scans_are_counted_in_their_table_before_they_are_listed(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"data_dir": str(tmp_path)}
    entry = {"name": "own", "source": "own_data", "table": str(tmp_path / "scans.csv")}
    assert math.isnan(count_scans(config, entry).num_scans)
    (tmp_path / "scans.csv").write_text("patient;file\np1;a.nii\np2;b.nii\n")
    found = count_scans(config, entry)
    assert (found.num_scans, found.slices, found.num_bytes, found.num_shards) == (2, ASSUMED_SLICES, 0, 1)
    assert "assumed" in found.origin
    # Listed, volume files have no number of images yet.
    (tmp_path / "own").mkdir()
    rows = "\n".join(f"own,p{i},s{i},s{i},v{i}.nii,0,1000,0" for i in range(3))
    header = "dataset,patient_id,study_id,series_id,path,num_instances,num_bytes,shard"
    (tmp_path / "own" / "series.csv").write_text(f"{header}\n{rows}\n")
    record(tmp_path / "own" / "series.csv")
    found = count_scans(config, entry)
    assert (found.num_scans, found.slices) == (3, ASSUMED_SLICES) and "assumed" in found.origin
    # Another study of a dataset of that name listed its own table there.
    manifest = tmp_path / "own" / "manifest.json"
    write_recorded(manifest, json.dumps({"source": "other.csv"}))
    assert count_scans(config, entry).num_scans == 2
    write_recorded(manifest, json.dumps({"source": entry["table"]}))
    assert count_scans(config, entry).num_scans == 3


def test_what_is_not_known_is_called_unknown():
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"data_dir": "nowhere"}
    config["datasets"] = [{"name": "own", "source": "own_data", "table": "scans.csv"}]
    config["training"]["crop_px"] = 33
    plan = text.plan_text(config, RULES, study_jobs(config))
    assert "unknown" in plan
    assert "python -m chestct.training.measure.throughput MODEL" in plan
    assert "upper bounds" not in plan


def test_speeds_of_prediction_that_were_not_measured_follow_from_validation(paper):
    table = read_table(THROUGHPUT, "throughput", recorded=False)
    assert table["predict_windows_per_second"].isna().all(), "then this test is to be written anew"
    row = table[(table["device"] == "NVIDIA H200") & (table["model"] == "swin3d_t")]
    cpu = row.assign(device="AMD", precision="32-true")
    others = [row.assign(device=name) for name in ("NVIDIA H100 PCIe", "Another")]
    volta = row.assign(device="Tesla T4", precision="16-mixed")
    known = row.assign(predict_windows_per_second=7.0)
    found = with_prediction(pd.concat([row, cpu, *others, volta, known]))
    speeds, score = found["predict_windows_per_second"], row["score_windows_per_second"].item()
    assert speeds.tolist() == pytest.approx([score / 2, score, score / 2, score / 2, score * 8.1 / 65, 7.0])
    assert found["predict_standing"].tolist() == [
        "estimated: the share that validation reaches of 989 TFLOP/s, of 494.5 in TF32",
        "as scoring",
        "estimated: the share that validation reaches of 756 TFLOP/s, of 378 in TF32",
        "estimated: 0.5 of validation in bf16-mixed, whose values are half as large",
        "estimated: the share that validation reaches of 65 TFLOP/s, of 8.1 in float32",
        "measured",
    ]
    plan = text.plan_text(paper, RULES, [job("predict", dataset="lidc", model="swin3d_t", fold="0")])
    assert (
        "Speed of prediction and of features of frozen probes, estimated: the share that validation reaches "
        "of 989 TFLOP/s, of 494.5 in TF32." in plan
    )
