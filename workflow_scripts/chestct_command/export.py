"""``chestct export``: a trained run as files that another program scores windows with, without this package.

The network is written by ``torch.export`` with all that turns a window's stored values into a score: crop,
display window, normalisation, sigmoid. It is loaded again and compared with the run before anything of it
is kept.
"""

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from chestct.errors import InputError
from chestct.evidence.publish import replaced_folder
from chestct.files import atomic_path, write_text
from chestct.intensity import DISPLAY
from chestct.records import recorded_path
from chestct.training.machine.device import tune
from chestct.training.windows.device_input import score_windows
from chestct.training.windows.display_window import InputSettings
from chestct.window_forms import WindowRule
from chestct_command.model_card import model_card, read_study
from chestct_command.trained_run import TrainedRun, read_trained_run

#: Largest difference of a score from the run's own.
TOLERANCE = 1e-5
#: Numbers of windows at a time that scores are compared with, of as many windows as the largest.
_SIZES = (1, 3)
#: The windows that are compared: mean and standard deviation of their noise, in widths of the display window.
_NOISE = ((-0.3, 0.3), (0.0, 0.02), (0.3, 0.1))

_EXAMPLE = '''"""Scores windows of a scan with the exported network; needs PyTorch and NumPy, nothing else.

    python predict_example.py WINDOWS.npy

WINDOWS.npy holds the windows of one scan, int16, shape (windows, {slices}, {size}, {size}): inference.json
says how a scan becomes windows. The score of the scan is that of its highest window.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.export

network = torch.export.load(Path(__file__).with_name("model.pt2")).module()
windows = torch.from_numpy(np.load(sys.argv[1]).astype(np.int16))
with torch.no_grad():
    scores = torch.cat([network(part) for part in windows.split({at_once})])
for number, score in enumerate(scores.tolist()):
    print(f"window {{number}}: {{score:.7f}}")
print(f"scan: {{scores.max():.7f}} (window {{scores.argmax()}})")
'''


