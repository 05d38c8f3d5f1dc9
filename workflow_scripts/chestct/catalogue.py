"""The models and inits that the study knows, without importing torch.

Configuration, workflow, evaluation and figures read this table; ``chestct.models`` builds what it
names. A new model is one entry here and one module in ``chestct/models``.
"""

from dataclasses import dataclass, field
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
        module: module in ``chestct.models`` with ``build(num_slices, size_px, num_classes)``.
        inits: starting points that exist for this model.
        seven: one of the seven 3D models whose mean the paper's first claim is about.
        mean, std: normalisation of the display-windowed input in [0, 1], a value a channel.
        weights: published weights by init: the ``weights_id`` in the weights table.
        features_from: model whose fine-tuned weights supply the slice features (LRCN), if any.
        slice_step: every n-th slice of a window is seen (2D models on short budgets).
        head: prefixes of the classifier's parameters, which start fresh in every arm.
    """

    title: str
    family: Family
    module: str
    inits: tuple[str, ...]
    seven: bool = False
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    weights: dict[str, str] = field(default_factory=dict)
    features_from: str | None = None
    slice_step: int = 1
    head: tuple[str, ...] = ()


def _narrow(title: str, module: str, head: tuple[str, ...], *, seven: bool = True) -> ModelEntry:
    return ModelEntry(
        title=f"{title} (narrow)",
        family="3d",
        module=module,
        inits=("scratch", "video", "ct", "video_ct"),
        seven=seven,
        head=head,
    )


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

#: Order is the order of figures and tables.
MODELS: dict[str, ModelEntry] = {
    "slow_narrow": _narrow("Slow", "slow", ("blocks.5.proj",)),
    "slowfast_narrow": _narrow("SlowFast", "slowfast", ("blocks.6.proj",)),
    "r2plus1d_narrow": _narrow("R(2+1)D", "r2plus1d", ("blocks.5.proj",)),
    "csn_narrow": _narrow("CSN", "csn", ("blocks.5.proj",)),
    "mvit_narrow": _narrow("MViT", "mvit", ("head.proj",)),
    "swin_narrow": _narrow("Swin", "swin", ("head",)),
    "penet_narrow": _narrow("PENet", "penet", ("classifier.fc",)),
    "x3d_narrow": _narrow("X3D", "x3d", ("blocks.5.proj",), seven=False),
    "i3d": ModelEntry(
        title="I3D",
        family="3d",
        module="i3d",
        inits=("scratch", "video", "ct", "video_ct"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights={"video": "i3d_kinetics400"},
        head=("logits",),
    ),
    "efficientnet_lite0": ModelEntry(
        title="EfficientNet-Lite0",
        family="2d",
        module="efficientnet",
        inits=("scratch", "imagenet"),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        weights={"imagenet": "efficientnet_lite0_imagenet"},
        slice_step=2,
        head=("head",),
    ),
    "lrcn_efficientnet_lite0": ModelEntry(
        title="LRCN (EfficientNet-Lite0)",
        slice_step=2,
        family="2d",
        module="lrcn",
        inits=("scratch", "imagenet"),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        features_from="efficientnet_lite0",
        head=("gru", "head"),
    ),
}
