# How training runs become jobs. No rules here.

import re
from collections import defaultdict
from dataclasses import asdict
from typing import NamedTuple

TRAINING = f"{RESULTS}/training"
ARM_FOLDER = f"{TRAINING}/{{dataset}}/{{model}}/{{init}}"
RUN_FOLDER = f"{ARM_FOLDER}/percent-{{percent}}/seed-{{seed}}/fold-{{fold}}"
# What a run leaves, by the name of the output.
RUN_FILES = {
    "weights": "weights.safetensors",
    "history": "history.csv",
    "record": "run.csv",
    "resolved": "config.yaml",
}


def training_needs(rule, *, nodes=config["training"]["nodes"], gpus=config["training"]["gpus"]):
    """Resources of a job that trains or predicts: memory, time, nodes and GPUs of every node.

    GPUs are asked for as the site's profile says (profiles/slurm): by number (gpu) or by name (gres).
    """
    readers = NEEDS["reader"].mem_mb * config["training"]["num_workers"]
    resources = needs(rule, more_mb=readers) | {"nodes": nodes}
    model = site_fact("gpu_type")
    if gpus and site_fact("gpu_request") == "gres":
        resources["gres"] = ":".join(filter(None, ["gpu", model, str(gpus)]))
    else:
        resources["gpu"] = nodes * gpus
        resources |= {"gpu_model": model} if gpus and model else {}
    if nodes > 1:
        # The launcher starts a task a node by srun itself; the job must not begin inside one.
        resources |= {"mpi": "srun", "tasks": nodes, "tasks_per_gpu": 0}
    return resources | (site_partition("gpu") if gpus else {})


ARMS = configuration.list_arms(config)
RUNS_OF = defaultdict(list)  # all runs of one model on one dataset
for run in RUNS:
    RUNS_OF[run.dataset, run.model].append(run)

# Learning rates that every arm tries, as they are written in paths.
RATES = {repr(float(rate)): float(rate) for rate in config["training"]["learning_rates"]}
SELECTION_RUNS = {arm: configuration.selection_run(config, *arm) for arm in ARMS}
# With a search the best trial of an arm is one of its runs already: it is adopted, not trained again.
ADOPTED = set(SELECTION_RUNS.values()) if RATES else set()
TRIALS = [f"{TRAINING}/trials.csv"] if RATES else []


class FinetuneJob(NamedTuple):
    """A rule's worth of runs: one run by wildcards, or all runs of a model on a dataset.

    Short runs share a job, since importing torch and Lightning takes as long as such a run; long
    runs get a job each (training.one_job_per).
    """

    name: str
    label: str
    priority: int
    runs: list | None

    def outputs(self):
        """Output files of the runs, or of the one pattern, by name."""
        folders = [RUN_FOLDER] if self.runs is None else [run_folder(run) for run in self.runs]
        return {name: [f"{folder}/{file}" for folder in folders] for name, file in RUN_FILES.items()}

    def runs_of(self, wildcards):
        """The runs of a job."""
        return [run_of(wildcards)] if self.runs is None else self.runs


def finetune_jobs():
    """One rule for every run, or a rule a dataset and model."""
    if config["training"]["one_job_per"] == "run":
        label = "{dataset}/{model}/{init}-{percent}-{seed}-{fold}"
        return [FinetuneJob("finetune", label, 0, None)]
    return [
        FinetuneJob(f"finetune_{dataset}_{model}", f"{dataset}/{model}", priority_of(dataset, model), runs)
        for (dataset, model), all_runs in RUNS_OF.items()
        if (runs := [run for run in all_runs if run not in ADOPTED])
    ]


def priority_of(dataset, model):
    """What others wait for or what takes longest starts first, so that no job runs on alone at the end.

    Jobs of a dataset that supplies CT-pretrained weights come first, then models with published
    weights, which are full-size.
    """
    is_source = any(entry.get("ct_source") == dataset for entry in DATASETS.values())
    return 2 * is_source + bool(CATALOGUE[model].weights)


def run_of(wildcards):
    """The run that a job's wildcards name."""
    return configuration.Run(
        dataset=wildcards.dataset,
        model=wildcards.model,
        init=wildcards.init,
        percent=int(wildcards.percent),
        seed=int(wildcards.seed),
        fold=int(wildcards.fold),
    )


def run_folder(run):
    """Results folder of a run."""
    return f"{TRAINING}/{run.folder}"


@cache
def initial_of(run):
    """Starting weights of a run: path, what the file is held to, words, and whether its data are generated.

    The file is held to ``sha256``, or to the first file trusted as ``trusted_as``, where one is given.
    """
    start = configuration.initial_weights(config, run)
    if start["kind"] == "none":
        return {"path": None, "sha256": None, "words": None, "stand_in": False}
    if start["kind"] == "published":
        row = weights_row(start["weights_id"])
        return {
            "path": f"{DATA}/weights/{row['weights_id']}.weights",
            "sha256": row["sha256"] or None,
            # Without a published digest the file is held to the first one seen.
            "trusted_as": None if row["sha256"] else row["weights_id"],
            "words": f"{row['training_data']} ({row['source']})",
            "stand_in": False,
        }
    if start["kind"] == "pretraining":
        return {
            "path": f"{TRAINING}/pretraining/{start['model']}/video/weights.safetensors",
            "sha256": None,
            "words": "generated motion clips (this study)",
            "stand_in": True,
        }
    source, before = start["run"], initial_of(start["run"])
    generated = DATASETS[source.dataset]["source"].startswith("phantom_")
    words = f"{source.dataset}, {source.model} {source.init}, {source.percent} % (this study)"
    return {
        "path": f"{run_folder(source)}/weights.safetensors",
        "sha256": None,
        "words": words,
        "stand_in": before["stand_in"] or (generated and source.dataset != run.dataset),
    }


