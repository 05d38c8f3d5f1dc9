"""The folder of a small run that was never trained, and scans to score with it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_data
import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from chestct.models import build_model, is_head, set_batchnorm_momentum
from chestct.run import Run
from chestct.training.record import save_weights
from chestct.training.run_facts import run_facts
from chestct.volumes.volume_file import write_volume_file

MODEL = "swin_narrow"
SIZE, CROP, WINDOW, STRIDE = 36, 32, 8, 4
DISPLAY_WINDOW = {"centre": -400, "width": 1200}
#: Few windows at once, so that a scan has several batches.
SETTINGS = replace(engine_data.SETTINGS, batch_size=2)
DATA = engine_data.DATA | {"dataset": "lidc", "source": "lidc_idri", "label": "nodule"}


def facts_of(
    model: str = MODEL, window: int = WINDOW, stride: int | None = STRIDE, **data: Any
) -> dict[str, Any]:
    """What the weights of such a run say of themselves."""
    job = replace(
        engine_data.make_job(dict.fromkeys(("index", "windows", "splits", "subset"), "")),
        run=Run(dataset="lidc", model=model, init="scratch", percent=100, seed=0, fold=0),
        settings=SETTINGS,
        display_window_hu=DISPLAY_WINDOW,
        window_slices=window,
        conversion=engine_data.CONVERSION | {"size_px": SIZE, "window_stride": stride},
        training_data=DATA | data,
    )
    counted = {"num_scans": 9, "num_positive": 4, "num_steps": 2, "num_parameters": 1000}
    row = counted | {"validation_auroc": 0.75, "initial_weights": None, "initial_weights_sha256": None}
    return json.loads(json.dumps(run_facts(job, row | {"initial_stand_in": 0})))


def write_run(folder: Path, facts: dict[str, Any] | None = None, *, seed: int = 3) -> Path:
    """A run's folder with a network that scores scans differently; returns the folder."""
    facts = facts_of() if facts is None else facts
    name, window = facts["run"]["model"], facts["window_slices"]
    model = build_model(name, num_slices=window, size_px=CROP, num_classes=1, seed=seed)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if is_head(key, name):  # some begin at zero
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
        # Statistics of real inputs: without them the features of deep networks vanish.
        set_batchnorm_momentum(model, 1.0)
        for module in model.modules():
            module.train(isinstance(module, _BatchNorm))
        model(torch.randn(4, 3, window, CROP, CROP, generator=rng))
    save_weights(model.state_dict(), folder / "weights.safetensors", facts)
    return folder


def write_scan(path: Path, num_slices: int = 19, *, seed: int = 0) -> Path:
    """A volume file of a body in air with lungs, at twice the size that the run sees; returns its path."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : 2j * SIZE, -1 : 1 : 2j * SIZE]
    plane = np.where(x**2 + y**2 < 0.8, 30.0, -1000.0)
    plane[(np.abs(np.abs(x) - 0.35) < 0.25) & (np.abs(y) < 0.5)] = -850
    hu = plane + rng.normal(0, 20, (num_slices, *plane.shape))
    hu[rng.integers(num_slices - 2) :][:2] += 150 * (np.abs(plane - 30) < 1)
    hu = np.clip(np.where(plane == -1000, -1000, hu), -1024, 3000).astype(np.int16)
    write_volume_file(path, hu, (2.5, 0.8, 0.8), (0.0, 0.0, -100.0))
    return path
