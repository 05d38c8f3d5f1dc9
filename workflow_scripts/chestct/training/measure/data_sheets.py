"""What GPUs reach at best by their vendor's data sheets, by the name that PyTorch gives them.

Without torch, for the plan of a study too. Forms of one GPU differ (an H100 on a PCIe card has 756 of the 989
TFLOP/s of the SXM module), and so do parts of one (MIG): a name counts as a whole or not at all. Sheets that
tell peaks with sparsity tell the double; here all are dense.
"""

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, kw_only=True)
class DataSheet:
    """Peaks of a GPU, dense, 10**12 operations a second; None where it has no such units.

    Attributes:
        float32: without tensor cores.
        tf32: of tensor cores, float32 rounded to ten bits.
        bf16: of tensor cores.
        float16: of tensor cores, summed in float32.
        memory_tbps: to and from memory, 10**12 bytes a second; None where the name leaves it open.
    """

    float32: float
    tf32: float | None
    bf16: float | None
    float16: float
    memory_tbps: float | None

    def peak(self, precision: str) -> float | None:
        """Peak of a training in a precision (32-true, bf16-mixed, 16-mixed)."""
        return {"32-true": self.float32, "bf16-mixed": self.bf16, "16-mixed": self.float16}[precision]

    def scoring_peak(self, precision: str) -> float:
        """Peak of stored scores (``precision.scores_in``) of networks trained in a precision."""
        return self.float32 if precision == "32-true" else self.tf32 or self.float32


def _sheet(float32: float, tf32: float | None, half: float, tbps: float | None) -> DataSheet:
    # What has TF32 has bf16, at the speed of float16.
    bf16 = None if tf32 is None else half
    return DataSheet(float32=float32, tf32=tf32, bf16=bf16, float16=half, memory_tbps=tbps)


#: By the sheets of each; of GeForce by the white papers of GA102 and AD102. The H100 NVL is one card, not the
#: pair that its first sheet told of.
SHEETS = {
    "Tesla V100-SXM2-16GB": _sheet(15.7, None, 125.0, 0.9),
    "Tesla V100-SXM2-32GB": _sheet(15.7, None, 125.0, 0.9),
    "Tesla V100-PCIE-16GB": _sheet(14.0, None, 112.0, 0.9),
    "Tesla V100-PCIE-32GB": _sheet(14.0, None, 112.0, 0.9),
    "Tesla T4": _sheet(8.1, None, 65.0, 0.32),
    "NVIDIA A100": _sheet(19.5, 156.0, 312.0, None),  # of whichever form: memory alone differs
    "NVIDIA A100-SXM4-40GB": _sheet(19.5, 156.0, 312.0, 1.555),
    "NVIDIA A100-SXM4-80GB": _sheet(19.5, 156.0, 312.0, 2.039),
    "NVIDIA A100-PCIE-40GB": _sheet(19.5, 156.0, 312.0, 1.555),
    "NVIDIA A100 80GB PCIe": _sheet(19.5, 156.0, 312.0, 1.935),
    "NVIDIA A10": _sheet(31.2, 62.5, 125.0, 0.6),
    "NVIDIA A30": _sheet(10.3, 82.0, 165.0, 0.933),
    "NVIDIA A40": _sheet(37.4, 74.8, 149.7, 0.696),
    "NVIDIA RTX A6000": _sheet(38.7, 77.4, 154.8, 0.768),
    "NVIDIA GeForce RTX 3090": _sheet(35.6, 35.6, 71.0, 0.936),
    "NVIDIA H100 80GB HBM3": _sheet(67.0, 494.5, 989.0, 3.35),  # SXM
    "NVIDIA H100 PCIe": _sheet(51.0, 378.0, 756.0, 2.0),
    "NVIDIA H100 NVL": _sheet(60.0, 417.5, 835.5, 3.9),
    "NVIDIA H200": _sheet(67.0, 494.5, 989.0, 4.8),  # SXM
    "NVIDIA H200 NVL": _sheet(60.0, 417.5, 835.5, 4.8),
    "NVIDIA L4": _sheet(30.3, 60.0, 121.0, 0.3),
    "NVIDIA L40": _sheet(90.5, 90.5, 181.0, 0.864),
    "NVIDIA L40S": _sheet(91.6, 183.0, 362.0, 0.864),
    "NVIDIA RTX 6000 Ada Generation": _sheet(91.1, 182.1, 364.2, 0.96),
    "NVIDIA GeForce RTX 4090": _sheet(82.6, 82.6, 165.2, 1.008),
}


def sheet_of(device: str) -> DataSheet | None:
    """The data sheet of a device, by its whole name; drivers of before 2021 left "NVIDIA" out."""
    return SHEETS.get(device) or SHEETS.get(f"NVIDIA {device}")


def peak_tflops(device: str, precision: str) -> float | None:
    """Peak of a device by its data sheet, 10**12 operations a second, where it is known."""
    sheet = sheet_of(device)
    return sheet.peak(precision) if sheet else None


def memory_tbps(device: str) -> float | None:
    """Memory speed of a device by its data sheet, 10**12 bytes a second, where it is known."""
    sheet = sheet_of(device)
    return sheet.memory_tbps if sheet else None


def why_no_peak(device: str, precision: str) -> str:
    """Why there is no peak of a device, in a few words; with what is known of others of nearly that name."""
    if sheet_of(device) is not None:
        return f"{device} computes nothing in the type of {precision}"
    alike = get_close_matches(device, SHEETS, n=4, cutoff=0.6)
    more = f"; known: {', '.join(alike)}" if alike else ""
    return f"the peaks of '{device}' are not known{more}"
