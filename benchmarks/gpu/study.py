"""A small study from conversion to report, by Snakemake: beside checks that time nothing."""

import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd
import yaml
from findings import Report
from machine import Machine

ROOT = Path(__file__).resolve().parents[2]
#: What a run of the workflow reads of the project.
READ = (
    "Snakefile", "config.yaml", "envs", "profiles", "report", "rules", "schemas", "studies",
    "workflow_scripts",
)  # fmt: skip
NAME = "gpu_check"
MODEL = "swin_narrow"
#: Over studies/smoke.yaml: one model from scratch and from videos, of few scans.
OVERLAY: dict[str, Any] = {
    "study": NAME,
    "datasets": [
        {
            "name": "lidc_phantom_check",
            "source": "phantom_lidc",
            "num_patients": 20,
            "seed": 2,
            "display_window_hu": {"centre": -600, "width": 1500},
        }
    ],
    "models": [{"name": MODEL}],
    "inits": ["scratch", "video"],
    "percents": [100],
    "download": {"shard_size": 20},
    "evaluation": {"num_resamples": 100, "simulations": 20},
}
#: Seconds that it may take where speeds are to be measured after it, and in the dry form.
LIMIT_SECONDS, DRY_LIMIT_SECONDS = 200.0, 900.0
_STOP_SECONDS = 10.0


@dataclass
class Study:
    """A study that runs.

    Attributes:
        folder: that it runs in, a temporary one.
        process: Snakemake, the first of a group of processes.
        begun: when, as ``time.monotonic`` says.
        limit: seconds that it may take.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    begun: float
    limit: float = LIMIT_SECONDS

    @classmethod
    def start(cls, machine: Machine) -> "Study":
        """Start it in a copy of the workflow.

        Raises:
            ImportError: this Python has no Snakemake.
        """
        if importlib.util.find_spec("snakemake") is None:
            raise ImportError("Snakemake is not installed here: pack it (benchmarks/gpu/pack.py)")
        folder = Path(mkdtemp(prefix="chestct-study-"))
        for name in READ:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, folder / name)
        training = {"gpus": machine.gpus, "precision": machine.precision, "num_validations": 1}
        overlay = folder / "overlay.yaml"
        overlay.write_text(yaml.safe_dump({**OVERLAY, "training": training}))
        environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if machine.gpus:
            # The profile counts GPUs by this name, or by a command that a bare machine need not have.
            environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
        with open(folder / "output.txt", "wb") as output:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "snakemake", "--cores", "all",
                    "--configfile", "studies/smoke.yaml", str(overlay),
                ],
                cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        limit = DRY_LIMIT_SECONDS if machine.dry else LIMIT_SECONDS
        return cls(folder, process, time.monotonic(), limit)

    def wait(self, report: Report) -> None:
        """Wait for its end, for as long as it may take, and note what came out; then remove its folder."""
        try:
            seconds = min(self.limit - self.seconds, report.left)
            try:
                code = self.process.wait(timeout=max(0.0, seconds))
            except subprocess.TimeoutExpired:
                report.add("study", NAME, f"not done after {self.seconds:.0f} s: {self.last_words()}", False)
                return
            if code:
                report.add("study", NAME, f"exit code {code}: {self.last_words()}", False)
            else:
                found, right = read_results(self.folder / "results" / NAME)
                report.add("study", "from conversion to report", f"{self.seconds:.0f} s; {found}", right)
        finally:
            self.stop()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.begun

    def last_words(self) -> str:
        """What its output says of errors, else its end."""
        lines = [
            line.strip() for line in (self.folder / "output.txt").read_text(errors="replace").splitlines()
        ]
        errors = [line for line in lines if "rror" in line]
        return " / ".join(errors[:3] or lines[-3:])

    def stop(self) -> None:
        """End its processes, if there still are any, and remove its folder."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
                try:
                    self.process.wait(timeout=_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        shutil.rmtree(self.folder, ignore_errors=True)


def read_results(folder: Path) -> tuple[str, bool]:
    """What a study's results say in words, and whether they are whole.

    Args:
        folder: of the results.
    """
    report = folder / "report.html"
    runs = pd.read_csv(folder / "training" / "runs.csv")
    metrics = pd.read_csv(folder / "evaluation" / "metrics.csv")
    auroc = metrics[metrics["metric"] == "auroc"]
    values = dict(zip(auroc["init"], auroc["value"], strict=True))
    values = {init: values.get(init, math.nan) for init in OVERLAY["inits"]}
    words = ", ".join(f"AUROC {value:.2f} from {init}" for init, value in values.items())
    device = ", ".join(sorted(set(runs["device"].astype(str))))
    size_kb = report.stat().st_size / 1e3 if report.is_file() else 0
    right = (
        set(values) == set(runs["init"])
        and all(math.isfinite(value) for value in values.values())
        and size_kb > 10
    )
    return f"{words}, on {device}; report of {size_kb:.0f} kB", right
