"""Machine code of the project's Triton kernels, compiled for GPUs that need not be here."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

#: An A100, an H100 or H200, and a GPU of the Blackwell generation for workstations.
CAPABILITIES = (80, 90, 120)
#: Channels, lengths, window and stride: of X3D, with rows that no 16 bytes divide.
MAPS = {
    "stride 1": (54, (32, 56, 56), (3, 3, 3), (1, 1, 1)),
    "stride 2": (54, (32, 112, 112), (3, 3, 3), (1, 2, 2)),
}


@pytest.fixture
def machine_code(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.syspath_prepend(root / "benchmarks" / "gpu")
    return importlib.import_module("machine_code")


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("name", MAPS)
def test_depthwise_kernels_fit_into_registers_and_read_each_value_once(
    machine_code: ModuleType, name: str, capability: int
) -> None:
    launches = machine_code.launches_of(16, *MAPS[name])
    assert len(launches) == 3
    for launch in launches:
        code = machine_code.compile_for(launch, capability)
        assert code.spilled == 0 and code.registers <= 168  # 12 warps share 65,536
        kernel, at = launch.kernel.__name__, launch.values
        assert code.instructions["product"] > 0.3 * code.instructions.total(), kernel
        planes, rows, columns = (at[key] for key in ("PLANES", "ROWS", "COLUMNS"))
        if kernel == "forward_kernel":
            values = (planes + 2) * ((rows - 1) * at["SH"] + 3) * ((columns - 1) * at["SW"] + 3)
            assert code.instructions["read"] == values + 27  # and the taps
