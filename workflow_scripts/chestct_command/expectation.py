"""What a run of a study is expected to give: facts that hold anywhere, and a band for every AUROC.

Rounding differs between processors, and training amplifies it, so that an AUROC is expected within a band,
around the mean of the repeats that were had. A repeat is the study trained once: a seed on a machine.

- Two repeats and more: a band is a prediction interval, mean +- t * sd * sqrt(1/k + 1/n), for n repeats and a
  study with k seeds. ``sd`` is that of the AUROC over the repeats, or the root mean square of those of all
  AUROCs of its kind (single models; means over models) where that is larger. ``t`` has the degrees of freedom
  of the latter.
- One repeat: how much training varies is not known. ``sd`` is then the standard error over patients, which
  assumes that training varies no more than that.

The level is such that all AUROCs of a study together lie within their bands in 95 of 100 runs (Bonferroni).
AUROCs that nothing is trained for (arms of init ``none``) are expected within 0.005 of the study's own.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from chestct.claimed_models import is_mean
from chestct.errors import InputError
from chestct.files import write_text
from chestct_command.study_facts import ARM, StudyFacts

#: Share of runs of which an AUROC or more may lie outside of its band.
_ALPHA = 0.05
#: How far an AUROC may lie off that nothing is trained for.
_COMPUTED = 0.005
_UNTRAINED = "none"
_REPEATS = (
    "over patients, from one repeat: how much training varies has not been measured",
    "from {} repeats",
)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of a study.

    Attributes:
        study: its name.
        bands_are: in words, what the bands come from.
        repeats: study, seed and machine of every repeat.
        configuration: of the study.
        exact: what must be equal, by name.
        auroc: low, value and high by arm ("dataset/model/init/percent").
    """

    study: str
    bands_are: str
    repeats: Sequence[Mapping[str, Any]]
    configuration: Mapping[str, Any]
    exact: Mapping[str, str]
    auroc: Mapping[str, Sequence[float]]

    @property
    def num_machines(self) -> int:
        """Kinds of processor and device among the repeats."""
        return len(
            {
                (processor, repeat["device"])
                for repeat in self.repeats
                for processor in (repeat["processor"], *repeat.get("equal_on", ()))
            }
        )


def expect(study: StudyFacts, confidence: float, repeats: Sequence[StudyFacts]) -> Expectation:
    """What finished studies let expect of one.

    Args:
        study: that of which it is expected, finished.
        confidence: of the intervals of the study.
        repeats: finished studies of the same configuration, but for seeds; ``study`` among them.
    """
    values, origins = _repeats(repeats)
    bands = _bands(values, study, confidence)
    one, several = _REPEATS
    return Expectation(
        study=study.name,
        bands_are=one if len(origins) == 1 else several.format(len(origins)),
        repeats=origins,
        configuration=study.configuration,
        exact=study.exact,
        auroc=bands,
    )


def _repeats(studies: Sequence[StudyFacts]) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """AUROCs (a row an arm, a column a repeat), and where each repeat comes from; equal ones count once."""
    columns: list[pd.Series] = []
    origins: list[dict[str, Any]] = []
    for study in studies:
        for _, part in study.auroc.groupby("seed"):
            column = part.set_index(ARM)["value"]
            if columns:
                column = column.reindex(columns[0].index)
            equal = next((i for i, other in enumerate(columns) if column.equals(other)), None)
            if equal is not None:
                if study.machine["processor"] != origins[equal]["processor"]:
                    origins[equal].setdefault("equal_on", []).append(study.machine["processor"])
                continue
            columns.append(column)
            origins.append({"study": study.name, "seed": int(part["seed"].iloc[0]), **study.machine})
    return pd.concat(columns, axis=1, keys=range(len(columns))), origins


