"""One optimisation step of every full-size model on windows of a real scan: the table of docs/models.md.

``python benchmarks/full_size_step.py [MODEL...]`` writes the rows of the models named, of all of them
where none is. Each model runs in a process of its own, whose peak memory the table gives.
"""

import json
import math
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from setting import ROOT, real_series, scratch

from chestct.catalogue import MODELS

WINDOW, SIZE_PX, CROP_PX, THREADS, REPEATS = 32, 256, 224, 2, 2
DOCUMENT = ROOT / "docs" / "models.md"
_BEGIN, _END = "<!-- full_size_step: written by benchmarks/full_size_step.py -->", "<!-- end -->"
_HEAD = ["model", "name", "parameters", "forward", "a step", "peak memory", "loss", "gradients"]
_STUDY_ID = "real"

#: Models of slices and of whole scans are networks of this list.
FULL_SIZE = [
    name
    for name, entry in MODELS.items()
    if entry.build != "build_narrow" and entry.probe_of is None and entry.sees == "window"
]


def store_real_scan(folder: Path) -> tuple[Path, str]:
    """Convert the real series by the volumes step's code; the shard and words for the table."""
    from conversion import convert_ours

    series, words = real_series(folder)
    return convert_ours([series], folder), words


def step_once(name: str, shard: str) -> dict[str, object]:
    """Three steps of a model, each on a window of its own, in this process."""
    import torch
    from model_input import training_input
    from torch.nn.functional import binary_cross_entropy_with_logits

    from chestct.models import build_model
    from chestct.training.budget import Batches
    from chestct.training.machine.device import peak_memory_mb, tune
    from chestct.training.measure.speed import count_flops
    from chestct.training.windows.training_input import WindowInput
    from chestct.volume_store import WindowReader, list_scans

    torch.set_num_threads(THREADS)
    entry, (study_id, *_) = MODELS[name], list_scans(shard)
    settings = training_input(name, CROP_PX)
    model = build_model(name, num_slices=WINDOW, size_px=CROP_PX, seed=0).train()
    tune(model, gpus=0, precision="32-true")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, fused=True)
    reader, prepare = WindowReader(), WindowInput(settings, Batches(size=1), seed=0)
    torch.manual_seed(0)  # of dropout and stochastic depth
    losses, seconds = [], []
    for number in range(REPEATS + 1):
        start = (number + 1) * WINDOW
        hu_1THW = torch.from_numpy(reader.read(shard, study_id, start, start + WINDOW))[None]
        begin = time.perf_counter()
        inputs, targets = prepare((hu_1THW, torch.ones(1)))
        loss = binary_cross_entropy_with_logits(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
    peak_gb = peak_memory_mb(0) * 2**20 / 1e9
    gradients = [p.grad for p in parameters if p.grad is not None]
    forward_flops, _ = count_flops(name, window=WINDOW, size=CROP_PX)
    return {
        "title": entry.title,
        "parameters": sum(p.numel() for p in model.parameters()) / 1e6,
        "forward": forward_flops / 1e9,
        "seconds": min(seconds[1:]),
        "peak_gb": peak_gb,
        "loss": losses[0],
        "reached": [len(gradients), len(parameters)],
        "finite": bool(
            all(math.isfinite(loss) for loss in losses)
            and gradients
            and all(gradient.isfinite().all() for gradient in gradients)
        ),
    }


def line(name: str, found: dict) -> str:
    """A row of the table."""
    reached, trained = found["reached"]
    words = "finite" if reached == trained else f"finite, {reached} of {trained}"
    cells = [
        found["title"],
        f"`{name}`",
        f"{found['parameters']:.1f} M",
        f"{found['forward']:.0f} GFLOP",
        f"{found['seconds']:.1f} s",
        f"{found['peak_gb']:.1f} GB",
        f"{found['loss']:.3f}",
        words if found["finite"] else "NOT FINITE",
    ]
    return "| " + " | ".join(cells) + " |"


def rewrite(rows: dict[str, str], words: str) -> None:
    """Put rows into the document's table, beside those of other models that are there."""
    before, rest = DOCUMENT.read_text().split(_BEGIN)
    old, after = rest.split(_END)
    kept = {text.split("`")[1]: text for text in old.splitlines() if text.startswith("| ") and "`" in text}
    rows = {name: text for name in FULL_SIZE if (text := (kept | rows).get(name))}
    note = (
        f"Three windows of {words}, {WINDOW} x {CROP_PX} x {CROP_PX}, batch 1, float32, {THREADS} CPU "
        f"threads; the quicker of {REPEATS} steps after one unmeasured; last written {date.today()}, "
        f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} CPUs."
    )
    table = [f"| {' | '.join(_HEAD)} |", f"|{' --- |' * len(_HEAD)}", *rows.values()]
    DOCUMENT.write_text(f"{before}{_BEGIN}\n{note}\n\n" + "\n".join(table) + f"\n{_END}{after}")


def main(names: list[str]) -> int:
    """Measure models and write their rows; returns 1 where a number is not finite or a process failed."""
    unknown = set(names) - set(FULL_SIZE)
    if unknown:
        sys.exit(f"{sorted(unknown)} are no full-size models: {', '.join(FULL_SIZE)}")
    failed = 0
    with scratch() as folder:
        shard, words = store_real_scan(folder)
        for name in names or FULL_SIZE:
            environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
            command = [sys.executable, __file__, "--step", name, str(shard)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
            if done.returncode:
                print(f"{name}: its process ended with {done.returncode}", file=sys.stderr, flush=True)
                failed = 1
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            print(line(name, found), flush=True)
            rewrite({name: line(name, found)}, words)
            failed |= not found["finite"]
    return int(failed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        print(json.dumps(step_once(*sys.argv[2:])))
    else:
        sys.exit(main(sys.argv[1:]))
