"""Whether the installed PyTorch works with a GPU and its driver is said before a job computes anything."""

import sys

import pytest
import torch

from chestct.errors import InputError
from chestct.training.machine.device import check_hardware
from chestct.training.machine.gpu_support import has_kernels

#: Of wheels for CUDA 13 and for CUDA 12.6.
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CUDA_12_6 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


@pytest.mark.parametrize(
    ("capability", "architectures", "expected"),
    [
        ((9, 0), CUDA_13, True),
        ((8, 9), CUDA_13, True),  # code for 8.6 runs on it
        ((7, 0), CUDA_13, False),
        ((6, 1), CUDA_13, False),
        ((13, 0), CUDA_13, True),  # from the intermediate form
        ((11, 0), CUDA_13, False),
        ((7, 0), CUDA_12_6, True),
        ((6, 1), CUDA_12_6, True),
        ((10, 0), CUDA_12_6, False),
        ((8, 0), ["sm_86"], False),  # older than the code
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100a"], False),
        ((9, 0), ["gfx90a"], False),
        ((9, 0), [], False),
    ],
)
def test_which_gpus_a_wheel_has_kernels_for(capability, architectures, expected):
    assert has_kernels(capability, architectures) is expected


@pytest.fixture
def machine(monkeypatch):
    """A machine that claims to have GPUs of a capability: ``machine(capability, number=1)``."""

    def claim(capability, number=1):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla V100")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CUDA_13)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: capability >= (8, 0))

    return claim


def test_a_gpu_without_kernels_is_refused_with_what_to_install(machine):
    machine((7, 0), number=2)
    with pytest.raises(InputError, match=r"Tesla V100 has compute capability 7\.0.*no kernels") as error:
        check_hardware(gpus=2, precision="32-true")
    assert "sm_75" in str(error.value) and "docs/full_study.md" in str(error.value)
    check_hardware(gpus=0, precision="32-true")


def test_a_gpu_with_kernels_passes_and_what_it_cannot_is_said(machine):
    machine((9, 0))
    check_hardware(gpus=1, precision="bf16-mixed")
    machine((7, 5))
    check_hardware(gpus=1, precision="16-mixed")
    with pytest.raises(InputError, match="does not compute in bf16"):
        check_hardware(gpus=1, precision="bf16-mixed")


@pytest.mark.parametrize(
    ("cuda", "said", "words"),
    [
        (
            "13.0",
            "The NVIDIA driver on your system is too old (found version 12040). Please update your driver",
            r"driver is for CUDA 12\.4, and PyTorch .* needs one for CUDA 13\.0, from 580\.65 on",
        ),
        (
            "13.0",
            "Found no NVIDIA driver on your system. Please check",
            "0: Found no NVIDIA driver on your system",
        ),
        (None, "never asked", r"is built without CUDA"),
    ],
)
def test_why_there_is_no_gpu(machine, monkeypatch, cuda, said, words):
    def init():
        raise RuntimeError(said)

    machine((9, 0), number=0)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(InputError, match=words) as error:
        check_hardware(gpus=1, precision="32-true")
    assert "set training.gpus to 0" in str(error.value)


def test_a_mac_is_told_to_train_on_its_cpu(machine, monkeypatch):
    machine((9, 0), number=0)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    check_hardware(gpus=0, precision="32-true")
    with pytest.raises(InputError, match=r"this is a Mac, whose own GPU \(MPS\) is not used") as error:
        check_hardware(gpus=1, precision="32-true")
    assert "set training.gpus to 0" in str(error.value) and "driver" not in str(error.value)
