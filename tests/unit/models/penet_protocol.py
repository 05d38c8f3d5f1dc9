"""PENet from the protocol's text alone: names, shapes, and what it computes."""

from typing import Any

import torch
import torch.nn.functional as F

DEPTHS, WIDTHS = (3, 4, 6, 3), (128, 256, 512, 1024)


def protocol_shapes(num_classes: int = 600) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter that the protocol's text implies."""
    shapes: dict[str, tuple[int, ...]] = {"in_conv.0.weight": (64, 3, 7, 7, 7)}
    shapes |= {"in_conv.1.weight": (64,), "in_conv.1.bias": (64,)}
    num_in = 64
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True)):
        for block in range(depth):
            prefix, num_out = f"encoders.{stage}.penet_blocks.{block}", 2 * width
            shapes[f"{prefix}.conv1.weight"] = (width, num_in, 1, 1, 1)
            shapes[f"{prefix}.conv2.weight"] = (width, width // 32, 3, 3, 3)
            shapes[f"{prefix}.conv3.weight"] = (num_out, width, 1, 1, 1)
            for norm, size in (("norm1", width), ("norm2", width), ("norm3", num_out)):
                shapes |= {f"{prefix}.{norm}.weight": (size,), f"{prefix}.{norm}.bias": (size,)}
            squeezed = num_out // 16
            shapes[f"{prefix}.se_block.excite.0.weight"] = (squeezed, num_out)
            shapes[f"{prefix}.se_block.excite.0.bias"] = (squeezed,)
            shapes[f"{prefix}.se_block.excite.2.weight"] = (num_out, squeezed)
            shapes[f"{prefix}.se_block.excite.2.bias"] = (num_out,)
            if num_in != num_out:
                shapes[f"{prefix}.down_sample.0.weight"] = (num_out, num_in, 1, 1, 1)
                shapes |= {f"{prefix}.down_sample.1.{kind}": (num_out,) for kind in ("weight", "bias")}
            num_in = num_out
    return shapes | {"classifier.fc.weight": (num_classes, num_in), "classifier.fc.bias": (num_classes,)}


def protocol_logits(state: dict[str, torch.Tensor], x_BCTHW: torch.Tensor) -> torch.Tensor:
    """What the protocol's text computes at test time."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.group_norm(x, x.shape[1] // 16, state[f"{name}.weight"], state[f"{name}.bias"])

    def conv(x: torch.Tensor, name: str, **options: Any) -> torch.Tensor:
        return F.conv3d(x, state[f"{name}.weight"], **options)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def leaky(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x, 0.01 * x)

    x = leaky(norm(conv(x_BCTHW, "in_conv.0", stride=(1, 2, 2), padding=3), "in_conv.1"))
    x = F.max_pool3d(x, 3, stride=2, padding=1)
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            name, stride = f"encoders.{stage}.penet_blocks.{block}", 2 if stage > 0 and block == 0 else 1
            y = leaky(norm(conv(x, f"{name}.conv1"), f"{name}.norm1"))
            y = leaky(norm(conv(y, f"{name}.conv2", stride=stride, padding=1, groups=32), f"{name}.norm2"))
            y = norm(conv(y, f"{name}.conv3"), f"{name}.norm3")
            squeezed = leaky(linear(y.mean(dim=(2, 3, 4)), f"{name}.se_block.excite.0"))
            gate = 1 / (1 + (-linear(squeezed, f"{name}.se_block.excite.2")).exp())
            y = y * gate[:, :, None, None, None]
            if f"{name}.down_sample.0.weight" in state:
                x = norm(conv(x, f"{name}.down_sample.0", stride=stride), f"{name}.down_sample.1")
            x = leaky(x + y)
    return linear(x.mean(dim=(2, 3, 4)), "classifier.fc")
