# Input functions and parameters of the rules, by what they are about. No rules here: Snakemake's linter wants
# functions in files of their own.

from chestct.dataset_entries import shares_volumes
from chestct.download.sources import own_files
from chestct.files import digest_object
from chestct.tables import read_table

# Datasets and test sets


def dataset_entry(wildcards):
    """Configuration of the dataset of a job."""
    return DATASETS[wildcards.dataset]


def trained_on(wildcards):
    """Dataset whose models a job's test set scores."""
    return OUTSIDE[wildcards.dataset].trained if wildcards.dataset in OUTSIDE else wildcards.dataset


def scans_from(wildcards):
    """Dataset whose scans make up a job's test set."""
    return OUTSIDE[wildcards.dataset].tested if wildcards.dataset in OUTSIDE else wildcards.dataset


def seen_by(wildcards):
    """Datasets that the models of an outside test were trained on."""
    trained = DATASETS[OUTSIDE[wildcards.outside].trained]
    return [trained["name"], *filter(None, [trained.get("ct_source")])]


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


# Files of the user and labels


def label_source(wildcards):
    """Label file of a source, which no rule makes; one that is missing is for the rule's script to explain."""
    entry = dataset_entry(wildcards)
    path = entry.get("table") if entry["source"] == "own_data" else None
    if entry["source"] == "rspect" and "folder" in entry:
        path = f"{entry['folder']}/train.csv"
    if entry["source"] == "lidc_nodules":  # a table of the project's own
        path = str(PACKAGE_DIR / "download" / "labels" / "lidc_nodules.csv")
    return [path] if path and Path(path).is_file() else []


def checked_by(wildcards):
    """Table that a source's files are held against as they are obtained, where the project carries one."""
    return label_source(wildcards) if dataset_entry(wildcards)["source"] == "lidc_nodules" else []


own_version = cache(own_files.count_changes)


def version_of_files(wildcards):
    """How often the user's own files of a shard have changed, so that they are looked at again."""
    entry = dataset_entry(wildcards)
    own = entry["source"] == "own_data" and "scans_of" not in entry
    return own_version(Path(DATA, wildcards.dataset), int(wildcards.shard)) if own else 0


def readers_of_slices(entry):
    """Readers who must have marked a slice; no more than make a scan positive, or its windows would have none."""
    wanted = config["subsets"]["min_readers"]
    return min(wanted, entry.get("consensus", wanted)) if entry["source"] in FOUR_READINGS else 1


# Shards of volumes, and windows


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


def shared_volumes(suffix):
    """Input function: a file of the same shard of the dataset whose volumes the job's dataset shares, if any."""
    shared = shared_with(f"{VOLUMES}/{{base}}/shard-{{shard}}.{suffix}")
    return lambda wildcards: (
        shared(wildcards) if shares_volumes(dataset_entry(wildcards), config["datasets"]) else []
    )


def window_table_of(dataset, model):
    """The windows of a dataset in the form that a model sees."""
    form = window_forms.TABLES[CATALOGUE[model].sees]
    return f"{RESULTS}/subsets/{dataset}/{form}.parquet"


def window_table(wildcards):
    """The windows of a job's dataset in the form that its model sees."""
    return window_table_of(wildcards.dataset, wildcards.model)


# Training settings


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


# Runs of a job


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


# Frozen probes


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


# Report


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
