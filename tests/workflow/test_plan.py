"""The plan of jobs: what a configuration asks for, and how a wrong one ends."""

import pytest
import yaml

from chestct.configuration import list_runs


def test_the_default_study_plans_every_step(project):
    jobs = project.planned(study=None)
    for rule in ("list_series", "extract_labels", "combine_volumes", "split_patients", "predict", "pretrain"):
        assert rule in jobs
    assert jobs["predict"] == 2 * 11
    assert jobs["pretrain"] == 8
    assert sum(count for rule, count in jobs.items() if rule.startswith("finetune_")) == 2 * 11


def test_a_job_a_run_is_one_rule(project):
    overlay = {"training": {"one_job_per": "run"}}
    (project.folder / "studies" / "runs.yaml").write_text(yaml.safe_dump(overlay))
    jobs = project.planned(study="runs")
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    assert jobs["finetune"] == len(list_runs(config))
    assert not any(rule.startswith("finetune_") for rule in jobs)


def test_both_directions_of_ct_pretraining_plan_with_a_job_a_run(project):
    config = yaml.safe_load((project.folder / "config.yaml").read_text())
    config["datasets"][0]["ct_source"] = "lidc_phantom"
    overlay = {"datasets": config["datasets"], "training": {"one_job_per": "run"}}
    (project.folder / "studies" / "both.yaml").write_text(yaml.safe_dump(overlay))
    assert project.planned(study="both")["finetune"] == 104 + 2 * 8


@pytest.mark.parametrize("study", ["smoke", "own_data", "pilot", "paper"])
def test_other_studies_plan(project, study, shared):
    (project.folder.parent / "shared").symlink_to(shared)
    jobs = project.planned(study=study)
    assert jobs["write_report"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("percentz: [10]", "did you mean 'percents'"),
        ("percents: [0]", "0 is less than the minimum of 1"),
        ("models: [{name: slow_narow}]", "did you mean 'slow_narrow'"),
        ("subsets: {split: {test: 0.9}}", "splits would overlap"),
    ],
)
def test_a_wrong_configuration_stops_before_any_job(project, text, message):
    (project.folder / "studies" / "wrong.yaml").write_text(text)
    done = project.run("--dry-run", study="wrong", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "remedy:" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.folder / "results").exists()


def test_a_missing_label_file_is_named(project):
    (project.folder / "studies" / "mine.yaml").write_text(
        (project.folder / "studies" / "own_data.yaml")
        .read_text()
        .replace("../shared/real_nodules", "nowhere")
    )
    done = project.run(study="mine", check=False)
    assert done.returncode != 0
    assert "nowhere/labels.csv" in done.stdout
    assert "remedy:" in done.stdout
