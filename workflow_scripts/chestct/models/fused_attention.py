"""Attention of MViT and Swin by PyTorch's fused kernels, with the libraries' own parameters.

Both libraries write out the matrix of attention, by query and key, several times over: that is most of what
their training moves through memory. ``scaled_dot_product_attention`` (Dao et al., FlashAttention, NeurIPS
2022, and Rabe and Staats, arXiv 2112.05682, by device and mask) never does.

Shape suffixes: B batch, C channels, T slices (z), H rows (y), W columns (x); of masks, W attention windows of
a volume and L positions of a window.
"""

import sys
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention

#: A shape (T, H, W) of tokens.
Size = tuple[int, int, int]


def _in_lower_precision(x: torch.Tensor) -> torch.Tensor:
    """The values as autocast gives them to the next matrix product: once, before they are copied about."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _joined(layers: list[nn.Linear]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weights and biases of layers that see the same input, as those of one layer."""
    biases: list[torch.Tensor] = [layer.bias for layer in layers if layer.bias is not None]
    return torch.cat([layer.weight for layer in layers]), torch.cat(biases) if biases else None


def _pooled(
    tokens: torch.Tensor, pool: nn.Module | None, norm: nn.Module | None, size: list[int], *, has_class: bool
) -> tuple[torch.Tensor, list[int]]:
    """Tokens of every head pooled over (T, H, W), but for the class token; and the new size.

    Args:
        tokens: shape (B, heads, N, C).
        pool: a pooling layer of shapes (B * heads, C, T, H, W), or None.
        norm: layer norm that follows, or None.
        size: (T, H, W).
        has_class: whether the first token is the class token.
    """
    if pool is None:
        return tokens, size
    first, rest = (tokens[:, :, :1], tokens[:, :, 1:]) if has_class else (None, tokens)
    num_windows, num_heads, _, channels = rest.shape
    grid = rest.reshape(num_windows * num_heads, *size, channels).permute(0, 4, 1, 2, 3)
    # Tokens lie channels last. PyTorch's own depthwise convolutions are several times slower there.
    grid = pool(grid.contiguous() if type(pool) is nn.Conv3d else grid)
    new_size = list(grid.shape[2:])
    rest = grid.permute(0, 2, 3, 4, 1).reshape(num_windows, num_heads, -1, channels)
    tokens = rest if first is None else torch.cat((first, rest), dim=2)
    return tokens if norm is None else norm(tokens), new_size


