# What a run under Slurm begins and ends with: what a site may lack or refuse is found before the first job. No rules.

import shlex
from collections import Counter
from threading import Thread

from chestct.jobs import slurm_commands, slurm_requests, slurm_site
from chestct.plan.scans import count_scans
from chestct.status.slurm_queue import cancel_left_over
from chestct.status.stuck_jobs import watch

# As the user set it: the plugin removes it.
SLURM_CONF = os.environ.get("SLURM_CONF")
# TMPDIR as it was asked for: if a node has no such folder, Slurm and Python silently take /tmp.
here = os.environ.get("TMPDIR", "")
if "CHESTCT_TMPDIR" not in os.environ or (here and not os.access(here, os.W_OK | os.X_OK)):
    os.environ.update(CHESTCT_TMPDIR=here)

# The plugin refuses several generic resources: sbatch gets them all the same (start_on_slurm).
if len(slurm_commands.generic_resources(SITE.get("gres"))) > 1:
    workflow.resource_settings._parsed_default_resources["gres"] = None


def on_slurm():
    """Whether jobs are submitted to Slurm: of the executors, its plugin alone has this setting."""
    return hasattr(workflow.executor_settings, "array_jobs")


def start_on_slurm():
    """Check and prepare what a site may lack or refuse, before the first job is submitted.

    Only as a run starts does Snakemake know the executor and its options.
    """
    executor, limit = workflow.scheduler._executor, workflow.resource_settings.nodes
    # The plugin (2.8.0) never submits those jobs of a rule of slurm-array-jobs that `jobs` holds back.
    if executor.array_jobs and limit < 100_000:
        raise WorkflowError(
            f"jobs={limit} together with slurm-array-jobs would hang the run. Remove "
            "the line slurm-array-jobs from profiles/slurm/config.yaml, or leave jobs at 100000 there."
        )
    folder = Path(".snakemake").resolve()
    # As in profiles/slurm, for profiles that do not set it.
    os.environ.setdefault("XDG_CACHE_HOME", str(folder / "cache"))
    conf = slurm_commands.needed_configuration(SLURM_CONF, os.environ)
    commands = partial(
        slurm_commands.write_commands,
        folder / "slurm_commands",
        os.environ,
        slurm_conf=conf,
        gres=SITE.get("gres"),
    )
    commands()
    if slurm_commands.refuses_comments(options_of_sbatch()):
        commands(no_comment=True)
        logger.warning("This site refuses comments of jobs: they have none.")
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    # Of several clusters, only the one is known where Snakemake runs.
    here = not {"cluster", "clusters", "slurm_cluster"} & set(SITE)
    partitions = slurm_site.read_partitions(here and slurm_site.output_of(slurm_site.SINFO) or "")
    requests = [slurm_requests.Request.of(job.rule.name, job.resources, job.threads) for job in jobs]
    retries = workflow.execution_settings.retries
    for sentence in slurm_requests.check_requests(requests, partitions, SITE, retries=retries):
        logger.warning(sentence)
    largest = slurm_site.largest_array(slurm_site.output_of(["scontrol", "show", "config"]))
    too_many = slurm_requests.too_many_for_arrays(jobs_by_rule(), executor.array_jobs, largest)
    if "all" in executor.array_jobs:
        executor.array_jobs = {rule.name for rule in workflow.rules}
    executor.array_jobs -= {*too_many}
    for sentence in too_many.values():
        logger.info(sentence)
    Thread(target=watch, args=(Path.cwd(), logger.warning), daemon=True).start()


def options_of_sbatch():
    """Options of sbatch that the profile states for every job."""
    settings = workflow.executor_settings
    options = {
        "partition": SITE.get("slurm_partition"),
        "account": SITE.get("slurm_account", "").replace(",", " ").partition(" ")[0],
        "time": SITE.get("max_runtime"),
        "qos": settings.qos,
        "reservation": settings.reservation,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value]
    return given + shlex.split(SITE.get("slurm_extra", ""))


def jobs_by_rule():
    """Number of jobs by rule, with those of conversion that are known only once series are listed."""
    numbers = Counter(job.rule.name for job in workflow.dag.needrun_jobs())
    if numbers["list_series"]:
        shards = sum(count_scans(config, entry).num_shards for entry in config["datasets"])
        # A number that is not known is NaN, and no limit.
        if not shards <= numbers["convert_series"]:
            numbers["convert_series"] = shards
    return numbers


onstart:
    if on_slurm():
        try:
            start_on_slurm()
        except InputError as error:
            raise WorkflowError(str(error)) from None


onerror:
    # After Ctrl-C the plugin cancels the jobs that it knows, while others are still being submitted.
    if on_slurm():
        sentence = cancel_left_over(Path.cwd(), workflow.scheduler._executor.run_uuid)
        if sentence:
            logger.warning(sentence)
