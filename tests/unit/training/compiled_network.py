"""A small network of blocks that tests compile, and how what it computes is compared."""

import copy

import torch
from torch import nn

from chestct.training.machine.compiled import keeps_gradients


class Block(nn.Module):
    """Convolution, BatchNorm, squeeze-and-excitation, dropout, residual, ReLU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm3d(out_channels)
        self.excite = nn.Linear(out_channels, out_channels)
        self.drop = nn.Dropout(0.5)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x_BCTHW))
        x = x * torch.sigmoid(self.excite(x.mean(dim=(2, 3, 4))))[:, :, None, None, None]
        return torch.relu(self.drop(x) + x_BCTHW) if x.shape == x_BCTHW.shape else torch.relu(x)


class Network(nn.Module):
    """Three blocks of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 4), nn.Sequential(Block(4, 4), Block(4, 4)))
        self.head = nn.Linear(4, 1)
        self.unused = nn.Linear(2, 2)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(x_BCTHW).mean(dim=(2, 3, 4)))


def pair() -> tuple[Network, Network]:
    torch.manual_seed(0)
    plain = Network()
    return plain, copy.deepcopy(plain)


def batch(number: int = 4) -> torch.Tensor:
    return torch.randn(number, 3, 2, 5, 5, generator=torch.Generator().manual_seed(1))


def outcome(model: nn.Module, x_BCTHW: torch.Tensor, pieces: int = 1) -> dict[str, torch.Tensor]:
    """Output, gradients and running statistics of a training step in pieces, and the output in evaluation."""
    torch.manual_seed(2)
    model.train().zero_grad(set_to_none=not keeps_gradients(model))
    logits = []
    for piece in x_BCTHW.chunk(pieces):
        logits.append(model(piece))
        (logits[-1] * torch.linspace(0.5, 1, len(piece))[:, None]).sum().backward()
    found = {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }
    found |= {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        return found | {"training": torch.cat(logits).detach(), "evaluation": model.eval()(x_BCTHW)}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], limit: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        difference = (ours[name] - value).double().norm() / value.double().norm().clamp(min=1e-9)
        assert difference <= limit, f"{name} differs by {difference:.1e}"
