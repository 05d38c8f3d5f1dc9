"""The configuration: checked once, strictly, before any job runs; and the grid of runs it spans."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from chestct.catalogue import INIT_TITLES, MODELS
from chestct.errors import InputError

_SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"

#: Keys that a source needs, beyond those every dataset has.
_SOURCE_KEYS = {
    "phantom_rspect": ["num_patients", "seed"],
    "phantom_lidc": ["num_patients", "seed"],
    "own_data": ["table", "columns"],
}
#: Who may have the files of a real source, and the keys that this needs.
_ORIGIN_KEYS = {
    "rspect": {"folder": ["folder"], "kaggle": [], "archive": ["archive_url"]},
    "lidc_idri": {"folder": ["folder"], "idc": []},
}


def _problem(what: str, key: str, expected: str, remedy: str) -> InputError:
    return InputError(what, where=f"configuration key '{key}'", expected=expected, remedy=remedy)


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


def check_configuration(config: dict[str, Any]) -> None:
    """Stop at the first unknown key, wrong type or impossible value.

    Args:
        config: the resolved configuration (config.yaml with overlays).

    Raises:
        InputError: names the key, what was expected and the remedy.
    """
    schema = yaml.safe_load(_SCHEMA.read_text())
    error = best_match(Draft202012Validator(schema).iter_errors(config))
    if error is not None:
        raise _explain(error)
    _check_datasets(config)
    _check_models(config)
    _check_numbers(config)


def _check_datasets(config: dict[str, Any]) -> None:
    names = [entry["name"] for entry in config["datasets"]]
    if len(set(names)) < len(names):
        raise _problem(f"dataset names repeat: {names}", "datasets", "a name each", "rename one")
    for entry in config["datasets"]:
        key = f"datasets.{entry['name']}"
        _check_origin(entry, key)
        source = entry.get("ct_source")
        if source is not None and (source not in names or source == entry["name"]):
            raise _problem(
                f"ct_source '{source}' is no other dataset of this study",
                key,
                f"one of {[name for name in names if name != entry['name']]}",
                "name a configured dataset, or remove ct_source",
            )
        rule = entry.get("label_rule")
        if rule and rule["positive_above"] < rule["negative_below"]:
            raise _problem(
                "label_rule makes a scan positive and negative at once",
                key,
                "positive_above at least negative_below",
                "raise positive_above",
            )
    if config["training"]["one_job_per"] == "model":
        sources = {entry["name"]: entry.get("ct_source") for entry in config["datasets"]}
        for name in names:
            seen, step = {name}, sources[name]
            while step is not None:
                if step in seen:
                    raise _problem(
                        "ct_source runs in a circle",
                        f"datasets.{name}",
                        "one direction while one_job_per is 'model'",
                        "set training.one_job_per to 'run', or remove a ct_source",
                    )
                seen.add(step)
                step = sources[step]


def _check_origin(entry: dict[str, Any], key: str) -> None:
    needed, origins = _SOURCE_KEYS.get(entry["source"], []), _ORIGIN_KEYS.get(entry["source"])
    words = f"source '{entry['source']}'"
    if origins is None and "from" in entry:
        raise _problem(f"{words} has no choice of `from`", key, "no such key", "remove it")
    if origins is not None:
        origin = entry.get("from", "folder")
        if origin not in origins:
            raise _problem(f"{words} is not had from '{origin}'", key, ", ".join(origins), "correct `from`")
        needed, words = origins[origin], f"{words}, from: {origin},"
    missing = [name for name in needed if name not in entry]
    if missing:
        others = f", or another `from`: {', '.join(origins)}" if origins else ""
        raise _problem(f"{words} needs {missing}", key, "these keys", f"add them to the dataset{others}")


def _check_models(config: dict[str, Any]) -> None:
    names = [entry["name"] for entry in config["models"]]
    for entry in config["models"]:
        name, key = entry["name"], f"models.{entry['name']}"
        if name not in MODELS:
            raise _problem(f"unknown model '{name}'", "models", "a known model", _closest(name, list(MODELS)))
        windows = [
            ("subsets.window_slices", config["subsets"]["window_slices"], MODELS[name].slices),
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
        if not any(model_inits(config, name, dataset) for dataset in dataset_names(config)):
            raise _problem(
                f"no init of the study fits model '{name}'",
                key,
                f"some of {list(MODELS[name].inits)} in inits",
                "add an init or drop the model",
            )
        features = MODELS[name].features_from
        if features is not None:
            lacking = [
                init
                for dataset in dataset_names(config)
                for init in model_inits(config, name, dataset)
                if features not in names or init not in model_inits(config, features, dataset)
            ]
            if lacking:
                raise _problem(
                    f"model '{name}' needs '{features}', which lacks {sorted(set(lacking))}",
                    key,
                    f"'{features}' among the models, with these inits",
                    f"add '{features}', or drop '{name}'",
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
    uses_ct = any(run.init in ("ct", "video_ct") for run in list_runs(config, check=False))
    if uses_ct and 100 not in config["percents"]:
        raise _problem(
            "CT pretraining takes all training patients of its source dataset, but percents lacks 100",
            "percents",
            "100 among the percents",
            "add 100, or remove the inits ct and video_ct",
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
    bounds = [
        ("training.crop_px", training["crop_px"], "volumes.size_px", volumes["size_px"]),
        ("subsets.window_stride", subsets["window_stride"], "window_slices", subsets["window_slices"]),
        (
            "subsets.min_positive_slices",
            subsets["min_positive_slices"],
            "window_slices",
            subsets["window_slices"],
        ),
    ]
    for key, value, limit_key, limit in bounds:
        if value > limit:
            raise _problem(
                f"{value} exceeds {limit_key} ({limit})",
                key,
                f"at most {limit}",
                "lower it or raise the limit",
            )


def dataset_names(config: dict[str, Any]) -> list[str]:
    """Names of the configured datasets, in order."""
    return [entry["name"] for entry in config["datasets"]]


def model_inits(config: dict[str, Any], model: str, dataset: str) -> list[str]:
    """Inits of one model on one dataset: configured, known for the model, possible for the dataset."""
    entry = next((entry for entry in config["models"] if entry["name"] == model), {"name": model})
    has_ct = "ct_source" in next(e for e in config["datasets"] if e["name"] == dataset)
    allowed = entry.get("inits", config["inits"])
    return [
        init
        for init in INIT_TITLES
        if init in allowed
        and init in config["inits"]
        and init in MODELS[model].inits
        and (has_ct or init not in ("ct", "video_ct"))
    ]


@dataclass(frozen=True, kw_only=True, order=True)
class Run:
    """One training run: everything that tells it from the others of a study."""

    dataset: str
    model: str
    init: str
    percent: int
    seed: int
    fold: int

    @property
    def folder(self) -> str:
        """Folder of the run, relative to the training results of the study."""
        arm = f"{self.dataset}/{self.model}/{self.init}"
        return f"{arm}/percent-{self.percent}/seed-{self.seed}/fold-{self.fold}"

    def asdict(self) -> dict[str, Any]:
        """The run's key columns."""
        return asdict(self)


