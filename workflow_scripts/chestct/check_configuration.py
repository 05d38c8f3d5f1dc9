"""The configuration is checked once, strictly, before any job runs."""

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from chestct.catalogue import LONGER, MODELS
from chestct.check_datasets import check_datasets, check_shared_scans
from chestct.check_values import check_values
from chestct.configuration_problem import problem as _problem
from chestct.dataset_entries import resolve_entries
from chestct.errors import InputError
from chestct.run_grid import initial_weights, list_runs, model_inits, trained_names, training_settings
from chestct.training.budget import check_parts
from chestct.window_forms import SLICES_KEYS, check_marks, slices_seen

#: To JSON Schema 1.0 is an integer; paths of files would have it as "1.0".
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
_SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"


def _closest(word: str, words: list[str]) -> str:
    matches = difflib.get_close_matches(word, words, n=1)
    return f"did you mean '{matches[0]}'?" if matches else f"choose one of {', '.join(words)}"


def _explain(error: ValidationError) -> InputError:
    key = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    schema: dict[str, Any] = error.schema  # type: ignore[assignment]
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        unknown = [name for name in error.instance if name not in known]  # type: ignore[union-attr]
        return _problem(
            f"unknown key(s) {unknown}", key, f"keys among {', '.join(known)}", _closest(unknown[0], known)
        )
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]  # type: ignore
        return _problem(f"missing key(s) {missing}", key, "every required key", "add them; see config.yaml")
    if error.validator == "enum":
        values = [str(value) for value in schema["enum"]]
        return _problem(
            f"unknown value {error.instance!r}",
            key,
            ", ".join(values),
            _closest(str(error.instance), values),
        )
    expected = {name: value for name, value in schema.items() if name not in ("description", "properties")}
    return _problem(error.message, key, str(expected), "correct the value; see the comments in config.yaml")


@cache
def _schema() -> dict[str, Any]:
    # In Python alone, reading it took longer than all other checks.
    return yaml.load(_SCHEMA.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def check_configuration(config: dict[str, Any]) -> None:
    """Stop at the first unknown key, wrong type or impossible value.

    Args:
        config: the resolved configuration (config.yaml with overlays).

    Raises:
        InputError: names the key, what was expected and the remedy.
    """
    check_values(config)
    error = best_match(_Validator(_schema()).iter_errors(config))
    if error is not None:
        raise _explain(error)
    config = config | {"datasets": _check_entries(config)}
    _check_models(config)
    _check_starts(config)
    _check_numbers(config)
    _check_training(config)


def source_entry(entry: dict[str, Any], *, labels: bool = False) -> dict[str, Any]:
    """The keys of a dataset's entry that say what its source gives, without those on the dataset's use.

    Args:
        entry: of the dataset, resolved.
        labels: with those that say how labels are read.
    """
    left_out = {"use"} if labels else {"use", "labels"}
    return {key: value for key, value in entry.items() if _dataset_keys()[key].get("of") not in left_out}


def _dataset_keys() -> dict[str, Any]:
    return _schema()["properties"]["datasets"]["items"]["properties"]


def _check_entries(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The datasets' entries, resolved, if they can be."""
    entries = config["datasets"]
    names = [entry["name"] for entry in entries]
    if len(set(names)) < len(names):
        raise _problem(f"dataset names repeat: {names}", "datasets", "a name each", "rename one")
    check_shared_scans(entries, {key for key, schema in _dataset_keys().items() if "of" in schema})
    resolved = resolve_entries(entries)
    check_datasets(resolved, folds=config["subsets"]["folds"])
    return resolved


def _check_models(config: dict[str, Any]) -> None:
    names = [entry["name"] for entry in config["models"]]
    for entry in config["models"]:
        name, key = entry["name"], f"models.{entry['name']}"
        if name not in MODELS:
            raise _problem(f"unknown model '{name}'", "models", "a known model", _closest(name, list(MODELS)))
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
                    f"'{name}' has {init} without {LONGER[init]}, than which it only trains longer",
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
                f"'{run.model}' starts from the video pretraining of '{probed}', no model of this study",
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


def _check_numbers(config: dict[str, Any]) -> None:
    subsets, volumes, training = config["subsets"], config["volumes"], config["training"]
    total = sum(subsets["split"].values())
    if abs(total - 1) > 1e-6:
        effect = "splits would overlap" if total > 1 else "patients would be left out"
        raise _problem(
            f"the shares of patients sum to {total:g}, so {effect}",
            "subsets.split",
            "shares that sum to 1",
            "correct train, validation or test",
        )
    window = subsets["window_slices"]
    bounds = [
        ("training.crop_px", training["crop_px"], "volumes.size_px", volumes["size_px"]),
        ("subsets.window_stride", subsets["window_stride"], "window_slices", window),
        ("subsets.min_positive_slices", subsets["min_positive_slices"], "window_slices", window),
    ]
    for key, value, limit_key, limit in bounds:
        if value > limit:
            raise _problem(
                f"{value} exceeds {limit_key} ({limit})",
                key,
                f"at most {limit}",
                "lower it or raise the limit",
            )


def _check_training(config: dict[str, Any]) -> None:
    training = config["training"]
    if training["long_factor"] < 1:
        raise _problem(
            f"scratch_long would train {training['long_factor']:g} times as long as scratch, so not longer",
            "training.long_factor",
            "a factor of at least 1",
            "give how many times as many windows scratch_long sees, such as 6",
        )
    percent = training["selection_percent"]
    if training["learning_rates"] and percent not in config["percents"]:
        raise _problem(
            f"learning rates are tried on {percent} % of the training patients, no percent of this study",
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
    if training["precision"] == "16-mixed" and not training["gpus"]:
        raise _problem(
            "16-mixed needs a GPU",
            "training.precision",
            "32-true or bf16-mixed",
            "change it, or ask for gpus",
        )
    processes = max(1, training["gpus"]) * training["nodes"]
    for entry in config["models"]:
        if MODELS[entry["name"]].frozen:
            continue  # never trained in batches
        settings = training_settings(config, entry["name"])
        parts = processes * settings.accumulate
        if settings.batch_size % parts:
            raise _problem(
                f"{settings.batch_size} windows of '{entry['name']}' do not divide into {parts} parts "
                "(GPUs x accumulate)",
                "training.batch_size",
                f"a multiple of {parts}",
                "change batch_size, accumulate or gpus",
            )
        check_parts(entry["name"], settings, gpus=training["gpus"])
