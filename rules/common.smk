# Names and helpers that rule files share, and the check of the configuration. No rules here.

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
from chestct.check_configuration import check_configuration, source_entry
from chestct.dataset_entries import (
    PUBLIC_IDS,
    claimed_datasets,
    file_intensity_of,
    intensity_of,
    outside_sets,
    resolve_entries,
    shares_volumes,
    trained_datasets,
)
from chestct.download.sources import own_files
from chestct.download.weights_table import file_facts, weights_row, weights_table
from chestct.errors import InputError
from chestct.files import digest_object, sha256_file
from chestct.jobs.code_digest import code_of
from chestct.jobs.data_facts import conversion_facts, data_facts
from chestct.jobs.environment import prepare_environment
from chestct.jobs.resource_requests import memory_and_time, nodes_and_gpus, partition
from chestct.jobs.starting_weights import starting_weights
from chestct.tables import read_table
from chestct.training.settings import FeatureSettings
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


def dataset_entry(wildcards):
    """Configuration of the dataset of a job."""
    return DATASETS[wildcards.dataset]


def trained_on(wildcards):
    """Dataset whose models a job's test set scores."""
    return OUTSIDE[wildcards.dataset].trained if wildcards.dataset in OUTSIDE else wildcards.dataset


def scans_from(wildcards):
    """Dataset whose scans make up a job's test set."""
    return OUTSIDE[wildcards.dataset].tested if wildcards.dataset in OUTSIDE else wildcards.dataset


def acquisition_of(wildcards):
    """Table acquisition of a job's test scans and of those that its models were trained on."""
    step = "subsets" if wildcards.dataset in OUTSIDE else "volumes"
    return f"{RESULTS}/{step}/{wildcards.dataset}/acquisition.csv"


def shared_with(path):
    """Input function: a file of the dataset whose scans the job's dataset takes (scans_of), if it does.

    ``path`` has the wildcard ``base`` for that dataset's name.
    """
    return lambda wildcards: (
        path.format(base=DATASETS[wildcards.dataset]["scans_of"], **dict(wildcards.items()))
        if "scans_of" in DATASETS[wildcards.dataset]
        else []
    )


def shard_numbers(dataset):
    """Shards of a dataset, known once its series are listed."""
    series = checkpoints.list_series.get(dataset=dataset).output.series
    return shards_of_table(series, os.stat(series).st_mtime_ns)


@cache
def shards_of_table(series, changed):
    """Shards that a table of series names; read once, however many jobs ask, until it changes."""
    return sorted(read_table(series, "series")["shard"].unique())


def shard_files(suffix):
    """Input function: one file of every shard of a dataset, in the order of shards.

    Stores (h5) are large and ``ancient``: their time is no reason to redo a job, since a table beside them
    holds the digest of every volume.
    """
    return lambda wildcards: [
        f"{RESULTS}/volumes/{wildcards.dataset}/shard-{shard}.{suffix}"
        for shard in shard_numbers(wildcards.dataset)
    ]


def label_source(wildcards):
    """Label file of a source, which no rule makes; one that is missing is for the rule's script to explain."""
    entry = dataset_entry(wildcards)
    path = entry.get("table") if entry["source"] == "own_data" else None
    if entry["source"] == "rspect" and "folder" in entry:
        path = f"{entry['folder']}/train.csv"
    if entry["source"] == "lidc_nodules":  # a table of the project's own
        path = str(PACKAGE_DIR / "download" / "labels" / "lidc_nodules.csv")
    return [path] if path and Path(path).is_file() else []


own_version = cache(own_files.count_changes)


def version_of_files(wildcards):
    """How often the user's own files of a shard have changed, so that they are looked at again."""
    entry = dataset_entry(wildcards)
    own = entry["source"] == "own_data" and "scans_of" not in entry
    return own_version(Path(DATA, wildcards.dataset), int(wildcards.shard)) if own else 0


def checked_by(wildcards):
    """Table that a source's files are held against as they are obtained, where the project carries one."""
    return label_source(wildcards) if dataset_entry(wildcards)["source"] == "lidc_nodules" else []


