"""A model's head as one linear function of features: what frozen probes are fitted on.

Every model but the LRCN ends in one linear layer, the module that its catalogue row names as head. What
follows it is, if anything, a mean over positions, and a mean of linear functions is the linear function of
the mean. So the logits of a window are ``features @ weight + bias``, where features are the head's input,
averaged over positions.

Shape suffixes: B batch, F features.
"""

from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from chestct.catalogue import MODELS


def head_of(model: nn.Module, name: str) -> tuple[str, nn.Linear | nn.Conv3d]:
    """The head of a model of the catalogue, with the prefix of its parameters.

    Raises:
        AssertionError: the head is more than one layer, or no linear one: such a model has no probe.
    """
    prefixes = MODELS[name].head
    assert len(prefixes) == 1, f"the head of '{name}' is {prefixes}, and a probe's is one layer"
    head = model.get_submodule(prefixes[0])
    linear = isinstance(head, nn.Linear) or (isinstance(head, nn.Conv3d) and head.kernel_size == (1, 1, 1))
    assert linear, f"the head of '{name}' is {head}, and a probe's is linear"
    return prefixes[0], head  # type: ignore[return-value]


class HeadInput:
    """Keeps the input of a head as the model runs: a context manager around calls of the model.

    Args:
        head: of ``head_of``, part of the model.
    """

    def __init__(self, head: nn.Linear | nn.Conv3d) -> None:
        self._head = head
        self._kept: list[torch.Tensor] = []

    def __enter__(self) -> Self:
        self._handle = self._head.register_forward_pre_hook(self._keep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()

    def _keep(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        channels = 1 if isinstance(self._head, nn.Conv3d) else -1
        features = inputs[0].detach().float().movedim(channels, -1)
        if features.dim() > 2:
            features = features.flatten(1, -2).mean(dim=1)
        self._kept.append(features.cpu())

    @property
    def features(self) -> torch.Tensor:
        """The head's input in all calls of the model, averaged over positions: float32, (B, F)."""
        return torch.cat(self._kept)
