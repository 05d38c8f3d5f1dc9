"""X3D's activation, x * sigmoid(x), by PyTorch's one kernel (``nn.SiLU``).

pytorchvideo's Swish takes two kernels forward and six backward, each of which moves a whole map through
memory; and torch.compile cannot trace it, so that no block of X3D would be compiled as one.
"""

import sys

from torch import nn


def use_fused_activation(model: nn.Module, _mixed: bool) -> int:
    """Let pytorchvideo's Swish be ``nn.SiLU``, in place; neither has parameters.

    Returns:
        How many modules were changed.
    """
    # Found among what is imported: a model of another kind must not wait for this library.
    swish = getattr(sys.modules.get("pytorchvideo.layers.swish"), "Swish", None)
    found = [module for module in model.modules() if type(module) is swish]
    for module in found:
        module.__class__, module.inplace = nn.SiLU, False  # type: ignore[assignment]
    return len(found)
