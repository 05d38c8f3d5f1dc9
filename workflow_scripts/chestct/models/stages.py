"""Shortens the stages of models from pytorchvideo's constructors, for the narrow forms."""

from torch import nn

#: Blocks kept a stage in the narrow models: the first changes stride and width, the second does not,
#: so both kinds of block of the full models are there.
NARROW_BLOCKS = 2


def shorten_stages(model: nn.Module) -> None:
    """Keep the first NARROW_BLOCKS residual blocks of every stage."""
    # list(): the tree changes under the walk.
    for module in list(model.modules()):
        blocks = getattr(module, "res_blocks", None)
        if isinstance(blocks, nn.ModuleList):
            module.res_blocks = blocks[:NARROW_BLOCKS]