class WindowScores(nn.Module):
    """Stored values of windows to scores: what is exported.

    Written out of operations that ``torch.export`` follows; that it does what training does
    (``windows.device_input.score_windows``) is compared, not assumed.

    Args:
        network: gives a logit a window.
        seen: how values become its input.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, seen: InputSettings) -> None:
        super().__init__()
        self.network = network
        self.crop_px, self.low, self.width = seen.crop_px, seen.centre_hu - seen.width_hu / 2, seen.width_hu
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(seen, name)).reshape(1, 3, 1, 1, 1))

    def forward(self, hu_BTHW: torch.Tensor) -> torch.Tensor:
        """Scores in [0, 1], shape (B,), of stored values (int16)."""
        top, left = ((size - self.crop_px) // 2 for size in hu_BTHW.shape[-2:])
        crop = hu_BTHW[..., top : top + self.crop_px, left : left + self.crop_px].float()
        grey = ((crop - self.low) / self.width).clamp(0, 1)
        x_BCTHW = (grey.unsqueeze(1) - self.mean) / self.std
        return self.network(x_BCTHW).squeeze(1).sigmoid()


def export(folder: Path, target: Path) -> int:
    """Write weights, model, model card, inference.json and an example to a new folder.

    Args:
        folder: of the run.
        target: the new folder.

    Returns:
        Exit status.

    Raises:
        InputError: the run cannot be used, the folder is not empty or cannot be written to, or the exported
            network's scores differ.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            "the folder to write to holds something already",
            where=target,
            expected="a folder that is new or empty",
            remedy="name another one",
        )
    run = read_trained_run(folder)
    with replaced_folder(target.resolve()) as place:
        several, difference = write_model(run, place / "model.pt2")
        with recorded_path(place / run.weights.name, made_from=False) as temporary:
            shutil.copyfile(run.weights, temporary)
        facts = inference_facts(run, several=several)
        write_text(place / "inference.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        write_text(place / "predict_example.py", example(run, several=several))
        write_text(place / "MODEL_CARD.md", model_card(run, read_study(run)))
    windows = "any number of windows" if several else "one window at a time (this model allows no more)"
    print(f"Written: {target}: model.pt2 takes {windows}, largest difference of a score {difference:.1e}")
    print("Read MODEL_CARD.md before you pass it on: licences of data and starting weights hold for it too.")
    return 0


def write_model(run: TrainedRun, path: Path) -> tuple[bool, float]:
    """Export the run's network and compare what was written with the run itself.

    Returns:
        Whether it takes any number of windows at once, and the largest difference of a score.

    Raises:
        InputError: the network cannot be exported, or its scores differ by more than ``TOLERANCE``.
    """
    windows = sample_windows(run)
    problem: Exception | str = ""
    for several in (True, False):
        try:
            with atomic_path(path) as temporary:
                torch.export.save(_exported(run, windows, several=several), temporary)
            difference = largest_difference(run, path, windows, _SIZES if several else _SIZES[:1])
        except InputError:  # no room on the disk
            raise
        except Exception as error:  # what a model does not allow can fail in any way
            problem = error
            continue
        if difference <= TOLERANCE:
            return several, difference
        problem = f"scores differ by {difference:.2g}"
    reason = next(iter(str(problem).splitlines()), repr(problem))[:300]
    raise InputError(
        f"the network of '{run.run.model}' cannot be exported: {reason}",
        where=run.weights,
        expected=f"an exported network whose scores are the run's, to {TOLERANCE:g}",
        remedy="export a run of another model, or score scans with chestct predict",
    )


def _exported(run: TrainedRun, windows: torch.Tensor, *, several: bool) -> torch.export.ExportedProgram:
    module = WindowScores(run.network(), run.input_settings).eval()
    given: Any = None if not several else {"hu_BTHW": {0: Dim("windows", min=1)}}
    example = windows[: 2 if several else 1]
    with warnings.catch_warnings():
        # Recurrent layers note down their weights as they run; nothing of that is lost.
        warnings.filterwarnings("ignore", message="The tensor attributes")
        program = torch.export.export(module, (example,), dynamic_shapes=given, strict=False)
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # which names folders of this machine
    return program


def sample_windows(run: TrainedRun) -> torch.Tensor:
    """Random windows, int16, (B, T, H, W): noise around several values of the display window."""
    seen, size_px = run.input_settings, run.conversion["size_px"]
    rng = np.random.default_rng(0)
    shape = (run.rule.window, size_px, size_px)
    low, high = (0, 255) if run.facts["intensity"] == DISPLAY else (-1024, 3071)
    windows = []
    for mean, deviation in _NOISE:
        values = seen.centre_hu + seen.width_hu * (mean + deviation * rng.standard_normal(shape))
        windows.append(np.clip(values, low, high).astype(np.int16))
    return torch.from_numpy(np.stack(windows))


def run_scores(run: TrainedRun, network: nn.Module, windows: torch.Tensor) -> torch.Tensor:
    """Scores of windows as the workflow computes them, all at once.

    Args:
        run: the run.
        network: its network, tuned.
        windows: to score.
    """
    return score_windows(network, windows, run.input_settings).double().sigmoid()


def largest_difference(
    run: TrainedRun, path: Path, windows: torch.Tensor, sizes: Sequence[int] = _SIZES
) -> float:
    """The largest difference of a score of an exported network from the run's own; inf where there is none.

    Args:
        run: the run.
        path: of the exported network.
        windows: to score.
        sizes: numbers of windows at once that they are scored with, which moves scores by rounding.
    """
    exported, network = torch.export.load(path).module(), run.network()
    tune(network, gpus=0, precision=run.scoring.precision)
    with torch.no_grad():
        differences = [
            exported(part).double() - run_scores(run, network, part)
            for size in sizes
            for part in windows.split(size)
        ]
    return float(torch.cat(differences).abs().nan_to_num(torch.inf).max())


def inference_facts(run: TrainedRun, *, several: bool) -> dict[str, Any]:
    """How a scan becomes windows, and windows a score, for whoever writes that in another program."""
    seen, conversion, display = run.input_settings, run.conversion, run.facts["intensity"] == DISPLAY
    size_px = conversion["size_px"]
    return {
        "scan": {
            "axes": "z, y, x: from feet to head, front to back, the patient's right to left",
            "values": "grey values of display images, 0 to 255, int16" if display else "HU, int16",
            "values_of_files": conversion["intensity"],
            "accepted_by_hand": conversion["accept"],
            "rows_and_columns": size_px,
            "in_plane": "padded to a square with `fill`, then averaged by area (smaller) or bilinear "
            "(larger)",
            "spacing_z_mm": conversion["spacing_z_mm"],
            "num_slices": conversion["num_slices"],
            "along_z": _along_z(conversion),
            "fill": seen.fill,
        },
        "windows": {"slices": run.rule.window, "stride": run.rule.stride, "places": _places(run.rule)},
        "input": {
            "shape": ["windows" if several else 1, run.rule.window, size_px, size_px],
            "dtype": "int16",
            "any_number_of_windows": several,
        },
        "inside_the_model": {
            "centre_crop_px": seen.crop_px,
            "display_window_hu": {"centre": seen.centre_hu, "width": seen.width_hu},
            "mean": list(seen.mean),
            "std": list(seen.std),
            "sigmoid": True,
        },
        "score_of_a_scan": "the largest score of its windows",
        "trained": dict(run.facts),
    }


def _along_z(conversion: Mapping[str, Any]) -> str:
    if conversion["spacing_z_mm"] is not None:
        return f"resampled to slices {conversion['spacing_z_mm']:g} mm apart"
    if conversion["num_slices"] is not None:
        return f"resampled to {conversion['num_slices']} slices over the same extent"
    return "slices stay as they are"


def _places(rule: WindowRule) -> str:
    if rule.stride is None:
        return (
            "one window: the whole scan. Of more slices than a window has, the middle slice of each of as "
            "many equal parts; fewer are followed by slices of `fill`"
        )
    return (
        f"windows begin at slices 0, {rule.stride}, {2 * rule.stride} and so on, as far as they lie within "
        "the scan, and one more ends with its last slice; a scan shorter than a window has one, followed by "
        "slices of `fill`"
    )


def example(run: TrainedRun, *, several: bool) -> str:
    """A script that scores windows with the exported network, without this package."""
    at_once = run.scoring.windows_at_once if several else 1
    return _EXAMPLE.format(slices=run.rule.window, size=run.conversion["size_px"], at_once=at_once)