def list_runs(config: dict[str, Any], *, check: bool = True) -> list[Run]:
    """All training runs that a configuration spans, in a fixed order."""
    if check:
        check_configuration(config)
    return [
        Run(dataset=dataset, model=model["name"], init=init, percent=percent, seed=seed, fold=fold)
        for dataset in dataset_names(config)
        for model in config["models"]
        for init in model_inits(config, model["name"], dataset)
        for percent in config["percents"]
        for seed in config["seeds"]
        for fold in range(config["subsets"]["folds"])
    ]


def training_settings(config: dict[str, Any], model: str) -> dict[str, Any]:
    """Settings of one model's training: the training block with the model's own overrides."""
    entry = next(entry for entry in config["models"] if entry["name"] == model)
    own = {key: value for key, value in entry.items() if key not in ("name", "inits")}
    shared = {
        key: value
        for key, value in config["training"].items()
        if key not in ("one_job_per", "threads", "pretraining", "num_workers", "gpus")
    }
    return shared | own


def initial_weights(config: dict[str, Any], run: Run) -> dict[str, Any]:
    """Where a run's weights start.

    Returns:
        kind: "none", "published" (a weights_id), "pretraining" (the study's own video pretraining of
        the model) or "run" (another run's final weights); and what identifies it.

    CT pretraining is the training on the source dataset from scratch (``ct``) or from video
    (``video_ct``) with all its training patients: an existing run, shared and never repeated. With
    several folds it is the source's run of the same fold; datasets share no patients.
    """
    entry = MODELS[run.model]
    if entry.features_from is not None:
        source = Run(**{**run.asdict(), "model": entry.features_from})
        return {"kind": "run", "run": source}
    if run.init == "scratch":
        return {"kind": "none"}
    if run.init in ("ct", "video_ct"):
        dataset = next(e for e in config["datasets"] if e["name"] == run.dataset)["ct_source"]
        start = "scratch" if run.init == "ct" else "video"
        source = Run(**{**run.asdict(), "dataset": dataset, "init": start, "percent": 100})
        return {"kind": "run", "run": source}
    if run.init in entry.weights:
        return {"kind": "published", "weights_id": entry.weights[run.init]}
    assert run.init == "video"
    return {"kind": "pretraining", "model": run.model}


def iter_weights_ids(config: dict[str, Any]) -> Iterator[str]:
    """Published weights that the study's runs need."""
    starts = (initial_weights(config, run) for run in list_runs(config, check=False))
    yield from sorted({start["weights_id"] for start in starts if start["kind"] == "published"})
