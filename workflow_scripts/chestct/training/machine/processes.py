"""The processes that train one run together, and the few things that they agree on.

DistributedDataParallel exchanges gradients. What is small and lies on the CPU (a flag, scores, states of
generators) goes through a group of its own, so that no GPU waits for it.
"""

import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

_control: Any = None


def join(*, gpus: int) -> None:
    """Join the processes that the launcher started; their number and names are in the environment."""
    global _control
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpus else "gloo")
    _control = dist.new_group(backend="gloo")


def leaves_blocks_out(model: nn.Module) -> bool:
    """Whether a network leaves whole blocks out of a step by chance, whose weights then have no gradient."""
    return any(getattr(part, "survival", 1) < 1 for part in model.modules())


def distribute(model: nn.Module, device: torch.device) -> nn.Module:
    """The model as all processes train it together: gradients are their mean."""
    from torch.nn.parallel import DistributedDataParallel

    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    return DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        # Processes have the same statistics of BatchNorm (SyncBatchNorm; none without GPUs): to send those of
        # the first to the others before every step would be hundreds of small copies.
        forward_sync_buffers=False,
        find_unused_parameters=leaves_blocks_out(model),  # others in every process
    )


@dataclass(frozen=True)
class Processes:
    """This process and its companions; alone, every method returns its argument.

    Attributes:
        rank: of this process; 0 writes files and reports.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def current(cls) -> "Processes":
        """What this process belongs to."""
        return cls(dist.get_rank(), dist.get_world_size()) if _control is not None else cls()

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.maximum(torch.tensor(int(flag)))) if self.world > 1 else flag

    def maximum(self, values: torch.Tensor) -> torch.Tensor:
        """Elementwise maximum over the processes of a tensor on the CPU."""
        if self.world > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX, group=_control)
        return values

    def mean(self, value: float) -> float:
        """Mean of a number over the processes."""
        return sum(self.gather(value)) / self.world if self.world > 1 else value

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=_control)
        return values

    def barrier(self) -> None:
        """Wait for all."""
        if self.world > 1:
            dist.barrier(group=_control)
