"""A trained run, read back from its folder: the network, and how a scan becomes what it sees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

import chestct
from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.models import build_model
from chestct.models.load_weights import load_own_weights
from chestct.run import RUN_FILES, Run
from chestct.training.header import HEAD, read_facts
from chestct.training.record import check_weights
from chestct.training.run_facts import model_facts
from chestct.training.settings import FeatureSettings
from chestct.training.windows.display_window import InputSettings
from chestct.window_forms import WindowRule

#: Where runs lie below the project, to name some where a folder above them is given.
_LAYOUT = ("results", "*", "training", "*", "*", "*", "percent-*", "seed-*", "fold-*", RUN_FILES["weights"])
#: What the commands read of the facts, by part.
_READ = {
    "training_data": (
        "dataset",
        "source",
        "phantoms",
        "label",
        "num_folds",
        "earlier_datasets",
        "published_weights",
    ),
    "started_from": ("words", "stand_in"),
    "settings": ("batch_size", "learning_rate", "weight_decay", "max_rotation_degrees", "flip"),
    "model": ("title", "mean", "std"),
    "conversion": ("size_px", "spacing_z_mm", "num_slices", "intensity", "accept", "window_stride"),
}
_READ_ALONE = ("num_scans", "num_positive", "num_steps", "num_parameters", "validation_auroc", "versions")
#: What builds another network under the same name, or feeds it other slices.
_DECISIVE = ("family", "sees", "slice_step")


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A trained run.

    Attributes:
        weights: path of its file, which matches its record.
        sha256: of that file.
        run: what tells it from the other runs of its study.
        facts: all that the header of the file says (``chestct.training.run_facts``).
        scoring: how windows are scored.
        input_settings: how the values of a window become the network's input.
        rule: how the windows of a scan are listed.
        conversion: settings of ``chestct.volumes.convert_scan.convert_one``.
    """

    weights: Path
    sha256: str
    run: Run
    facts: Mapping[str, Any]
    scoring: FeatureSettings
    input_settings: InputSettings
    rule: WindowRule
    conversion: Mapping[str, Any]

    @property
    def num_folds(self) -> int:
        """Folds of the study's cross-validation; 1 without."""
        return self.facts["training_data"]["num_folds"]

    def network(self) -> nn.Module:
        """The network with its weights, on the CPU, in evaluation mode.

        Raises:
            InputError: the weights do not fit the model of that name.
        """
        model = build_model(
            self.run.model, num_slices=self.rule.window, size_px=self.scoring.crop_px, num_classes=1, seed=0
        )
        load_own_weights(model, name=self.run.model, path=self.weights)
        return model.eval()

    def __str__(self) -> str:
        fold = f", fold {self.run.fold + 1} of {self.num_folds}" if self.num_folds > 1 else ""
        started = self.facts["started_from"]["words"]
        return (
            f"{self.facts['model']['title']} on {self.run.dataset}, "
            f"{f'started from {started}' if started else 'trained from scratch'}, "
            f"{self.run.percent} % of the training patients, seed {self.run.seed}{fold}"
        )


def read_trained_run(folder: str | Path) -> TrainedRun:
    """Read the folder of a run, as the workflow or ``chestct export`` left it.

    Raises:
        InputError: there are no weights of a whole network in it, they are not what was written or say
            nothing of how they were trained, or this version of the project builds another network under that
            name.
    """
    folder = Path(folder)
    weights = folder / RUN_FILES["weights"]
    if not weights.is_file():
        raise _no_run(folder)
    sha256 = check_weights(weights)
    facts = read_facts(weights)
    if not facts or facts.get("holds") == HEAD:
        raise _no_network(weights, facts)
    try:
        return _trained_run(weights, sha256, facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise _other_version(
            weights, facts, f"what weights say of themselves lacks something: {error}"
        ) from error


def _trained_run(weights: Path, sha256: str, facts: dict[str, Any]) -> TrainedRun:
    run, model, conversion = Run(**facts["run"]), facts["model"], dict(facts["conversion"])
    now = model_facts(run.model) if run.model in MODELS else {}
    if any(now.get(key) != model[key] for key in _DECISIVE):
        raise _other_version(weights, facts, f"this version of the project has no such model '{run.model}'")
    lacking = [f"{part}.{name}" for part, names in _READ.items() for name in names if name not in facts[part]]
    lacking += [name for name in _READ_ALONE if name not in facts]
    if lacking:
        raise KeyError(", ".join(lacking))
    stride = conversion.pop("window_stride")
    scoring = FeatureSettings(**facts["scoring"])
    seen = InputSettings.of_model(run.model, scoring, facts["display_window_hu"], facts["intensity"])
    return TrainedRun(
        weights=weights,
        sha256=sha256,
        run=run,
        facts=facts,
        scoring=scoring,
        # The catalogue may say otherwise by now.
        input_settings=replace(seen, mean=model["mean"], std=model["std"]),
        rule=WindowRule(window=facts["window_slices"], stride=stride, min_positive=1),
        conversion=conversion,
    )


def _no_run(folder: Path) -> InputError:
    patterns = ["/".join(_LAYOUT[level:]) for level in reversed(range(len(_LAYOUT)))]
    found = islice((str(path.parent) for pattern in patterns for path in sorted(folder.glob(pattern))), 3)
    below = ", ".join(found)
    return InputError(
        "there is no trained run in the folder" if folder.is_dir() else "there is no such folder",
        where=folder,
        expected="the folder of a run: results/STUDY/training/DATASET/MODEL/START/percent-P/seed-S/fold-F",
        remedy=f"name a run below it, such as {below}" if below else "name the folder that holds its weights",
    )


def _no_network(weights: Path, facts: Mapping[str, Any]) -> InputError:
    if facts:
        return InputError(
            "the run is a frozen probe: it holds a head alone, and not the network whose features it reads",
            where=weights,
            expected="a run that trained a whole network",
            remedy="take a run of the same model without _probe",
        )
    return InputError(
        "weights do not say how they were trained",
        where=weights,
        expected="weights of a trained run; those of pretraining, of a trial that diverged, and of runs that "
        "an earlier version of this project trained say nothing",
        remedy="take another run, or run the study again: what an earlier version trained is trained anew",
    )


def _other_version(weights: Path, facts: Mapping[str, Any], what: str) -> InputError:
    versions = facts.get("versions")
    trained = versions.get("chestct") if isinstance(versions, dict) else None
    return InputError(
        what,
        where=weights,
        expected=f"weights that version {chestct.__version__} of this project reads",
        remedy=f"use version {trained or '(not known)'}, which trained the run, or train it again",
    )
