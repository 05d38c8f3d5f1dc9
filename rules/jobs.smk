# How training runs become jobs. No rules here.

from dataclasses import asdict
from typing import NamedTuple

TRAINING = f"{RESULTS}/training"
RUN_FOLDER = f"{TRAINING}/{{dataset}}/{{model}}/{{init}}/percent-{{percent}}/seed-{{seed}}/fold-{{fold}}"


class FinetuneJob(NamedTuple):
    """A rule's worth of runs: one run by wildcards, or all runs of a model on a dataset.

    Short runs share a job, since importing torch and Lightning takes as long as such a run; long
    runs get a job each (training.one_job_per).
    """

    name: str
    label: str
    priority: int
    runs: list | None

    def folders(self):
        """Output folders of the runs, or the one pattern."""
        return [RUN_FOLDER] if self.runs is None else [run_folder(run) for run in self.runs]

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
        for dataset in DATASETS
        for model in MODELS
        if (runs := runs_of(dataset, model))
    ]


def priority_of(dataset, model):
    """What others wait for or what takes longest starts first, so that no job runs on alone at the end.

    Jobs of a dataset that supplies CT-pretrained weights come first, then models with published
    weights, which are full-size.
    """
    is_source = any(entry.get("ct_source") == dataset for entry in DATASETS.values())
    return 2 * is_source + bool(CATALOGUE[model].weights)


def runs_of(dataset, model):
    """All runs of one model on one dataset."""
    return [run for run in RUNS if (run.dataset, run.model) == (dataset, model)]


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
    """What the finetune script needs to know of every run."""
    return [{"run": run.asdict(), "initial": initial_of(run)} for run in job.runs_of(wildcards)]


def job_settings(job, wildcards):
    """Training settings of a job's model."""
    return configuration.training_settings(config, job.runs_of(wildcards)[0].model)


def job_catalogue(job, wildcards):
    """The catalogue's entry of a job's model."""
    return catalogue_entry(job.runs_of(wildcards)[0].model)


def catalogue_entry(model):
    """What the catalogue says of a model, as plain data: a parameter of every job that uses it."""
    return asdict(CATALOGUE[model])


def job_display_window(job, wildcards):
    """Display window of a job's dataset."""
    return DATASETS[job_dataset(job, wildcards)]["display_window_hu"]
