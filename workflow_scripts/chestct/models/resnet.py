"""ResNet-18 and ResNeXt-101-32x8d on slices: the paper's 2D baselines, by torchvision.

Architectures: He et al., CVPR 2016; Xie et al., CVPR 2017. A window's logits come from the mean of its
slices' features. Both end in a global average pool, so slices of any size fit.
"""

from collections.abc import Callable

from torch import nn
from torchvision.models.resnet import ResNet, resnet18, resnext101_32x8d

from chestct.models.published_key_names import imagenet_slices
from chestct.models.slices import SliceClassifier

PUBLISHED = {"resnet18_imagenet": imagenet_slices("fc."), "resnext101_32x8d_imagenet": imagenet_slices("fc.")}


def create_backbone(constructor: Callable[..., ResNet]) -> tuple[nn.Module, int]:
    """A network without its classifier, and the number of its features."""
    backbone = constructor(weights=None)
    num_features = backbone.fc.in_features
    backbone.fc = nn.Identity()  # type: ignore[assignment]
    return backbone, num_features


def build_resnet18(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """ResNet-18 at full size. See ``chestct.models.build_model``."""
    return SliceClassifier(*create_backbone(resnet18), num_classes, slice_step=slice_step)


def build_resnext101(num_slices: int, size_px: int, num_classes: int, *, slice_step: int = 1) -> nn.Module:
    """ResNeXt-101-32x8d at full size. See ``chestct.models.build_model``."""
    return SliceClassifier(*create_backbone(resnext101_32x8d), num_classes, slice_step=slice_step)