def _mvit_forward(self: Any, x: torch.Tensor, thw_shape: list[int]) -> tuple[torch.Tensor, list[int]]:
    """As pytorchvideo's ``MultiScaleAttention`` where pooling follows the projections."""
    num_windows, num_tokens, channels = x.shape
    weight, bias = _joined([self.q, self.k, self.v])
    qkv = linear(_in_lower_precision(x), weight, bias)
    qkv = qkv.view(num_windows, num_tokens, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    pooled = [
        _pooled(
            tokens,
            getattr(self, f"pool_{name}"),
            getattr(self, f"norm_{name}", None),
            thw_shape,
            has_class=self.has_cls_embed,
        )
        for name, tokens in zip("qkv", qkv, strict=True)
    ]
    (q, size), (k, _), (v, _) = pooled
    x = scaled_dot_product_attention(q, k, v, scale=self.scale)
    x = self.proj(x.transpose(1, 2).reshape(num_windows, -1, channels))
    return (self.proj_drop(x) if self.dropout_rate > 0 else x), size


class _OfSizes:
    """What Swin's attention takes for a size of its input and no weight changes: made once, for all blocks.

    Not buffers, so that the state_dict stays as it is; a model on another device makes them anew.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], torch.Tensor] = {}

    def index(self, module: Any, num_positions: int) -> torch.Tensor:
        """Row of the table of relative positions for every pair of positions: shape (L * L,)."""
        whole = module.relative_position_index
        key = (tuple(module.window_size), num_positions, whole.device)
        if key not in self._kept:
            with torch.inference_mode(False):
                self._kept[key] = whole[:num_positions, :num_positions].flatten().clone()
        return self._kept[key]

    def mask(self, size: Size, window: Size, shift: Size, like: torch.Tensor) -> torch.Tensor:
        """What is added to the attention of shifted windows, in the type and on the device of ``like``."""
        key = (size, window, shift, like.dtype, like.device)
        if key not in self._kept:
            with torch.inference_mode(False):
                self._kept[key] = make_mask(size, window, shift, like.device).to(like.dtype)
        return self._kept[key]


def make_mask(size: Size, window: Size, shift: Size, device: torch.device) -> torch.Tensor:
    """What keeps apart, in shifted windows, what lies at opposite ends of the volume.

    Args:
        size: of the tokens, a multiple of the windows.
        window, shift: of the windows, along T, H and W.
        device: where it is made.

    Returns:
        0 between positions of one part of the volume, -100 between others: float32, shape (W, L, L).
    """
    parts = torch.zeros(size, device=device)
    for axis in range(3):
        # Rolled by the shift, the last window holds the end of the volume and then its start.
        start = torch.arange(size[axis], device=device) >= size[axis] - shift[axis]
        parts = 2 * parts + start.float().view([-1 if axis == other else 1 for other in range(3)])
    parts_WL = _windows_of(parts[None, ..., None], window).squeeze(-1)
    apart_WLL = parts_WL.unsqueeze(1) != parts_WL.unsqueeze(2)
    return torch.zeros(apart_WLL.shape, device=device).masked_fill(apart_WLL, -100.0)


def _windows_of(x: torch.Tensor, window: Size) -> torch.Tensor:
    """Tokens (B, T, H, W, C) by attention window: shape (B * W, L, C)."""
    num_windows, *size, channels = x.shape
    counts = [length // part for length, part in zip(size, window, strict=True)]
    split = [number for pair in zip(counts, window, strict=True) for number in pair]
    x = x.reshape(num_windows, *split, channels).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(-1, window[0] * window[1] * window[2], channels)


def _volume_of(x: torch.Tensor, size: Size, window: Size) -> torch.Tensor:
    """The inverse of ``_windows_of``: tokens (B, T, H, W, C)."""
    counts = [length // part for length, part in zip(size, window, strict=True)]
    x = x.reshape(-1, *counts, *window, x.shape[-1]).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(x.shape[0], *size, x.shape[-1])


def _swin_forward(self: Any, x: torch.Tensor) -> torch.Tensor:
    """As torchvision's ``ShiftedWindowAttention3d`` without dropout of attention."""
    num_windows, *given, channels = x.shape
    # Windows are no larger than the volume, and not shifted where one covers it.
    pairs = list(zip(given, self.window_size, self.shift_size, strict=True))
    window: Any = tuple(min(length, part) for length, part, _ in pairs)
    shift: Any = tuple(0 if length <= part else by for length, part, by in pairs)
    margins = [-length % part for length, part in zip(given, window, strict=True)]
    size: Any = tuple(length + more for length, more in zip(given, margins, strict=True))
    x = _in_lower_precision(x)
    if any(margins):
        x = pad(x, (0, 0, 0, margins[2], 0, margins[1], 0, margins[0]))
    if any(shift):
        x = x.roll([-by for by in shift], dims=(1, 2, 3))
    x = _windows_of(x, window)
    num_positions = x.shape[1]
    qkv = linear(x, self.qkv.weight, self.qkv.bias)
    heads = qkv.view(len(x), num_positions, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
    bias = self.relative_position_bias_table.index_select(0, self.of_sizes.index(self, num_positions))
    bias = bias.to(qkv.dtype).view(num_positions, num_positions, -1).permute(2, 0, 1).contiguous()
    if any(shift):
        # Windows join the axis of heads, so that one bias with the mask serves all volumes of the batch.
        bias = (self.of_sizes.mask(size, window, shift, qkv).unsqueeze(1) + bias).flatten(0, 1)
        heads = heads.reshape(3, num_windows, -1, num_positions, heads.shape[-1])
    q, k, v = heads
    x = scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(len(q), -1, -1, -1))
    x = x.reshape(-1, self.num_heads, num_positions, x.shape[-1]).transpose(1, 2)
    x = linear(x.reshape(-1, num_positions, channels), self.proj.weight, self.proj.bias)
    x = nn.functional.dropout(x, p=self.dropout, training=self.training)
    x = _volume_of(x, size, window)
    if any(shift):
        x = x.roll(shift, dims=(1, 2, 3))
    return x[:, : given[0], : given[1], : given[2]].contiguous() if any(margins) else x


@cache
def _fused(base: type[nn.Module], forward: Any) -> type[nn.Module]:
    """The class of a library with another way to compute: parameters and names are its own.

    Its products are no modules: what looks at modules (``bf16_check``) takes it as a whole.
    """
    return type(
        f"Fused{base.__name__}",
        (base,),
        {"forward": forward, "__module__": __name__, "checked_as_a_whole": True},
    )


def _class_of(module: str, name: str) -> type[nn.Module] | None:
    # Found among what is imported: a model of another kind must not wait for these libraries.
    return getattr(sys.modules.get(module), name, None)


def use_fused_attention(model: nn.Module, _mixed: bool) -> int:
    """Let a model's attention run in fused kernels, in place.

    Attention that drops some of itself in training stays, since which part it drops would change.

    Args:
        model: any; what is no attention of MViT or Swin stays.

    Returns:
        How many modules were changed.
    """
    mvit: Any = _class_of("pytorchvideo.layers.attention", "MultiScaleAttention")
    swin: Any = _class_of("torchvision.models.video.swin_transformer", "ShiftedWindowAttention3d")
    of_sizes, changed = _OfSizes(), 0
    for module in model.modules():
        kind: Any = type(module)
        if kind is mvit and not module.pool_first:
            module.__class__ = _fused(kind, _mvit_forward)
        elif kind is swin and not module.attention_dropout:
            module.__class__ = _fused(kind, _swin_forward)
            module.of_sizes = of_sizes  # type: ignore[assignment]
        else:
            continue
        changed += 1
    return changed
