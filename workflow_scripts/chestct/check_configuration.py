"""The configuration is checked once, strictly, before any job runs."""

from typing import Any

from chestct.catalogue import LONGER, MODELS
from chestct.check_datasets import check_datasets, check_shared_scans
from chestct.check_schema import schema, schema_problems
from chestct.check_values import check_values
from chestct.configuration_problem import Problems
from chestct.configuration_problem import problem as _problem
from chestct.dataset_entries import resolve_entries
from chestct.near_words import suggestion
from chestct.run_grid import initial_weights, list_runs, model_inits, trained_names, training_settings
from chestct.training.budget import check_parts
from chestct.window_forms import SLICES_KEYS, check_marks, slices_seen


def check_configuration(config: dict[str, Any]) -> None:
    """Stop at unknown keys, wrong types and impossible values; as many as can be told are told at once.

    Args:
        config: the resolved configuration (config.yaml with overlays).

    Raises:
        InputError: names the key, what was expected and the remedy; of each, if there are several.
    """
    # Alone: what is said of other keys may repeat their values, which must not be secrets.
    check_values(config)
    problems = Problems()
    for error in schema_problems(config):
        problems.add(error)
    problems.check()
    with problems.kept():
        config = config | {"datasets": _check_entries(config, problems)}
    _check_numbers(config, problems)
    problems.check()  # models are checked on their datasets and at these sizes
    _check_models(config, problems)
    problems.check()
    with problems.kept():
        _check_starts(config)
    _check_training(config, problems)
    problems.check()


def source_entry(entry: dict[str, Any], *, labels: bool = False) -> dict[str, Any]:
    """The keys of a dataset's entry that say what its source gives, without those on the dataset's use.

    Args:
        entry: of the dataset, resolved.
        labels: with those that say how labels are read.
    """
    left_out = {"use"} if labels else {"use", "labels"}
    return {key: value for key, value in entry.items() if _dataset_keys()[key].get("of") not in left_out}


def _dataset_keys() -> dict[str, Any]:
    return schema()["properties"]["datasets"]["items"]["properties"]


def _check_entries(config: dict[str, Any], problems: Problems) -> list[dict[str, Any]]:
    """The datasets' entries, resolved, if they can be."""
    entries = config["datasets"]
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise _problem(f"dataset names repeat: {names}", "datasets", "a name each", "rename one")
    check_shared_scans(entries, {key for key, rule in _dataset_keys().items() if "of" in rule})
    resolved = resolve_entries(entries)
    check_datasets(resolved, problems, folds=config["subsets"]["folds"])
    return resolved


def _check_models(config: dict[str, Any], problems: Problems) -> None:
    names = [entry["name"] for entry in config["models"]]
    for entry in config["models"]:
        with problems.kept():
            _check_model(entry, config)
    problems.check()
    if len(set(names)) < len(names):
        raise _problem(f"models repeat: {names}", "models", "each model once", "remove the repetition")
    of_the_seven = [name for name in names if MODELS[name].seven]
    if len(of_the_seven) > 7:
        raise _problem(
            f"{len(of_the_seven)} models would go into the mean of the seven: {of_the_seven}",
            "models",
            "each of the seven at full size or narrow",
            "drop one form, or put it in a study of its own",
        )


def _check_model(entry: dict[str, Any], config: dict[str, Any]) -> None:
    """Stop where the catalogue lacks a model, or it cannot be trained as it is configured."""
    name, key = entry["name"], f"models.{entry['name']}"
    if name not in MODELS:
        raise _problem(f"unknown model '{name}'", "models", "a known model", suggestion(name, MODELS))
    windows = [
        (SLICES_KEYS[MODELS[name].sees], slices_seen(config["subsets"], name), MODELS[name].slices),
        ("training.crop_px", config["training"]["crop_px"], MODELS[name].size_px),
    ]
    for setting, value, (low, high) in windows:
        if not low <= value <= high:
            raise _problem(
                f"{value} does not fit model '{name}'",
                setting,
                f"{low} to {high}",
                "change it or the model",
            )
    impossible = [init for init in entry.get("inits", []) if init not in MODELS[name].inits]
    if impossible:
        raise _problem(
            f"model '{name}' has no init {impossible}",
            key,
            f"some of {list(MODELS[name].inits)}",
            "remove it from the model's inits",
        )
    _check_probe(entry, key)
    check_marks([entry for entry in config["datasets"] if entry.get("train", True)], name)
    own = {init for dataset in trained_names(config) for init in model_inits(config, name, dataset)}
    for init in sorted(own & set(LONGER)):
        if LONGER[init] not in own:
            raise _problem(
                f"'{name}' has {init} without {LONGER[init]}, of which it is only a longer training",
                key,
                f"{LONGER[init]} among the model's inits",
                f"add {LONGER[init]}, or remove {init}",
            )
    if not own:
        raise _problem(
            f"no init of the study fits model '{name}'",
            key,
            f"some of {list(MODELS[name].inits)} in inits",
            "add an init or drop the model",
        )


def _check_probe(entry: dict[str, Any], key: str) -> None:
    """A frozen probe is fitted, not trained: keys on the length and rate of training mean nothing for it."""
    meaningless = [name for name in ("learning_rate", "budget") if name in entry]
    if MODELS[entry["name"]].frozen and meaningless:
        raise _problem(
            f"'{entry['name']}' is a frozen probe, which has no {' and no '.join(meaningless)}",
            key,
            "name, inits, batch_size and accumulate (memory alone): its head is a logistic regression, whose "
            "penalty validation chooses",
            f"remove {' and '.join(meaningless)} from it",
        )


