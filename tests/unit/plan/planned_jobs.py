"""Jobs of a study as the plan counts them, for the tests of the plan."""

from chestct.catalogue import MODELS
from chestct.plan.cost import PlannedJob
from chestct.run_grid import list_arms, list_runs, list_searches, selection_run


def job(rule, after=(), to_do=True, **wildcards):
    return PlannedJob(rule=rule, wildcards=wildcards, after=after, to_do=to_do)


ARM = {"dataset": "lidc", "model": "slow_r50", "init": "video"}
RUN = {"percent": "10", "seed": "0", "fold": "0"}


def study_jobs(config, to_do=True):
    """Trials, choices and runs of a study, and a rule of shards that are not known yet."""
    names = ("dataset", "model", "init")
    arms = [dict(zip(names, arm, strict=True)) for arm in list_searches(config)]
    rates = config["training"]["learning_rates"]
    jobs = [job("try_learning_rates", rate=str(rate), to_do=False, **arm) for arm in arms for rate in rates]
    jobs += [job("choose_learning_rate", **arm) for arm in arms if rates]
    adopted = {selection_run(config, *arm.values()) for arm in arms if rates}
    runs = [run.asdict() for run in list_runs(config) if run not in adopted]
    trained = [run for run in runs if not MODELS[run["model"]].frozen]
    jobs += [job("finetune", **{key: str(value) for key, value in run.items()}) for run in trained]
    probes = [arm for arm in list_arms(config) if MODELS[arm[1]].frozen]
    rules = ("extract_features", "fit_probes")
    return jobs + [job(rule, **dict(zip(names, arm, strict=True))) for arm in probes for rule in rules]


RULES = {
    "convert_series": ["shard", "dataset"],
    "try_learning_rates": ["dataset", "model", "init", "rate"],
    "finetune": ["dataset", "model"],
    "extract_features": ["dataset", "model", "init"],
    "fit_probes": ["dataset", "model", "init"],
    "cite_data": [],
}
