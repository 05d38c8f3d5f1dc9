"""The plan of jobs: what a configuration asks for, and how a wrong one ends."""

import re
import shutil

import pytest
import yaml

from chestct.catalogue import MODELS
from chestct.run_grid import list_runs, list_searches
from tests.workflow.project import Project


def overlay(project: Project, **changes) -> dict:
    """Write studies/changed.yaml over the default study; returns the whole configuration."""
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    # A copy takes along what other tests downloaded: here nothing is there yet.
    shutil.rmtree(project.folder / "data", ignore_errors=True)
    changes["training"] = config["training"] | changes.get("training", {})
    (project.folder / "studies" / "changed.yaml").write_text(yaml.safe_dump(changes))
    return config | changes


def test_the_default_study_plans_every_step_and_a_run_a_job(project):
    config = overlay(project)
    jobs = project.planned(study="changed")
    for rule in ("list_series", "extract_labels", "combine_volumes", "split_patients"):
        assert jobs[rule] >= 1
    assert jobs["finetune"] == len(list_runs(config))
    assert jobs["predict"] == len(config["datasets"]) * len(config["models"])
    assert jobs["pretrain"] == 7


def test_ct_pretraining_goes_both_ways(project):
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    one_way = len(list_runs(config))
    config["datasets"][0]["ct_source"] = "lidc_phantom"
    overlay(project, datasets=config["datasets"])
    assert project.planned(study="changed")["finetune"] == one_way + 2 * 7


def test_a_probe_shares_its_models_pretraining_and_ct_runs(project):
    models = [{"name": name} for name in ("slow_narrow", "slow_narrow_probe", "i3d", "i3d_probe")]
    config = overlay(project, models=models)
    jobs = project.planned(study="changed")
    assert jobs["pretrain"] == 1
    assert jobs["download_weights"] == 1
    runs = list_runs(config)
    assert jobs["finetune"] == sum(not MODELS[run.model].frozen for run in runs) == len(runs) / 2 == 20
    # An arm of a probe is fitted at once, on the features of one network: there is one seed, and one fold.
    assert jobs["extract_features"] == jobs["fit_probes"] == 2 * 2 + 2 * 3
    assert jobs["predict"] == jobs["predict_probes"] == 2 * 2


def test_a_random_network_is_one_a_seed_and_pretrained_ones_are_shared(project):
    models = [{"name": "i3d_probe", "inits": ["scratch", "video"]}, {"name": "i3d", "inits": ["scratch"]}]
    training = {"learning_rates": [0.01, 0.001], "selection_percent": 10}
    config = overlay(project, models=models, seeds=[0, 1, 2], training=training)
    jobs = project.planned(study="changed")
    assert jobs["extract_features"] == 2 * (3 + 1)
    assert jobs["fit_probes"] == 2 * 2
    assert jobs["try_learning_rates"] == 2 * len(list_searches(config)) == 2 * 2, "a probe tries none"
    counts = project.cost_plan("changed")
    assert counts["fit_probes"] == (4, 4)


# --- Learning-rate search


def test_a_search_tries_every_rate_of_every_arm_and_trains_no_run_twice(project):
    training = {"learning_rates": [0.01, 0.001, 0.00001], "selection_percent": 10}
    config = overlay(project, training=training)
    jobs = project.planned(study="changed")
    arms = list_searches(config)
    assert jobs["try_learning_rates"] == 3 * len(arms)
    assert jobs["choose_learning_rate"] == len(arms)
    assert jobs["collect_trials"] == 1
    assert jobs["finetune"] == len(list_runs(config)) - len(arms)
    counts = project.cost_plan("changed")
    # Phantoms are not listed yet: Snakemake learns of these jobs later.
    assert counts.pop("download_series") == counts.pop("convert_series") == (4, 4)
    assert counts == {rule: (number, number) for rule, number in jobs.items()}


def test_choices_are_made_before_any_score_of_a_test_scan(project):
    overlay(project, training={"learning_rates": [0.01, 0.001], "selection_percent": 10})
    jobs = project.planned("--until", "collect_trials", study="changed")
    assert jobs["collect_trials"] == 1
    assert jobs["finetune"] > 0, "CT pretraining and the LRCN's features come before some trials"
    assert not jobs.keys() & {"predict", "bootstrap_metrics", "all"}


# --- The cost plan


def test_the_plan_is_printed_and_nothing_is_fetched(project):
    # As make plan starts it; other plans are asked for in a process that is there already.
    plan = project.python("workflow_scripts/print_plan.py", *project.command(study="paper")[1:])
    assert "1,725 runs of 21 models" in plan
    assert "hours of one NVIDIA A100" in plan
    assert re.search(r"estimated: [\d.]+ % of 312 TFLOP/s, as slow_r50 on NVIDIA H200", plan)
    assert not (project.folder / "data" / "rspect").exists()


@pytest.mark.parametrize("study", ["smoke", "own_data", "pilot", "paper", "sensitivity", "lidc_nodules"])
def test_other_studies_plan(project, study):
    jobs = project.planned(study=study)
    assert jobs["write_report"] == 1


@pytest.mark.parametrize(
    ("study", "dataset", "held_against"),
    [
        ("lidc_nodules_quick", "agreement", ", .*/labels/lidc_nodules.csv"),
        ("smoke", "lidc_phantom_smoke", ""),
    ],
)
def test_what_is_downloaded_depends_on_the_table_that_it_is_held_against(
    project, study, dataset, held_against
):
    done = project.ask("--dry-run", f"data/{dataset}/shards/shard-0.csv", study=study)
    (inputs,) = re.findall(r"rule download_series:\n +input: (.*)", done.stdout)
    assert re.fullmatch(f"data/{dataset}/series.csv{held_against}", re.sub(r" \(.*\)$", "", inputs))


def test_a_wrong_configuration_stops_before_any_job(project):
    (project.folder / "studies" / "wrong.yaml").write_text("percentz: [10]")
    done = project.run("--dry-run", study="wrong", check=False)
    asked = project.ask("--dry-run", study="wrong", check=False)
    assert (done.returncode, done.stdout) == (asked.returncode, asked.stdout), "both ways to start Snakemake"
    assert done.returncode != 0
    assert "did you mean 'percents'" in done.stdout
    assert "remedy:" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.folder / "results").exists()


def test_a_missing_label_file_is_named(project):
    text = (project.folder / "studies" / "own_data.yaml").read_text()
    (project.folder / "studies" / "mine.yaml").write_text(text.replace("data/own_example", "nowhere"))
    done = project.ask(study="mine", check=False)
    assert done.returncode != 0
    assert "nowhere/scans.csv" in done.stdout
    assert "remedy:" in done.stdout