def _check_starts(config: dict[str, Any]) -> None:
    """Every run starts from weights that the study has: published ones, or another of its runs."""
    runs, names = set(list_runs(config)), [entry["name"] for entry in config["models"]]
    if 100 not in config["percents"] and any(run.init in ("ct", "video_ct") for run in runs):
        raise _problem(
            "CT pretraining takes all training patients of its source dataset, but percents lacks 100",
            "percents",
            "100 among the percents",
            "add 100, or remove the inits ct and video_ct",
        )
    for run in sorted(runs):
        start = initial_weights(config, run)
        key, probed = f"models.{run.model}", MODELS[run.model].probe_of
        if start["kind"] == "pretraining" and start["model"] not in names:
            raise _problem(
                f"'{run.model}' starts from the video pretraining of '{probed}', which the study lacks",
                key,
                f"'{probed}' among the models",
                f"add '{probed}', or take video from the inits of '{run.model}'",
            )
        if start["kind"] != "run" or start["run"] in runs:
            continue
        source = start["run"]
        if MODELS[run.model].features_from is not None:
            raise _problem(
                f"model '{run.model}' needs '{source.model}', which lacks '{source.init}'",
                key,
                f"'{source.model}' among the models, with the inits of '{run.model}'",
                f"add '{source.model}' or the init, or drop '{run.model}'",
            )
        of = f"of '{source.model}', whose features it probes, " if probed else ""
        raise _problem(
            f"'{run.model}' from {run.init} on '{run.dataset}' starts from the run {of}on "
            f"'{source.dataset}' from {source.init}, which the study lacks",
            key,
            f"model '{source.model}' with {source.init} among its inits",
            f"add it, or take {run.init} from the inits of '{run.model}'",
        )


def _check_numbers(config: dict[str, Any], problems: Problems) -> None:
    subsets, volumes, training = config["subsets"], config["volumes"], config["training"]
    total = sum(subsets["split"].values())
    if abs(total - 1) > 1e-6:
        effect = "splits would overlap" if total > 1 else "patients would be left out"
        problems.add(
            _problem(
                f"the shares of patients sum to {total:g}, so {effect}",
                "subsets.split",
                "shares that sum to 1",
                "correct train, validation or test",
            )
        )
    window = subsets["window_slices"]
    bounds = [
        ("training.crop_px", training["crop_px"], "volumes.size_px", volumes["size_px"]),
        ("subsets.window_stride", subsets["window_stride"], "window_slices", window),
        ("subsets.min_positive_slices", subsets["min_positive_slices"], "window_slices", window),
    ]
    for key, value, limit_key, limit in bounds:
        if value > limit:
            words = f"{value} exceeds {limit_key} ({limit})"
            problems.add(_problem(words, key, f"at most {limit}", "lower it or raise the limit"))


def _check_training(config: dict[str, Any], problems: Problems) -> None:
    for check in (_check_length, _check_rates, _check_precision):
        with problems.kept():
            check(config)
    for entry in config["models"]:
        if not MODELS[entry["name"]].frozen:  # else never trained in batches
            with problems.kept():
                _check_batch(config, entry["name"])


def _check_length(config: dict[str, Any]) -> None:
    factor = config["training"]["long_factor"]
    if factor < 1:
        raise _problem(
            f"scratch_long would train {factor:g} times as long as scratch, so not longer",
            "training.long_factor",
            "a factor of at least 1",
            "give how many times as many windows scratch_long sees, such as 6",
        )


def _check_rates(config: dict[str, Any]) -> None:
    training = config["training"]
    percent = training["selection_percent"]
    if training["learning_rates"] and percent not in config["percents"]:
        raise _problem(
            f"learning rates are tried on {percent} % of the training patients, no share of this study",
            "training.selection_percent",
            f"one of {config['percents']}",
            "choose one of them, or add it to percents",
        )
    if training["learning_rates"] and config["subsets"]["validation_labels"] == "percent":
        raise _problem(
            "a percent that counts the validation labels leaves none for a search of learning rates, which "
            f"would see those of {percent} % of the patients",
            "subsets.validation_labels",
            "all, where learning_rates are tried",
            "set validation_labels: all, or learning_rates: [] and a learning_rate fixed beforehand",
        )


def _check_precision(config: dict[str, Any]) -> None:
    training = config["training"]
    if training["precision"] == "16-mixed" and not training["gpus"]:
        raise _problem(
            "16-mixed needs a GPU",
            "training.precision",
            "32-true or bf16-mixed",
            "change it, or ask for gpus",
        )


def _check_batch(config: dict[str, Any], model: str) -> None:
    training = config["training"]
    settings = training_settings(config, model)
    parts = max(1, training["gpus"]) * training["nodes"] * settings.accumulate
    if settings.batch_size % parts:
        raise _problem(
            f"{settings.batch_size} windows of '{model}' do not divide into {parts} parts "
            "(GPUs x accumulate)",
            "training.batch_size",
            f"a multiple of {parts}",
            "change batch_size, accumulate or gpus",
        )
    check_parts(model, settings, gpus=training["gpus"])