def window_table_of(dataset, model):
    """The windows of a dataset in the form that a model sees."""
    form = window_forms.TABLES[CATALOGUE[model].sees]
    return f"{RESULTS}/subsets/{dataset}/{form}.parquet"


def window_table(wildcards):
    """The windows of a job's dataset in the form that its model sees."""
    return window_table_of(wildcards.dataset, wildcards.model)


def code_by_step(wildcards):
    """Digest of the code of every step but training, whose digest every run has in its own table."""
    digests = {}
    for step in ("download", "volumes", "subsets", "evaluation", "figures"):
        scripts = [rule.name for rule in workflow.rules if rule.script and Path(rule.snakefile).stem == step]
        sources = sorted(set(SOURCE_MODULES.values())) if step == "download" else []
        digests[f"code of {step}"] = digest_object([code_of(script, *sources) for script in scripts])
    return digests


def in_report(path, title, category):
    """An output with its caption (report/NAME.rst) and its place in the workflow's own report."""
    caption = f"../report/{Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels={"title": title})


def readers_of_slices(entry):
    """Readers who must have marked a slice; no more than make a scan positive, or its windows would have none."""
    wanted = config["subsets"]["min_readers"]
    return min(wanted, entry.get("consensus", wanted)) if entry["source"] in FOUR_READINGS else 1


def seen_by(wildcards):
    """Datasets that the models of an outside test were trained on."""
    trained = DATASETS[OUTSIDE[wildcards.outside].trained]
    return [trained["name"], *filter(None, [trained.get("ct_source")])]


def shared_volumes(suffix):
    """Input function: a file of the same shard of the dataset whose volumes the job's dataset shares, if any."""
    shared = shared_with(f"{VOLUMES}/{{base}}/shard-{{shard}}.{suffix}")
    return lambda wildcards: (
        shared(wildcards) if shares_volumes(dataset_entry(wildcards), config["datasets"]) else []
    )


def settings_of(wildcards):
    """Training settings of a run: those of its model, in its arm."""
    return settings_of_arm(wildcards.model, wildcards.init)


@cache
def settings_of_arm(model, init):
    """Training settings of all runs of a model and init."""
    return asdict(run_grid.training_settings(config, model, init))


def chosen_rate_of(wildcards):
    """Input function: the learning rates that an arm tried, or the shorter arm of an arm that trains longer."""
    init = LONGER.get(wildcards.init, wildcards.init)
    return f"{TRAINING}/{wildcards.dataset}/{wildcards.model}/{init}/choices.csv" if RATES else []


def tested_runs(wildcards):
    """Runs of a model that are tested outside: of cross-validation, those of the first fold."""
    dataset = OUTSIDE[wildcards.outside].trained
    return [run for run in RUNS_OF[dataset, wildcards.model] if run.fold == 0]


def scored_runs(wildcards):
    """Runs of a model whose scores a test set has: all, or outside of it those that are tested there."""
    runs = RUNS_OF[trained_on(wildcards), wildcards.model]
    return [run for run in runs if run.fold == 0] if wildcards.dataset in OUTSIDE else runs


def runs_of_arm(wildcards):
    """Runs of a job's dataset, model and init."""
    return [run for run in RUNS_OF[trained_on(wildcards), wildcards.model] if run.init == wildcards.init]


def run_of_point(wildcards):
    """The first run of an arm that starts from the job's network."""
    points = {run_grid.starting_point(config, run): run for run in reversed(runs_of_arm(wildcards))}
    return points[wildcards.point]


def seed_of_network(wildcards):
    """Seed of a probe's random network; loaded weights leave nothing to draw."""
    run = run_of_point(wildcards)
    return 0 if initial_of(run)["path"] else run.seed


def features_of(dataset, run):
    """Features of a dataset's scans, or of a test set outside, that a probe's run reads."""
    point = run_grid.starting_point(config, run)
    return f"{TRAINING}/{dataset}/{run.model}/{run.init}/features-{point}.safetensors"
