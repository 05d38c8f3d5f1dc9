"""The grid of runs that a configuration spans, and what every run needs to know."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from chestct.catalogue import INIT_TITLES, LONGER, MODELS
from chestct.dataset_entries import trained_datasets
from chestct.run import Run
from chestct.training.settings import TrainingSettings
from chestct.window_forms import TABLES


def trained_names(config: dict[str, Any]) -> list[str]:
    """Names of the datasets that models are trained on, in order."""
    return trained_datasets(config["datasets"])


def model_inits(config: dict[str, Any], model: str, dataset: str) -> list[str]:
    """Inits of a model on a dataset: its own or the study's, if model and dataset have them."""
    entry = next((entry for entry in config["models"] if entry["name"] == model), {"name": model})
    has_ct = "ct_source" in next(e for e in config["datasets"] if e["name"] == dataset)
    allowed = entry.get("inits", config["inits"])
    return [
        init
        for init in INIT_TITLES
        if init in allowed and init in MODELS[model].inits and (has_ct or init not in ("ct", "video_ct"))
    ]


def list_arms(config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(dataset, model, init) of every arm that a configuration spans, in a fixed order."""
    return [
        (dataset, model["name"], init)
        for dataset in trained_names(config)
        for model in config["models"]
        for init in model_inits(config, model["name"], dataset)
    ]


def list_runs(config: dict[str, Any]) -> list[Run]:
    """All training runs that a configuration spans, in a fixed order."""
    return [
        Run(dataset=dataset, model=model, init=init, percent=percent, seed=seed, fold=fold)
        for dataset, model, init in list_arms(config)
        for percent in config["percents"]
        for seed in config["seeds"]
        for fold in range(config["subsets"]["folds"])
    ]


def list_searches(config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Arms that try learning rates: no frozen probes, which have none.

    Those that train longer (``LONGER``) take the rate of the shorter arm.
    """
    return [arm for arm in list_arms(config) if arm[2] not in LONGER and not MODELS[arm[1]].frozen]


def selection_run(config: dict[str, Any], dataset: str, model: str, init: str) -> Run:
    """The run that an arm's learning rates are tried on: the first seed and fold of selection_percent.

    A trial with the rate that is then chosen is this very run.
    """
    percent, seed = config["training"]["selection_percent"], config["seeds"][0]
    return Run(dataset=dataset, model=model, init=init, percent=percent, seed=seed, fold=0)


def training_settings(config: dict[str, Any], model: str, init: str = "") -> TrainingSettings:
    """Settings of a model's training: the training block with the model's own overrides.

    All arms of a model share them but for the budget factor of those that train longer (``LONGER``).
    """
    training, sees = config["training"], MODELS[model].sees
    length = {} if sees == "window" else training[TABLES[sees]]
    values = training | length | next(entry for entry in config["models"] if entry["name"] == model)
    factor = values["long_factor"] if init in LONGER else 1
    return TrainingSettings.of(values | {"budget_factor": factor})


def initial_weights(config: dict[str, Any], run: Run) -> dict[str, Any]:
    """Where a run's weights start.

    Returns:
        kind: "none", "published" (a weights_id), "pretraining" (the study's own video pretraining of
        the model) or "run" (another run's final weights); and what identifies it.

    CT pretraining is the training on the source dataset from scratch (``ct``) or from video
    (``video_ct``) with all its training patients: an existing run, shared and never repeated. With
    several folds it is the source's run of the same fold; datasets share no patients. A probe reads the
    features of the model that it probes: pretraining of any kind is that model's own.
    """
    entry = MODELS[run.model]
    base = entry.probe_of or run.model
    if entry.features_from is not None:
        return {"kind": "run", "run": replace(run, model=entry.features_from)}
    if LONGER.get(run.init, run.init) == "scratch":
        return {"kind": "none"}
    if run.init in ("ct", "video_ct"):
        dataset = next(e for e in config["datasets"] if e["name"] == run.dataset)["ct_source"]
        start = "scratch" if run.init == "ct" else "video"
        return {"kind": "run", "run": replace(run, dataset=dataset, model=base, init=start, percent=100)}
    if run.init in entry.weights:
        return {"kind": "published", "weights_id": entry.weights[run.init]}
    assert run.init == "video"
    return {"kind": "pretraining", "model": base}


def starting_point(config: dict[str, Any], run: Run) -> str:
    """Name of the network that a probe's run reads, among those of its dataset, model and init.

    Weights from elsewhere are one network for all runs. A random network is drawn once a seed, for all
    percents and folds. Of CT pretraining there is one a seed and fold.
    """
    kind = initial_weights(config, run)["kind"]
    if kind == "none":
        return f"seed-{run.seed}"
    return f"seed-{run.seed}-fold-{run.fold}" if kind == "run" else "shared"


def iter_weights_ids(config: dict[str, Any]) -> Iterator[str]:
    """Published weights that the study's runs need."""
    starts = (initial_weights(config, run) for run in list_runs(config))
    yield from sorted({start["weights_id"] for start in starts if start["kind"] == "published"})
