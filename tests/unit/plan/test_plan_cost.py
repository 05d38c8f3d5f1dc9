"""Windows, jobs and hours that a plan counts."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from chestct.download.download_plan import STORED_BYTES_A_VOXEL
from chestct.errors import InputError
from chestct.plan import text
from chestct.plan.cost import TrainingJob, longest_chain, training_jobs, windows_of_run
from chestct.plan.scans import PUBLISHED, Scans, count_scans
from chestct.plan.speeds import Speed, read_speeds
from chestct.runs import Run, list_arms, list_runs, selection_run, training_settings
from chestct.subsets.windows import window_starts
from chestct.training.budget import num_training_steps

ROOT = Path(__file__).resolve().parents[3]
THROUGHPUT = ROOT / "workflow_scripts" / "chestct" / "plan" / "throughput.csv"
RULES = {"convert_series": ["shard", "dataset"], "try_learning_rates": ["dataset", "model", "init", "rate"]}


def merge(base, overlay):
    for key, value in overlay.items():
        base[key] = merge(base[key], value) if isinstance(value, dict) and key in base else value
    return base


@pytest.fixture
def paper(tmp_path):
    """The paper's study, with nothing listed yet."""
    config, overlay = (yaml.safe_load((ROOT / p).read_text()) for p in ("config.yaml", "studies/paper.yaml"))
    return merge(config, overlay) | {"data_dir": str(tmp_path)}


def scans(num_scans=1000, slices=240.0):
    return Scans(num_scans=num_scans, slices=slices, num_bytes=1e9, num_shards=3, origin="test")


@pytest.mark.parametrize("num_slices", [1, 16, 32, 33, 48, 49, 240, 246])
@pytest.mark.parametrize(("window", "stride"), [(32, 16), (16, 8), (32, 19)])
def test_windows_of_a_scan_are_those_of_the_window_table(num_slices, window, stride):
    assert scans(slices=float(num_slices)).windows(window, stride) == len(
        window_starts(num_slices, window, stride)
    )


@pytest.mark.parametrize("folds", [1, 5])
def test_every_scan_is_in_one_split(paper, folds):
    paper["subsets"]["folds"] = folds
    parts = {name: scans().split(name, paper["subsets"]) for name in ("train", "validation", "test")}
    assert sum(parts.values()) == pytest.approx(1000, abs=1)
    assert parts["test"] == (150 if folds == 1 else 200)


def test_a_run_trains_its_steps_and_scores_every_validation(paper):
    run = Run(dataset="lidc", model="slow_r50", init="video", percent=10, seed=0, fold=0)
    train, score = windows_of_run(paper, scans(), run)
    # 70 of 700 training scans, 16 windows a step: 50 epochs are fewer than 500 steps.
    assert train == 500 * 16
    assert score == 25 * 150 * len(window_starts(240, 32, 16))
    train, _ = windows_of_run(paper, scans(), Run(**{**run.asdict(), "percent": 100}))
    assert train == 16 * 50 * math.ceil(700 / 16)
    assert num_training_steps(700, training_settings(paper, "slow_r50")) * 16 == train


def test_jobs_wait_for_what_they_start_from(paper):
    jobs = training_jobs(paper, {"rspect": scans(), "lidc": scans()})
    assert all(jobs.keys() >= job.after for job in jobs.values())
    arms, runs = list_arms(paper), list_runs(paper)
    rules = [job.rule for job in jobs.values()]
    assert rules.count("try_learning_rates") == 4 * len(arms)
    assert rules.count("choose_learning_rate") == len(arms)
    assert rules.count("finetune") == len(runs) - len(arms)
    # No trial that becomes a run counts twice.
    total = sum(windows_of_run(paper, scans(), run)[0] for run in runs)
    tried = sum(windows_of_run(paper, scans(), selection_run(paper, *arm))[0] for arm in arms)
    assert sum(job.train for job in jobs.values()) == pytest.approx(total + 3 * tried)


def test_the_chain_runs_through_ct_pretraining(paper):
    jobs = training_jobs(paper, {"rspect": scans(), "lidc": scans()})

    def before(name):
        return {name}.union(*(before(other) for other in jobs[name].after))

    chain = before("finetune lidc/penet_probe/ct/percent-1/seed-2/fold-0")
    assert "choose rspect/penet/scratch" in chain  # its trial's start
    assert "finetune rspect/penet/scratch/percent-100/seed-2/fold-0" in chain  # its own
    assert "try rspect/penet/scratch 1e-05" in chain
    assert not any(name.startswith("predict") for name in chain), (
        "no score of a test scan comes before training"
    )


