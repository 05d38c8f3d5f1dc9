"""Whether a study is the one whose analysis was fixed beforehand (``analysis_plan.yaml``)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chestct.catalogue import MODELS

_FILE = Path(__file__).with_name("analysis_plan.yaml")


@dataclass(frozen=True, kw_only=True)
class Departure:
    """A key of the configuration that differs from the plan; values in words."""

    key: str
    planned: str
    here: str


def planned_date() -> str:
    """Date of the plan."""
    return str(_plan()["date"])


def departures(configuration: Mapping[str, Any]) -> list[Departure]:
    """Where a study's configuration departs from the pre-specified analysis; empty if nowhere.

    Args:
        configuration: the resolved configuration.
    """
    plan = _plan()
    seven = [entry["name"] for entry in configuration["models"] if MODELS[entry["name"]].seven]
    sources = [entry["source"] for entry in configuration["datasets"]]
    pairs = [
        ("data sets (sources)", plan["sources"], sources),
        ("models of the mean of the seven", plan["seven"], seven),
        *_pairs(plan["configuration"], configuration),
    ]
    return [
        Departure(key=key, planned=_words(planned), here=_words(here))
        for key, planned, here in pairs
        if planned != here
    ]


def _plan() -> dict[str, Any]:
    return yaml.safe_load(_FILE.read_text(encoding="utf-8"))


def _pairs(
    planned: Mapping[str, Any], here: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """(key, planned value, value here) of all keys that the plan has; mappings within are followed."""
    for key, value in planned.items():
        if isinstance(value, Mapping):
            yield from _pairs(value, here.get(key) or {}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value, here.get(key)


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
