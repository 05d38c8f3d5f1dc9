"""The models and inits that the study knows, without importing torch.

Configuration, workflow, evaluation and figures read this table; ``chestct.models`` builds what it
names. A new model is one entry here and one module in ``chestct/models``.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

Family = Literal["3d", "2d"]

#: Where weights start, with the words that figures and tables use.
INIT_TITLES = {
    "scratch": "From scratch",
    "video": "Video pretraining",
    "ct": "CT pretraining",
    "video_ct": "Video, then CT",
    "imagenet": "ImageNet pretraining",
}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What the rest of the study needs to know of a model.

    Attributes:
        title: name in figures and tables.
        family: "3d" (convolves or attends along z) or "2d" (slice features, pooled or recurrent).
        module, build: module in ``chestct.models`` and its function
            ``build(num_slices, size_px, num_classes)``; a module may build several forms.
        inits: starting points that exist for this model.
        seven: one of the seven 3D models whose mean the paper's first claim is about.
        mean, std: normalisation of the display-windowed input in [0, 1], a value a channel.
        weights: published weights by init: the ``weights_id`` in the weights table.
        features_from: model whose fine-tuned weights supply the slice features (LRCN), if any.
        slice_step: every n-th slice of a window is seen (2D models on short budgets).
        slices, size_px: least and largest T, and H and W, of the windows that the model is built for.
        head: prefixes of the classifier's parameters, which start fresh in every arm.
        frozen: only the head is trained; the rest stays as it was loaded (a linear probe).
        probe_of: the model whose features a probe reads, if the entry is a probe.
    """

    title: str
    family: Family
    module: str
    build: str = "build_full"
    inits: tuple[str, ...]
    seven: bool = False
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    weights: dict[str, str] = field(default_factory=dict)
    features_from: str | None = None
    slice_step: int = 1
    slices: tuple[int, int] = (8, 64)
    size_px: tuple[int, int] = (32, 256)
    head: tuple[str, ...] = ()
    frozen: bool = False
    probe_of: str | None = None


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
#: What the authors of PENet normalised Kinetics-600 with (their Kinetics data loader), over 255.
_PENET_MEAN = (0.433869, 0.404551, 0.377609)
_PENET_STD = (0.151988, 0.148559, 0.156976)


def _full(
    title: str,
    module: str,
    weights_id: str,
    head: tuple[str, ...],
    *,
    seven: bool = True,
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45),
    std: tuple[float, float, float] = (0.225, 0.225, 0.225),
) -> ModelEntry:
    """A 3D model at its published size."""
    return ModelEntry(
        title=title,
        family="3d",
        module=module,
        inits=("scratch", "video", "ct", "video_ct"),
        seven=seven,
        mean=mean,
        std=std,
        weights={"video": weights_id},
        head=head,
    )


def _narrow(title: str, module: str, head: tuple[str, ...], *, seven: bool = True) -> ModelEntry:
    return ModelEntry(
        title=f"{title} (narrow)",
        family="3d",
        module=module,
        build="build_narrow",
        inits=("scratch", "video", "ct", "video_ct"),
        seven=seven,
        slices=(8, 32),
        size_px=(32, 64),
        head=head,
    )


def _two_d(
    title: str,
    module: str,
    build: str = "build_full",
    *,
    weights_id: str | None = None,
    features_from: str | None = None,
    slice_step: int = 1,
) -> ModelEntry:
    """A 2D model: slice features that are averaged, or that a recurrent network reads."""
    return ModelEntry(
        title=title,
        family="2d",
        module=module,
        build=build,
        inits=("scratch", "imagenet"),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        weights={} if weights_id is None else {"imagenet": weights_id},
        features_from=features_from,
        slice_step=slice_step,
        head=("head",) if features_from is None else ("gru", "head"),
    )


#: Order is the order of figures and tables.
MODELS: dict[str, ModelEntry] = {
    "slow_r50": _full("Slow-R50", "slow", "slow_r50_kinetics400", ("blocks.5.proj",)),
    "slowfast_r50": _full("SlowFast-R50", "slowfast", "slowfast_r50_kinetics400", ("blocks.6.proj",)),
    "r2plus1d_r50": _full("R(2+1)D-R50", "r2plus1d", "r2plus1d_r50_kinetics400", ("blocks.5.proj",)),
    "csn_r101": _full("CSN-R101", "csn", "csn_r101_kinetics400", ("blocks.5.proj",)),
    "mvit_base_32x3": _full("MViT-B 32x3", "mvit", "mvit_base_32x3_kinetics400", ("head.proj",)),
    "swin3d_t": _full(
        "Swin-T 3D", "swin", "swin3d_t_kinetics400", ("head",), mean=_IMAGENET_MEAN, std=_IMAGENET_STD
    ),
    "penet": _full(
        "PENet", "penet", "penet_kinetics600", ("classifier.fc",), mean=_PENET_MEAN, std=_PENET_STD
    ),
    "x3d_m": _full("X3D-M", "x3d", "x3d_m_kinetics400", ("blocks.5.proj",), seven=False),
    "videomae_base": _full(
        "VideoMAE-B",
        "videomae",
        "videomae_base_kinetics400",
        ("network.classifier",),
        seven=False,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    ),
    "slow_narrow": _narrow("Slow", "slow", ("blocks.5.proj",)),
    "slowfast_narrow": _narrow("SlowFast", "slowfast", ("blocks.6.proj",)),
    "r2plus1d_narrow": _narrow("R(2+1)D", "r2plus1d", ("blocks.5.proj",)),
    "csn_narrow": _narrow("CSN", "csn", ("blocks.5.proj",)),
    "mvit_narrow": _narrow("MViT", "mvit", ("head.proj",)),
    "swin_narrow": _narrow("Swin", "swin", ("head",)),
    "penet_narrow": _narrow("PENet", "penet", ("classifier.fc",)),
    "x3d_narrow": _narrow("X3D", "x3d", ("blocks.5.proj",), seven=False),
    "videomae_narrow": _narrow("VideoMAE", "videomae", ("network.classifier",), seven=False),
    "i3d": _full(
        "I3D", "i3d", "i3d_kinetics400", ("logits",), seven=False, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    ),
    "resnet18": _two_d("ResNet-18", "resnet", "build_resnet18", weights_id="resnet18_imagenet"),
    "resnext101_32x8d": _two_d(
        "ResNeXt-101-32x8d", "resnet", "build_resnext101", weights_id="resnext101_32x8d_imagenet"
    ),
    "lrcn_resnext101_32x8d": _two_d(
        "LRCN (ResNeXt-101-32x8d)", "lrcn", "build_resnext101", features_from="resnext101_32x8d"
    ),
    "efficientnet_lite0": _two_d(
        "EfficientNet-Lite0", "efficientnet", weights_id="efficientnet_lite0_imagenet", slice_step=2
    ),
    "lrcn_efficientnet_lite0": _two_d(
        "LRCN (EfficientNet-Lite0)",
        "lrcn",
        "build_efficientnet_lite0",
        features_from="efficientnet_lite0",
        slice_step=2,
    ),
}


def _probe(name: str, entry: ModelEntry) -> ModelEntry:
    """A model of which the head alone is trained, on the features that it starts with."""
    return replace(entry, title=f"{entry.title} (frozen probe)", seven=False, frozen=True, probe_of=name)


# Any model but those that read another's frozen features already; a study lists a probe like a model.
MODELS |= {
    f"{name}_probe": _probe(name, entry) for name, entry in MODELS.items() if entry.features_from is None
}
