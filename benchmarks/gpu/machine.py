"""What the machine is and what it reaches: a matrix product, a copy; timing for the other parts."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from findings import Report

from chestct.training.measure.data_sheets import memory_tbps, peak_tflops, why_no_peak
from chestct.training.measure.machine_speeds import copy_tbps, product_tflops


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What speeds are held against, 10**12 a second: by the data sheet, or measured where it is not known.

    Attributes:
        sheet: where the peak of operations comes from, in words.
    """

    device: torch.device
    name: str
    product_tflops: float
    sheet_tflops: float
    copy_tbps: float
    sheet_tbps: float
    sheet: str
    dry: bool

    @property
    def gpus(self) -> int:
        """As in the settings of training."""
        return int(self.device.type == "cuda")

    @property
    def dtype(self) -> torch.dtype:
        """Of most values in training here."""
        return torch.bfloat16 if self.gpus else torch.float32

    @property
    def precision(self) -> str:
        """Of training here."""
        return "bf16-mixed" if self.gpus else "32-true"


def seconds(
    action: Callable[[], object], device: torch.device, *, warm_up: int = 3, repeats: int = 10
) -> float:
    """Median seconds of an action."""
    times = []
    for repeat in range(warm_up + repeats):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if repeat >= warm_up:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def look_at_machine(report: Report, device: torch.device, *, dry: bool) -> Machine:
    """Name the machine and its libraries, and measure a matrix product and a copy."""
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name() if gpu else "CPU"
    versions = (
        f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )
    if importlib.util.find_spec("triton"):
        import triton

        versions += f", Triton {triton.__version__}"
    report.add("machine", name, versions)
    precision = "bf16-mixed" if gpu else "32-true"
    product, copy = product_tflops(device, precision), copy_tbps(device)
    sheet, sheet_tbps = peak_tflops(name, precision), memory_tbps(name)
    words = f"{sheet:.4g} by the data sheet" if sheet else why_no_peak(name, precision)
    report.add("machine", "matrix product", f"{product:.4g} TFLOP/s ({words})")
    words = f"{sheet_tbps:.3g} by the data sheet" if sheet_tbps else "its data sheet's is not known"
    report.add("machine", "copy, read and written", f"{copy:.3g} TB/s ({words})")
    return Machine(
        device=device,
        name=name,
        product_tflops=product,
        sheet_tflops=sheet or product,
        copy_tbps=copy,
        sheet_tbps=sheet_tbps or copy,
        sheet="the data sheet" if sheet else "the peak, taken to be the product's",
        dry=dry,
    )
