"""A scan's score is its own, whichever scans share its batches: the LRCN's, where it once was not."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from chestct.catalogue import MODELS
from chestct.intensity import AIR_HU
from chestct.models import build_model
from chestct.training.scoring import scan_logits
from chestct.training.windows.display_window import InputSettings

Liven = Callable[[nn.Module, torch.Tensor], None]

#: Windows of three scans.
NUMBERS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
NAMES = ["lrcn_efficientnet_lite0", "efficientnet_lite0", "videomae_narrow", "csn_narrow"]


def settings(name: str) -> InputSettings:
    entry = MODELS[name]
    return InputSettings(
        crop_px=32,
        max_rotation_degrees=0,
        max_shift_px=None,
        flip=False,
        interpolation="bilinear",
        centre_hu=0,
        width_hu=2000,
        fill=AIR_HU,
        mean=entry.mean,
        std=entry.std,
    )


@pytest.mark.parametrize("name", NAMES)
def test_score_of_a_scan_does_not_depend_on_its_batch_mates(name: str, liven: Liven) -> None:
    model = build_model(name, num_slices=8, size_px=32, seed=0)
    liven(model, torch.randn(6, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1)))
    generator = torch.Generator().manual_seed(0)
    hu_BTHW = torch.randint(-1000, 1000, (8, 8, 40, 40), generator=generator, dtype=torch.int16)
    orders = {
        "one batch": [torch.arange(8)],
        "a window a batch": list(torch.arange(8).split(1)),
        "scans alone": [torch.arange(3), torch.arange(3, 5), torch.arange(5, 8)],
        "scans mixed": list(torch.tensor([7, 0, 3, 5, 1, 4, 6, 2]).split(3)),
    }
    logits = {
        words: scan_logits(
            model,
            [(hu_BTHW[order], NUMBERS[order]) for order in batches],  # type: ignore[arg-type]
            3,
            settings(name),
            device=torch.device("cpu"),
        )
        for words, batches in orders.items()
    }
    expected = logits.pop("scans alone")
    assert expected.std() > 1e-4, "scans that score alike would show nothing"
    for words, found in logits.items():
        # Rounding of float32 is up to 2e-4 of the spread, by processor.
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3 * float(expected.std()), msg=words)
