"""Whether a study is one whose analysis was fixed beforehand (``analysis_plan*.yaml``)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chestct.claimed_models import claimed_models

#: Plans; of a study on other data than any of them, the first is the one that it departs from.
_FILES = ("analysis_plan.yaml", "analysis_plan_lidc_nodules.yaml")


@dataclass(frozen=True, kw_only=True)
class Departure:
    """A key of the configuration that differs from the plan; values in words."""

    key: str
    planned: str
    here: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An analysis that was fixed beforehand, beside a study.

    Attributes:
        date: on which it was fixed.
        inference_changed: on which the inference was changed since.
        document: page that says it in words, and what was changed.
        departures: where the study's configuration departs from it; empty if nowhere.
    """

    date: str
    inference_changed: str
    document: str
    departures: list[Departure]


def plan_of(configuration: Mapping[str, Any]) -> Plan:
    """The pre-specified analysis of a study's data, and where the study departs from it.

    Args:
        configuration: the resolved configuration.
    """
    datasets, models = configuration["datasets"], configuration["models"]
    sources = [entry["source"] for entry in datasets]
    plans = [yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in _FILES]
    plan = next((one for one in plans if set(one["sources"]) == set(sources)), plans[0])
    pairs = [
        ("data sets (sources)", plan["sources"], sources),
        *(
            (f"datasets, {key}", values, [entry.get(key) for entry in datasets])
            for key, values in plan.get("datasets", {}).items()
        ),
        (
            "models of the claims",
            plan["claimed_models"],
            claimed_models(entry["name"] for entry in models),
        ),
        *_model_pairs(plan.get("models", {}), {entry["name"]: entry for entry in models}),
        *_pairs(plan["configuration"], configuration),
    ]
    return Plan(
        date=str(plan["date"]),
        inference_changed=str(plan["inference_changed"]),
        document=str(plan["document"]),
        departures=[
            Departure(key=key, planned=_words(planned), here=_words(here))
            for key, planned, here in pairs
            if planned != here
        ],
    )


def _pairs(
    planned: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(key, planned value, value here) of all keys that the plan has; mappings within are followed."""
    for key, value in planned.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, here.get(key) or {}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value, here.get(key)


def _model_pairs(planned: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """As ``_pairs``, of the models by name, if the plan says which they are."""
    if planned:
        yield "models", list(planned), list(here)
    for name in planned:
        if name in here:
            yield from _pairs(planned[name], here[name], f"models.{name}.")


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key} {part}" for key, part in value.items()]
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
