"""Features of a frozen network: the input of its head, for all windows of a dataset, in one file.

They are computed as scans are scored: centre crop, no augmentation, evaluation mode, precision. All percents,
seeds and folds that start from the network share them.
"""

import json
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from chestct.errors import InputError
from chestct.files import digest_object, sha256_file
from chestct.models.heads import HeadInput, head_of
from chestct.records import check_record, recorded_path
from chestct.tables import read_table
from chestct.training.job import NetworkJob
from chestct.training.machine.device import (
    check_hardware,
    cudnn_release,
    device_name,
    memory_errors,
    peak_memory_mb,
    reset_peak_memory,
    tune,
)
from chestct.training.precision import scores_in
from chestct.training.scoring import batch_reporter, scoring_loader, window_logits
from chestct.training.settings import FeatureSettings
from chestct.training.start import build_network
from chestct.training.windows.dataset import Scan, collect_scans
from chestct.training.windows.display_window import InputSettings


@dataclass(frozen=True, kw_only=True)
class FeaturesJob(NetworkJob):
    """A network, and the scans whose features it gives, on one GPU at most.

    Attributes:
        dataset: that the probe is fitted on.
        model: name of the probe.
        init: where its network starts.
        seed: of the random network, where nothing is loaded.
        settings: how the network sees windows.
        outside: whether the scans are a test set outside the training set, of which test scans alone count.
    """

    dataset: str
    model: str
    init: str
    seed: int
    settings: FeatureSettings
    outside: bool

    @property
    def network_seed(self) -> int:
        """Seed of the random network: one a dataset, model and seed, for all percents and folds."""
        return zlib.crc32(repr([self.dataset, self.model, self.seed]).encode())


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of all windows of scans, and what they come from.

    Attributes:
        values: float32, shape (num_windows, F); windows of a scan follow each other, as their table has them.
        starts, stops: slice ranges of the windows, int64, shape (num_windows,).
        rows: of every scan, by study_id: the first and the one after the last.
        head: prefix of the head's parameters.
        head_shape: of the head's weight.
        facts: of the network and of the computation, for the records of the runs.
    """

    values: torch.Tensor
    starts: torch.Tensor
    stops: torch.Tensor
    rows: dict[str, tuple[int, int]]
    head: str
    head_shape: tuple[int, ...]
    facts: dict[str, Any]

    def rows_of(
        self, study_ids: Sequence[str], starts: Sequence[int], stops: Sequence[int], *, where: str
    ) -> np.ndarray:
        """Rows of all windows of scans, one scan after the other.

        Args:
            study_ids: of the scans.
            starts, stops: slice ranges of all their windows, in the same order.
            where: path of the features, for messages.

        Raises:
            InputError: the features are of other scans or windows.
        """
        known = [self.rows[study_id] for study_id in study_ids if study_id in self.rows]
        rows = np.concatenate([np.arange(*ends) for ends in known]) if known else np.arange(0)
        same = len(known) == len(study_ids) and len(rows) == len(starts)
        if same:
            found = torch.stack([self.starts, self.stops]).numpy()[:, rows]
            same = np.array_equal(found, np.array([starts, stops], dtype=np.int64))
        if not same:
            raise InputError(
                "features are of other windows than the study's",
                where=where,
                expected="a row for every window of every scan, as the table of windows lists them",
                remedy=f"let the workflow compute it again: snakemake --cores all --forcerun {where}",
            )
        return rows


def extract_features(job: FeaturesJob, output: str, *, threads: int) -> None:
    """Compute features of all windows of all scans and write them (``write_features``).

    Args:
        job: network and scans.
        output: file to write.
        threads: CPU threads that torch may use.

    Raises:
        InputError: the machine lacks what the job asks for, weights are another file or do not fit, or a
            feature is no number.
    """
    torch.set_num_threads(threads)
    gpus, settings = min(job.gpus, 1), job.settings
    check_hardware(gpus=gpus, precision=settings.precision)
    reset_peak_memory(gpus)
    begun = time.perf_counter()
    model = _build_frozen(job)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    head_name, head = head_of(model, job.model)
    head_shape = tuple(head.weight.shape)
    tune(model, gpus=gpus, precision=settings.precision, fast_forms=settings.fast_forms)
    scans = _scans_of(job)
    values = _compute(model.to("cuda" if gpus else "cpu").eval(), head, scans, job)
    seconds = time.perf_counter() - begun
    print(f"{len(scans)} scans, {len(values)} windows of {values.shape[1]} features: {seconds:.1f} s")
    path = job.initial["path"]
    facts = {
        "initial_weights": job.initial["words"],
        "initial_weights_sha256": sha256_file(path) if path else None,
        "initial_stand_in": int(job.initial["stand_in"]),
        "settings": asdict(settings),
        "display_window_hu": job.display_window_hu,
        "intensity": job.intensity,
        "code_digest": job.code_digest,
        "num_parameters": num_parameters,
        "seconds": round(seconds, 3),
        "peak_memory_mb": peak_memory_mb(gpus),
        "device": device_name(gpus=gpus, world=1),
        "cudnn": cudnn_release(gpus=gpus),
        "scores_in": scores_in(settings.precision, gpus=gpus),
    }
    ends = np.cumsum([len(scan.starts) for scan in scans]).tolist()
    write_features(
        Features(
            values=values,
            starts=torch.tensor([start for scan in scans for start in scan.starts]),
            stops=torch.tensor([stop for scan in scans for stop in scan.stops]),
            rows={
                scan.study_id: (end - len(scan.starts), end) for scan, end in zip(scans, ends, strict=True)
            },
            head=head_name,
            head_shape=head_shape,
            facts=facts,
        ),
        output,
    )


def _build_frozen(job: FeaturesJob) -> nn.Module:
    """The network of a probe with its weights; random ones where nothing is loaded."""
    model, loaded = build_network(
        job.model,
        job.init,
        job.initial,
        num_slices=job.window_slices,
        size_px=job.settings.crop_px,
        seed=job.network_seed,
    )
    print(f"{job.dataset}/{job.model}/{job.init}: {loaded or 'random weights'}", flush=True)
    return model


def _scans_of(job: FeaturesJob) -> list[Scan]:
    """All scans of the job's splits, each once; of a test set outside the training set, its test scans."""
    splits = read_table(job.splits, "splits")
    rows = splits[splits["split"] == "test"] if job.outside else splits
    rows = rows.drop_duplicates("study_id")
    labels = dict(zip(rows["study_id"], rows["label"].astype(int), strict=True))
    index, windows = read_table(job.index, "index"), read_table(job.windows, "windows")
    return collect_scans(rows, index, windows, labels, job.window_slices)