def _bands(values: pd.DataFrame, study: StudyFacts, confidence: float) -> dict[str, list[float]]:
    spread = study.spread.set_index(ARM)
    centre, num_repeats, num_seeds = values.mean(axis=1), values.shape[1], len(study.seeds)
    trained = [arm for arm in values.index if arm[2] != _UNTRAINED]
    level = 1 - _ALPHA / (2 * max(1, len(trained)))
    bands: dict[Any, list[float]] = {}
    for of_means in (False, True):
        kind = [arm for arm in trained if is_mean(arm[1]) is of_means]
        if not kind:
            continue
        if num_repeats > 1:
            own = values.loc[kind].std(axis=1, ddof=1)
            pooled = math.sqrt((own**2).mean())
            deviation = own.clip(lower=pooled)
            quantile = stats.t.ppf(level, (num_repeats - 1) * len(kind))
        else:
            width = spread["high"].loc[kind] - spread["low"].loc[kind]
            deviation = width / (2 * stats.norm.ppf((1 + confidence) / 2))
            quantile = stats.norm.ppf(level)
        reach = quantile * math.sqrt(1 / num_seeds + 1 / num_repeats) * deviation
        bands |= {arm: _band(centre[arm], reach[arm]) for arm in kind}
    # Of its own seeds alone: what nothing is trained for still depends on the subset that a seed draws.
    own_seeds = study.auroc.groupby(ARM)["value"].mean()
    bands |= {arm: _band(own_seeds[arm], _COMPUTED) for arm in values.index if arm not in bands}
    return {name_of(arm): bands[arm] for arm in values.index}


def _band(value: float, reach: float) -> list[float]:
    """Low, value and high, the ends rounded outwards."""
    # Rounded first: 0.6 - 0.005 is a little less than 0.595.
    low, high = (round(1000 * end, 6) for end in (value - reach, value + reach))
    low, high = math.floor(low) / 1000, math.ceil(high) / 1000
    return [max(0.0, low), round(float(value), 4), min(1.0, high)]


def name_of(arm: Sequence[Any]) -> str:
    """Name of an arm.

    >>> name_of(("lidc", "i3d", "video", 10))
    'lidc/i3d/video/10'
    """
    return "/".join(str(part) for part in arm)


def deviations(expected: Expectation, found: StudyFacts) -> tuple[list[str], int]:
    """What of a study is not as expected, a line each, and the number of things that were compared."""
    lines = []
    names = list({**expected.exact, **found.exact})
    for name in names:
        one, two = (facts.get(name, "nothing") for facts in (expected.exact, found.exact))
        if one != two:
            lines.append(f"{name}: {two}; expected {one}")
    averages = found.auroc.groupby(ARM, as_index=False)["value"].mean()
    rows = averages[[*ARM, "value"]].itertuples(index=False, name=None)
    values = {name_of(row[:-1]): row[-1] for row in rows}
    arms = list(dict.fromkeys([*expected.auroc, *values]))
    for name in arms:
        if name not in values or name not in expected.auroc:
            lines.append(f"AUROC of {name}: {'is missing' if name not in values else 'is not expected'}")
            continue
        low, _, high = expected.auroc[name]
        if not low <= values[name] <= high:
            lines.append(f"AUROC of {name}: {values[name]:.4f}; expected {low:g} to {high:g}")
    return lines, len(names) + len(arms)


def expectation_file(study: str) -> Path:
    """Where the project keeps what is expected of a study."""
    return Path(__file__).with_name("expected") / f"{study}.json"


def write_expectation(expected: Expectation, path: Path) -> None:
    """Write what is expected, a line each."""
    parts = {
        "study": expected.study,
        "written_by": "chestct check --write (docs/check.md)",
        "bands_are": expected.bands_are,
        "num_repeats": len(expected.repeats),
        "num_machines": expected.num_machines,
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in parts.items()]
    lines.append(f' "repeats": [\n  {_joined(map(json.dumps, expected.repeats))}\n ]')
    for key in ("configuration", "exact", "auroc"):
        own = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in getattr(expected, key).items()]
        lines.append(f" {json.dumps(key)}: {{\n  {_joined(own)}\n }}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _joined(lines: Any) -> str:
    return ",\n  ".join(lines)


def read_expectation(path: Path) -> Expectation:
    """What is expected of a study.

    Raises:
        InputError: there is none, or it does not read.
    """
    if not path.is_file():
        known = sorted(other.stem for other in path.parent.glob("*.json"))
        raise InputError(
            f"the project does not know what the study {path.stem} should give",
            where=path,
            expected=f"one of: {', '.join(known)}",
            remedy="chestct check --write makes it from finished studies (docs/check.md)",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Expectation(
            **{
                key: content[key]
                for key in ("study", "bands_are", "repeats", "configuration", "exact", "auroc")
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the expected results of a study cannot be read: {error}",
            where=path,
            expected="what chestct check --write wrote",
            remedy=f"take it from the project again: git restore {path}",
        ) from error
