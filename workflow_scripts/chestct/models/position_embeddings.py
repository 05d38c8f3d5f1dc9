"""MViT's learned position embeddings, resized from the published window to another."""

import math
from collections.abc import Mapping

import torch
from torch.nn.functional import interpolate

from chestct.models.weight_files import Tensors

_SPATIAL = "cls_positional_encoding.pos_embed_spatial"
_TEMPORAL = "cls_positional_encoding.pos_embed_temporal"


def _resize_spatial(old_1PC: torch.Tensor, num_positions: int) -> torch.Tensor:
    sides = math.isqrt(old_1PC.shape[1]), math.isqrt(num_positions)
    if sides[0] ** 2 != old_1PC.shape[1]:
        return old_1PC  # no square grid: left to the check of shapes
    grid_1CHW = old_1PC.transpose(1, 2).unflatten(2, (sides[0], sides[0])).contiguous()
    size = (sides[1], sides[1])
    resized = interpolate(grid_1CHW, size, mode="bicubic", align_corners=False, antialias=True)
    return resized.flatten(2).transpose(1, 2).contiguous()


def _resize_temporal(old_1PC: torch.Tensor, num_positions: int) -> torch.Tensor:
    resized = interpolate(old_1PC.transpose(1, 2), num_positions, mode="linear", align_corners=False)
    return resized.transpose(1, 2).contiguous()


def resize_position_embeddings(tensors: Tensors, wanted: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Stretch MViT's separate position embeddings, in place, to the grid of another window.

    The embeddings of rows and columns are resampled by bicubic interpolation (antialiased where there are
    fewer positions than before), those of slices by linear interpolation, each over their whole extent, as
    is usual for vision transformers. Embeddings that fit already stay as they are.

    Args:
        tensors: read from the file.
        wanted: the model's own, for their shapes (1, positions, channels).

    Returns:
        Names of the embeddings that were resized.
    """
    resized = []
    for key, resize in ((_SPATIAL, _resize_spatial), (_TEMPORAL, _resize_temporal)):
        old, new = tensors.get(key), wanted.get(key)
        if old is None or new is None or old.shape == new.shape or old.ndim != 3:
            continue
        tensors[key] = resize(old.float(), new.shape[1])
        resized.append(key)
    return tuple(resized)
