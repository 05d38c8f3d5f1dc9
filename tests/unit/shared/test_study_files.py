"""The configurations that the project brings."""

import pytest
import yaml
from snakemake.utils import update_config

from chestct import run_grid
from chestct.check_configuration import check_configuration
from chestct.dataset_entries import claimed_datasets
from tests.unit.shared.configurations import ROOT, overlaid


@pytest.mark.parametrize(
    "overlay",
    [
        "config",
        *(
            f"studies/{name}"
            for name in ("paper", "pilot", "smoke", "own_data", "sensitivity", "lidc_nodules")
        ),
    ],
)
def test_every_study_is_valid(config, overlay):
    update_config(config, yaml.safe_load((ROOT / f"{overlay}.yaml").read_text()))
    check_configuration(config)


@pytest.mark.parametrize("path", sorted(ROOT.glob("studies/*.yaml")), ids=lambda path: path.stem)
def test_no_key_of_a_study_stands_twice(path):
    """YAML would take the second without a word."""
    keys = [line.partition(":")[0] for line in path.read_text().splitlines() if line[:1].isalpha()]
    assert len(keys) == len(set(keys))


def test_the_quick_study_of_nodules_is_a_part_of_the_whole(config):
    quick = overlaid(config, "lidc_nodules", "lidc_nodules_quick")
    config = overlaid(config, "lidc_nodules")
    assert quick["study"] != config["study"]
    assert set(run_grid.list_runs(quick)) < set(run_grid.list_runs(config))
    assert quick["datasets"] == config["datasets"][:1]
    assert claimed_datasets(config["datasets"]) == ["agreement"]
    # Nothing of the configuration knows CT pretraining, and 3D models from video are not the paper's.
    assert {run.init for run in run_grid.list_runs(config)} == {
        "scratch",
        "scratch_long",
        "video",
        "imagenet",
    }


def test_the_lean_study_is_the_papers_with_a_smaller_budget(config):
    lean = overlaid(config, "paper", "paper_lean")
    config = overlaid(config, "paper")
    assert lean["study"] != config["study"]
    assert run_grid.list_runs(lean) == run_grid.list_runs(config)
    settings = [run_grid.training_settings(part, "penet", "video") for part in (config, lean)]
    # 4,985 training scans of RSPECT: 1.8 million windows and 182,000 of patience in the published code.
    paper, small = ([part.budget.of(4985), part.patience.of(4985)] for part in settings)
    assert paper == pytest.approx([1.82e6, 182_000], rel=0.01)
    assert small == [50 * 4985, 10 * 4985]
