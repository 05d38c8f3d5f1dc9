# Names, helpers and checks that all rule files share. No rules here.

import sys
from functools import cache
from pathlib import Path

WORKFLOW_DIR = Path(workflow.basedir)
PACKAGE_DIR = WORKFLOW_DIR / "workflow_scripts" / "chestct"
sys.path.insert(0, str(PACKAGE_DIR.parent))

from chestct import check_configuration as checks, runs as configuration
from chestct.catalogue import MODELS as CATALOGUE
from chestct.download.weights_table import file_facts, weights_row, weights_table
from chestct.errors import InputError
from chestct.files import digest_files, digest_object
from chestct.jobs.code_digest import code_of
from chestct.tables import read_table
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

try:
    checks.check_configuration(config)
except InputError as error:
    raise WorkflowError(f"The configuration cannot be used: {error}") from None

STUDY = config["study"]
DATA = config["data_dir"].rstrip("/")
RESULTS = f"results/{STUDY}"
DATASETS = {entry["name"]: entry for entry in config["datasets"]}
MODELS = {entry["name"]: entry for entry in config["models"]}
RUNS = configuration.list_runs(config)

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


# Under Slurm the plugin (2.8.0) never submits those jobs of a rule of slurm-array-jobs that `jobs` holds back.
# Only as a run starts does Snakemake know the executor's options.
onstart:
    if (
        getattr(workflow.executor_settings, "array_jobs", None)
        and workflow.resource_settings.nodes < 100_000
    ):
        raise WorkflowError(
            f"jobs={workflow.resource_settings.nodes} together with slurm-array-jobs would hang the run. Remove "
            "the line slurm-array-jobs from profiles/slurm/config.yaml, or leave jobs at 100000 there."
        )


wildcard_constraints:
    dataset="|".join(DATASETS),
    model="|".join(MODELS),
    init="|".join(config["inits"]),
    percent="|".join(str(percent) for percent in config["percents"]),
    seed="|".join(str(seed) for seed in config["seeds"]),
    fold="|".join(str(fold) for fold in range(config["subsets"]["folds"])),
    shard="[0-9]+",


@cache
def code(*steps):
    """Digest of what a step's scripts import: its package folders and the shared modules.

    Passed as a parameter, it makes a change of an imported module rerun what depends on it; Snakemake
    itself sees only the entry script.
    """
    files = [path for path in PACKAGE_DIR.glob("*.py") if path.name not in UNSHARED_MODULES]
    for step in steps:
        files += (PACKAGE_DIR / step).rglob("*.py")
        files += (PACKAGE_DIR / step).rglob("*.j2")
    return digest_files(files)


# These modules serve the workflow, and the catalogue names models: steps that need the catalogue pass the
# entries they use as parameters, so that a new model reruns nothing old.
UNSHARED_MODULES = {"runs.py", "check_configuration.py", "catalogue.py", "__init__.py"}


def dataset_entry(wildcards):
    """Configuration of the dataset of a job."""
    return DATASETS[wildcards.dataset]


def shard_numbers(dataset):
    """Shards of a dataset, known once its series are listed."""
    series = checkpoints.list_series.get(dataset=dataset).output.series
    return sorted(read_table(series, "series")["shard"].unique())


def min_readers(wildcards):
    """Readers who must have marked a slice: LIDC-IDRI has four readings, other datasets one."""
    four_readings = dataset_entry(wildcards)["source"] in ("lidc_idri", "phantom_lidc")
    return config["subsets"]["min_readers"] if four_readings else 1


# What jobs ask for stands in workflow_scripts/chestct/jobs/memory_and_time.csv, beside the measurement that each number is derived from.
NEEDS = {
    row.rule: row
    for row in read_table(
        WORKFLOW_DIR / "workflow_scripts" / "chestct" / "jobs" / "memory_and_time.csv", "resources"
    ).itertuples()
}


def site_fact(name):
    """A fact of the site, which a profile states among its default resources; None where it states none."""
    given = workflow.resource_settings.default_resources
    return str(given[name].raw).strip("'\"") if given is not None and name in given else None


def growing(first, limit):
    """A resource that doubles with every attempt, for jobs that were ended for want of it.

    ``limit`` names the site's fact that no job may exceed: beyond it a job would wait forever.
    """
    most = int(site_fact(limit) or sys.maxsize)
    return lambda wildcards, attempt: min(int(first) * 2 ** (attempt - 1), most)


def needs(rule, *, more_mb=0):
    """Memory and time of a rule's jobs, growing with the attempt."""
    row = NEEDS[rule]
    return {
        "mem_mb": growing(row.mem_mb + more_mb, "max_mem_mb"),
        "runtime": growing(row.runtime_min, "max_runtime"),
    }


def site_partition(purpose):
    """The cluster's partition for a purpose, where the profile names one beside the usual partition."""
    partition = site_fact(f"{purpose}_partition")
    return {"slurm_partition": partition} if partition else {}