def _compute(
    model: nn.Module, head: nn.Linear | nn.Conv3d, scans: list[Scan], job: FeaturesJob
) -> torch.Tensor:
    """Features of all windows of the scans, in their order: float32, shape (num_windows, F).

    Args:
        model: in evaluation mode, on its device.
        head: of the model, whose input the features are.
        scans: to look at.
        job: settings, and how the scans are shown.
    """
    settings, device = job.settings, next(model.parameters()).device
    loader = scoring_loader(
        scans,
        batch_size=settings.windows_at_once,
        num_workers=job.num_workers,
        pin_memory=device.type == "cuda",
    )
    where = f"features of {job.dataset}/{job.model}/{job.init}"
    with memory_errors(where, windows=settings.windows_at_once, precision=settings.precision):
        with HeadInput(head) as kept:
            window_logits(
                model,
                loader,
                InputSettings.of_model(job.model, settings, job.display_window_hu, job.intensity),
                device=device,
                on_batch=batch_reporter(len(loader)),
            )
        values = kept.features
    loader.close()
    _check_finite(values, where)
    return values


def _check_finite(values: torch.Tensor, where: str) -> None:
    if not torch.isfinite(values).all():
        raise InputError(
            "features of some windows are not finite",
            where=where,
            expected="finite features",
            remedy="look at the weights that the network starts from: their own scores are not finite either",
        )


def write_features(features: Features, path: str) -> None:
    """Write features as safetensors, whole or not at all; what is no tensor stands in the metadata."""
    others = {"rows": features.rows, "head": features.head, "head_shape": features.head_shape}
    tensors = {name: getattr(features, name).contiguous() for name in ("values", "starts", "stops")}
    with recorded_path(path) as temporary:
        save_file(tensors, temporary, metadata={"content": json.dumps(others | {"facts": features.facts})})


def read_features(path: str) -> Features:
    """Read features.

    Raises:
        InputError: the file is missing, or not what was written.
    """
    check_record(path, "file of features")
    with suppress(OSError, SafetensorError, KeyError, TypeError, ValueError):
        with safe_open(path, framework="pt") as file:
            others = json.loads(file.metadata()["content"])
            tensors = {name: file.get_tensor(name) for name in ("values", "starts", "stops")}
        rows = {name: (int(first), int(end)) for name, (first, end) in others["rows"].items()}
        shape = tuple(others["head_shape"])
        return Features(**tensors, rows=rows, head=others["head"], head_shape=shape, facts=others["facts"])
    raise InputError(
        "a file of features cannot be read",
        where=Path(path),
        expected="what rule extract_features writes",
        remedy=f"let the workflow compute it again: snakemake --cores all --forcerun {path}",
    )


def digest_of(features: Features, code: str) -> str:
    """Digest of the code that computed features and of the code that used them."""
    return digest_object([features.facts["code_digest"], code])