def of(job, function, *arguments):
    """An input or parameter function that knows its job.

    Snakemake looks at the signature of every such function for every job: of a ``partial`` that takes long.
    """
    return lambda wildcards: function(*arguments, job, wildcards)


def initial_paths(job, wildcards):
    """Weight files that the runs of a job start from, other than the job's own."""
    runs = job.runs_of(wildcards)
    own = {f"{run_folder(run)}/weights.safetensors" for run in runs}
    paths = (initial_of(run)["path"] for run in runs)
    return sorted({path for path in paths if path is not None} - own)


def job_dataset(job, wildcards):
    """Dataset of a job."""
    return job.runs_of(wildcards)[0].dataset


def dataset_table(step, name, job, wildcards):
    """Path of a table of the job's dataset."""
    return f"{RESULTS}/{step}/{job_dataset(job, wildcards)}/{name}"


def subset_keys(job, wildcards):
    """(percent, seed) of the training subsets that a job reads."""
    return sorted({(run.percent, run.seed) for run in job.runs_of(wildcards)})


def subset_tables(job, wildcards):
    """Training subsets that a job reads."""
    folder = f"{RESULTS}/subsets/{job_dataset(job, wildcards)}"
    return [
        f"{folder}/percent-{percent}/seed-{seed}/subset.csv" for percent, seed in subset_keys(job, wildcards)
    ]


def run_specs(job, wildcards):
    """What the finetune script needs to know of every run; a rate that was searched for it reads itself."""
    return [
        {"run": run.asdict(), "initial": initial_of(run), "learning_rate": None}
        for run in job.runs_of(wildcards)
    ]


def choices_of(job, wildcards):
    """Tables of the learning rates that were chosen for the arms of a job's runs."""
    if not RATES:
        return []
    arms = {(run.dataset, run.model, run.init) for run in job.runs_of(wildcards)}
    return [f"{TRAINING}/{dataset}/{model}/{init}/choices.csv" for dataset, model, init in sorted(arms)]


def job_catalogue(job, wildcards):
    """The catalogue's entry of a job's model."""
    return catalogue_entry(job.runs_of(wildcards)[0].model)


@cache
def catalogue_entry(model):
    """What the catalogue says of a model, as plain data: a parameter of every job that uses it."""
    return asdict(CATALOGUE[model])


def job_facts(job, wildcards):
    """What the training script needs to know of a job (chestct.training.job.Job), tables aside."""
    first = job.runs_of(wildcards)[0]
    return {
        "settings": asdict(configuration.training_settings(config, first.model)),
        "display_window_hu": DATASETS[first.dataset]["display_window_hu"],
        "window_slices": config["subsets"]["window_slices"],
        "num_workers": config["training"]["num_workers"],
        "gpus": config["training"]["gpus"],
        "code_digest": code("training", "models"),
    }


def training_inputs(job):
    """Files that a job of training or of trials reads."""
    return {
        "initial": of(job, initial_paths),
        "index": of(job, dataset_table, "volumes", "index.csv"),
        "windows": of(job, dataset_table, "subsets", "windows.parquet"),
        "splits": of(job, dataset_table, "subsets", "splits.csv"),
        "subsets": of(job, subset_tables),
    }


def training_params(job, specs):
    """Parameters of a job of training or of trials; ``specs`` says what is told of every run."""
    return {
        "runs": of(job, specs),
        "job": of(job, job_facts),
        "subset_keys": of(job, subset_keys),
        "catalogue": of(job, job_catalogue),
    }


# --- Trials of the learning-rate search

RATE_FOLDER = f"{ARM_FOLDER}/rate-{{rate}}"
ALL_RATE_FOLDERS = [f"{ARM_FOLDER}/rate-{rate}" for rate in RATES]
ADOPTED_FOLDER = RUN_FOLDER.replace("{percent}", str(config["training"]["selection_percent"]))
ADOPTED_FOLDER = ADOPTED_FOLDER.replace("{seed}", str(config["seeds"][0])).replace("{fold}", "0")
SELECTION_CODE = digest_files([PACKAGE_DIR / "training" / "selection.py"])


class TrialJob(NamedTuple):
    """The trials of one arm in one job, or a trial a job (training.one_job_per)."""

    label: str
    folders: list

    def runs_of(self, wildcards):
        """The run that is tried with one rate or all."""
        return [SELECTION_RUNS[wildcards.dataset, wildcards.model, wildcards.init]]

    def rates(self, wildcards):
        """The rates that a job tries."""
        return [RATES[wildcards.rate]] if "rate" in wildcards.keys() else list(RATES.values())


def trial_files(folders):
    """Files of trials, by name, in the order of the folders."""
    return {name: [f"{folder}/{file}" for folder in folders] for name, file in RUN_FILES.items()}


TRIAL_JOB = (
    TrialJob("{dataset}/{model}/{init}", ALL_RATE_FOLDERS)
    if config["training"]["one_job_per"] == "model"
    else TrialJob("{dataset}/{model}/{init}-{rate}", [RATE_FOLDER])
)


def trial_specs(job, wildcards):
    """What the script needs to know of every trial."""
    run = job.runs_of(wildcards)[0]
    return [
        {"run": run.asdict(), "initial": initial_of(run), "learning_rate": rate}
        for rate in job.rates(wildcards)
    ]