def test_hours_follow_from_speeds():
    speeds = {"m": Speed(train=10.0, score=40.0, standing="measured")}
    job = TrainingJob(rule="finetune", model="m", train=36_000.0, score=144_000.0)
    assert job.hours(speeds) == 2.0
    assert TrainingJob(rule="finetune", model="other", train=1.0).hours(speeds) is None
    assert TrainingJob(rule="finetune", model="m", train=1.0, score=None).hours(speeds) is None
    assert TrainingJob(rule="choose_learning_rate", model="other").hours(speeds) == 0.0
    jobs = {"a": job, "b": replace(job, after=set())}
    assert longest_chain(jobs, speeds) == 2.0
    jobs["b"].after = {"a"}
    assert longest_chain(jobs, speeds) == 4.0


def test_a_probe_trains_as_fast_as_its_model_scores(paper):
    speeds = read_speeds(THROUGHPUT, paper)["NVIDIA A100"]
    assert speeds["penet_probe"].train == speeds["penet"].score > speeds["penet"].train
    assert read_speeds(THROUGHPUT, paper | {"subsets": paper["subsets"] | {"window_slices": 31}}) == {}


def test_estimates_are_called_estimates(paper):
    for of_models in read_speeds(THROUGHPUT, paper).values():
        for speed in of_models.values():
            assert speed.standing.startswith(("measured", "estimated: "))
            if speed.standing.startswith("estimated"):
                percent, peak = (float(word) for word in speed.standing.split() if word[0].isdigit())
                assert 0 < percent < 50
                assert peak == 312


def test_what_is_listed_counts_instead_of_what_is_published(paper, tmp_path):
    entry = {"name": "lidc", "source": "lidc_idri", "from": "idc"}
    assert count_scans(paper, entry).num_scans == PUBLISHED["lidc_idri"][0]
    assert count_scans(paper, entry | {"patients": ["a", "b"]}).num_scans == 2
    (tmp_path / "lidc").mkdir()
    rows = [f"lidc,p{i},s{i},x{i},folder,{100 + i},1000,{i // 2}" for i in range(5)]
    header = "dataset,patient_id,study_id,series_id,path,num_instances,num_bytes,shard"
    (tmp_path / "lidc" / "series.csv").write_text("\n".join([header, *rows]) + "\n")
    known = count_scans(paper, entry)
    assert (known.num_scans, known.slices, known.num_bytes, known.num_shards) == (5, 102.0, 5000.0, 3)
    (tmp_path / "lidc" / "series.csv").write_text("nothing\n")
    with pytest.raises(InputError, match="series"):
        count_scans(paper, entry)


def test_the_text_holds_jobs_hours_and_disk(paper):
    plan = text.plan_text(paper, RULES, [{"size_bytes": "1000000000"}], THROUGHPUT)
    assert "1,125 runs of 17 models" in plan
    assert "300 trials of 4 learning rates" in plan
    for line in ("try_learning_rates", "NVIDIA A100", "mvit_base_32x3_probe", "volumes", "CPU hours"):
        assert line in plan
    assert "Hours are upper bounds" in plan
    assert not any(word in plan for word in ("nan", "None", "unknown"))
    hours = {words[0]: float(words[4].replace(",", "")) for words in _rows_of_hours(plan)}
    assert hours.pop("total") == pytest.approx(sum(hours.values()), rel=0.01)
    assert len(hours) == 17


def _rows_of_hours(plan):
    """Words of the lines under the heading of the hours."""
    lines = plan[plan.index("hours of one NVIDIA A100") :].split("\n\n")[0].splitlines()
    return [line.split() for line in lines[1:]]


def test_what_is_not_known_is_called_unknown():
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"data_dir": "nowhere"}
    plan = text.plan_text(config, RULES, [], THROUGHPUT)
    assert "unknown" in plan
    assert "python -m chestct.training.measure.throughput MODEL" in plan
    assert "upper bounds" not in plan


def test_stored_bytes_are_those_of_the_download_plan():
    assert text.STORED_BYTES_A_VOXEL == STORED_BYTES_A_VOXEL
