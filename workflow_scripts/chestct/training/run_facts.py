"""What a trained run says of itself in the header of its weights (``chestct.training.header``).

No path, and nothing that the same run would find different another time: no duration, no device.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

import chestct
from chestct.catalogue import MODELS
from chestct.training.header import NETWORK
from chestct.training.job import TrainingJob
from chestct.training.settings import FeatureSettings

#: Of the catalogue's row of a model, what its network is built and fed by.
_OF_MODEL = ("title", "family", "sees", "slice_step", "mean", "std")
#: Of a run's record. Its digests stay there: they change with code and labels that change no weight.
_OF_RECORD = ("num_scans", "num_positive", "num_steps", "validation_auroc", "num_parameters")


def model_facts(model: str) -> dict[str, Any]:
    """Of a model of the catalogue, what its network is built and fed by, as JSON keeps it."""
    row = asdict(MODELS[model])
    return {key: list(row[key]) if isinstance(row[key], tuple) else row[key] for key in _OF_MODEL}


def _without_forms(settings: dict[str, Any]) -> dict[str, Any]:
    # Faster forms are the same network: whoever scores with its weights chooses anew, for another machine.
    return {key: value for key, value in settings.items() if key not in ("fast_forms", "compile_form")}


def run_facts(job: TrainingJob, row: Mapping[str, Any], *, compiled: bool = False) -> dict[str, Any]:
    """The facts of a trained run.

    Args:
        job: the run and what its training took.
        row: its record, of the table ``runs``.
        compiled: whether its network was compiled.
    """
    return {
        "holds": NETWORK,
        "run": job.run.asdict(),
        "model": model_facts(job.run.model),
        "settings": _without_forms(asdict(job.settings)) | {"compile": compiled},
        "scoring": _without_forms(asdict(FeatureSettings.of(job.settings))),
        "display_window_hu": dict(job.display_window_hu),
        "intensity": job.intensity,
        "window_slices": job.window_slices,
        "conversion": dict(job.conversion),
        "training_data": dict(job.training_data),
        "started_from": {
            "words": row["initial_weights"],
            "sha256": row["initial_weights_sha256"],
            "stand_in": bool(row["initial_stand_in"]),
        },
        **{key: row[key] for key in _OF_RECORD},
        "versions": {
            "chestct": chestct.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
