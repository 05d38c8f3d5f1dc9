"""Peaks by the whole name of a device: forms of one GPU differ, and what is not known is said."""

import subprocess
import sys

import pytest

from chestct.training.measure.data_sheets import SHEETS, memory_tbps, peak_tflops, sheet_of, why_no_peak


@pytest.mark.parametrize(
    ("device", "bf16", "tbps"),
    [
        ("NVIDIA H100 80GB HBM3", 989, 3.35),
        ("NVIDIA H100 PCIe", 756, 2.0),
        ("NVIDIA H100 NVL", 835.5, 3.9),
        ("NVIDIA H200", 989, 4.8),
        ("NVIDIA H200 NVL", 835.5, 4.8),
        ("NVIDIA A100-SXM4-80GB", 312, 2.039),
        ("A100-SXM4-40GB", 312, 1.555),  # by a driver of before 2021
        ("NVIDIA L40S", 362, 0.864),
        ("Tesla V100-SXM2-16GB", None, 0.9),
    ],
)
def test_forms_of_a_gpu_have_their_own_peaks(device: str, bf16: float | None, tbps: float) -> None:
    assert peak_tflops(device, "bf16-mixed") == bf16
    assert memory_tbps(device) == tbps


@pytest.mark.parametrize(
    "device", ["NVIDIA H100", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA A10G", "NVIDIA GeForce RTX 4090 D"]
)
def test_nothing_is_guessed_of_a_part_or_another_form(device: str) -> None:
    assert sheet_of(device) is None and peak_tflops(device, "bf16-mixed") is None
    assert f"the peaks of '{device}' are not known; known: NVIDIA" in why_no_peak(device, "bf16-mixed")


def test_what_a_gpu_does_not_compute_in_is_said() -> None:
    assert "computes nothing in the type of bf16-mixed" in why_no_peak("Tesla T4", "bf16-mixed")
    assert why_no_peak("Some other accelerator, 1 thread(s)", "32-true").endswith("are not known")


def test_lower_precision_is_not_slower() -> None:
    for name, sheet in SHEETS.items():
        assert sheet.float32 <= (sheet.tf32 or sheet.float32) <= sheet.float16, name
        assert sheet.bf16 in (None, sheet.float16) and sheet.scoring_peak("32-true") == sheet.float32


def test_the_plan_reads_them_without_torch() -> None:
    program = "import sys, chestct.training.measure.prediction_speed; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
