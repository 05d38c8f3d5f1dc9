# The check of the configuration, and the names that all rule files share. No rules here.

import os
import re
import sys
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

WORKFLOW_DIR = Path(workflow.basedir)
PACKAGE_DIR = WORKFLOW_DIR / "workflow_scripts" / "chestct"
sys.path.insert(0, str(PACKAGE_DIR.parent))

from chestct import pictures, run_grid, window_forms
from chestct.catalogue import MODELS as CATALOGUE
from chestct.check_configuration import check_configuration
from chestct.dataset_entries import intensity_of, outside_sets, resolve_entries, trained_datasets
from chestct.errors import InputError
from chestct.jobs.code_digest import code_of
from chestct.jobs.data_facts import conversion_facts, data_facts
from chestct.jobs.environment import prepare_environment
from chestct.jobs.resource_requests import memory_and_time, nodes_and_gpus, partition
from chestct.yaml_file import read_yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

prepare_environment(os.environ, PACKAGE_DIR.parent, Path.cwd())

try:
    if workflow.is_main_process:
        for path in workflow.configfiles:  # of which Snakemake takes the last of two keys of one name
            read_yaml(Path(path))
    check_configuration(config)
except InputError as error:
    raise WorkflowError(f"The configuration cannot be used: {error}") from None

# A dataset with scans_of inherits what it does not set itself.
config["datasets"] = resolve_entries(config["datasets"])

STUDY = config["study"]
DATA = config["data_dir"].rstrip("/")
RESULTS = f"results/{STUDY}"
DATASETS = {entry["name"]: entry for entry in config["datasets"]}
TRAINED = trained_datasets(config["datasets"])
# Test sets outside the training set, by the name that stands for a dataset in their results.
OUTSIDE = {outside.name: outside for outside in outside_sets(config["datasets"])}
TEST_SETS = [*TRAINED, *OUTSIDE]
MODELS = {entry["name"]: entry for entry in config["models"]}
RUNS = run_grid.list_runs(config)

# Where the logger plugin writes events, and which wildcards it need not name: they have one value.
several = {"seed": config["seeds"], "fold": range(config["subsets"]["folds"])}
logger.info(
    None,
    extra={
        "study": {
            "results": RESULTS,
            "report": f"{RESULTS}/report.html",
            "single": [name for name, values in several.items() if len(values) == 1],
        }
    },
)

# Facts of the site, which a profile states among its default resources.
SITE = {
    name: str(resource.raw).strip("'\"")
    for name, resource in (workflow.resource_settings.default_resources or {}).items()
}
# Memory and time of a rule's jobs.
needs = partial(memory_and_time, site=SITE)


include: "slurm.smk"


wildcard_constraints:
    dataset="|".join(DATASETS),
    outside="|".join(OUTSIDE) or "(?!)",  # matches nothing where a study has no such set
    model="|".join(MODELS),
    init="|".join(sorted({run.init for run in RUNS})),
    percent="|".join(str(percent) for percent in config["percents"]),
    seed="|".join(str(seed) for seed in config["seeds"]),
    fold="|".join(str(fold) for fold in range(config["subsets"]["folds"])),
    shard="[0-9]+",
    form="|".join(window_forms.TABLES.values()),
