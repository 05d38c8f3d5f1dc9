"""Video pretraining of a model without published weights, on generated motion clips.

The clips stand in for Kinetics: the job is real (a 3D model learns to tell motions), its data are
not, and whatever starts from its weights is marked as a stand-in.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from chestct.catalogue import MODELS
from chestct.files import atomic_path
from chestct.models import build_model, set_batchnorm_momentum, tune_for_cpu
from chestct.tables import write_table
from chestct.training.clips import CLASS_NAMES, make_clips
from chestct.training.module import TrainingModule, copy_state, fit
from chestct.training.transforms import normalise


def pretrain(
    *,
    model_name: str,
    settings: dict[str, Any],
    pretraining: dict[str, Any],
    window_slices: int,
    weights: str,
    history: str,
    threads: int,
    gpus: int,
) -> None:
    """Train a model to name the motion of generated clips; write its weights and learning curve.

    Args:
        model_name: in the catalogue.
        settings: training settings of the model (learning rate, batch size, crop, weight decay, precision).
        pretraining: num_clips, epochs, seed.
        window_slices: frames of a clip, as many as slices later.
        weights, history: files to write.
    """
    torch.set_num_threads(threads)
    seed, entry = pretraining["seed"], MODELS[model_name]
    pl.seed_everything(seed, verbose=False)
    clips, labels = make_clips(
        pretraining["num_clips"], window_slices, settings["crop_px"], np.random.default_rng(seed)
    )
    model = build_model(
        model_name,
        num_slices=window_slices,
        size_px=settings["crop_px"],
        num_classes=len(CLASS_NAMES),
        seed=seed,
    )
    set_batchnorm_momentum(model, settings["batchnorm_momentum"])
    if not gpus:
        tune_for_cpu(model)

    def prepare(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        clips_BTHW, targets = batch
        return normalise(clips_BTHW.float(), entry.mean, entry.std), targets

    loader = DataLoader(
        TensorDataset(torch.from_numpy(clips), torch.from_numpy(labels.astype(np.int64))),
        batch_size=settings["batch_size"],
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(seed),
    )
    num_steps = pretraining["epochs"] * len(loader)
    module = TrainingModule(
        model,
        nn.functional.cross_entropy,
        prepare,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        num_steps=num_steps,
    )
    start = time.perf_counter()
    # Chance is log(number of classes); the curve shows whether the model left it.
    module.record_every = max(1, num_steps // 20)
    fit(
        module,
        loader,
        None,
        num_steps=num_steps,
        validate_every=None,
        precision=settings["precision"],
        gpus=gpus,
    )
    rows = pd.DataFrame(module.history).assign(validation_loss=np.nan, validation_auroc=np.nan)
    print(rows.to_string())
    print(f"{num_steps} steps in {time.perf_counter() - start:.1f} s; chance {np.log(len(CLASS_NAMES)):.2f}")
    with atomic_path(Path(weights)) as temporary:
        save_file({key: value.contiguous() for key, value in copy_state(model).items()}, temporary)
    write_table(rows, history, "history")
