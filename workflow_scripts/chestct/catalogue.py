"""The models and inits that the study knows, without importing torch.

Configuration, workflow, evaluation and figures read the table of models, ``catalogue.yaml``;
``chestct.models`` builds what it names. A new model is one row there and one module in ``chestct/models``.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

Family = Literal["3d", "2d"]
Sees = Literal["window", "slice", "scan"]

#: Where weights start, with the words that figures and tables use.
INIT_TITLES = {
    "scratch": "From scratch",
    "scratch_long": "From scratch, longer",
    "video": "Video pretraining",
    "ct": "CT pretraining",
    "video_ct": "Video, then CT",
    "imagenet": "ImageNet pretraining",
}

#: Inits that differ from another one in nothing but the length of training (``training.long_factor``).
LONGER = {"scratch_long": "scratch"}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What the rest of the study needs to know of a model.

    Attributes:
        title: name in figures and tables.
        family: "3d" (convolves or attends along z) or "2d" (slice features, pooled or recurrent).
        module, build: module in ``chestct.models`` and its function
            ``build(num_slices, size_px, num_classes)``; a module may build several forms.
        inits: starting points that exist for this model.
        sees: what it sees of a scan at once: a "window" of slices, a single "slice" (a scan's score is the
            largest of all its slices), or the whole "scan" (``chestct.window_forms``).
        seven: one of the seven 3D models whose mean the paper's first claim is about.
        mean, std: normalisation of the display-windowed input in [0, 1], a value a channel.
        weights: published weights by init: the ``weights_id`` in the weights table.
        features_from: model whose fine-tuned weights supply the slice features (LRCN), if any.
        slice_step: every n-th slice of a window is seen (2D models on short budgets).
        batchnorm: whether training computes statistics over the windows of a batch (layers of BatchNorm in
            training mode); such a batch cannot be computed in parts (``training.budget.check_parts``).
        slices, size_px: least and largest T, and H and W, that the model is built for.
        head: prefixes of the classifier's parameters, which start fresh in every arm.
        frozen: only the head is fitted, on the features of the network as it was loaded (a linear probe).
        probe_of: the model whose features a probe reads, if the entry is a probe.
    """

    title: str
    family: Family
    module: str
    build: str = "build_full"
    inits: tuple[str, ...]
    sees: Sees = "window"
    seven: bool = False
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    weights: dict[str, str] = field(default_factory=dict)
    features_from: str | None = None
    slice_step: int = 1
    batchnorm: bool = True
    slices: tuple[int, int] = (8, 64)
    size_px: tuple[int, int] = (32, 256)
    head: tuple[str, ...] = ()
    frozen: bool = False
    probe_of: str | None = None


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _read_models(path: Path) -> dict[str, ModelEntry]:
    """The models of the table, in its order, and after them their probes.

    A probe is a model of which the head alone is fitted, on the features that the model starts with. There
    is one of every model but those that read another's features already; a study lists a probe like a model.
    There is no training of it that could be longer.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: dict[str, dict[str, Any]] = yaml.load(path.read_text(encoding="utf-8"), loader)["models"]
    models = {name: ModelEntry(**_with_tuples(row)) for name, row in rows.items()}
    probes = {
        f"{name}_probe": replace(
            entry,
            title=f"{entry.title} (frozen probe)",
            inits=tuple(init for init in entry.inits if init not in LONGER),
            seven=False,
            frozen=True,
            probe_of=name,
            batchnorm=False,  # the layers rest with the features, and heads have none
        )
        for name, entry in models.items()
        if entry.features_from is None
    }
    return models | probes


#: The order is the order of figures and tables.
MODELS = _read_models(Path(__file__).with_name("catalogue.yaml"))


def rows_of(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of the named models as plain data, in the table's order: what a job takes from the table."""
    wanted = set(names)
    return {name: asdict(entry) for name, entry in MODELS.items() if name in wanted}
