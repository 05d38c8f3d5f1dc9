"""Fixtures of the download step's tests: one small phantom dataset of each kind, written once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chestct.download import sources
from chestct.download.transfer import TransferSettings

NUM_PATIENTS = 12
#: Short waits between tries.
SETTINGS = TransferSettings(first_wait_s=0.01, max_wait_s=0.05, reserve_bytes=0)


def _write(entry: dict, root: Path) -> Path:
    _run_steps(entry, root, num_shards=3)
    return root


def _run_steps(entry: dict, root: Path, *, num_shards: int, shard_size: int = 5) -> None:
    """What the rules of the download step do for a dataset, in their order."""
    sources.list_dataset(
        entry,
        root,
        shard_size,
        SETTINGS,
        series_path=root / "series.csv",
        left_out_path=root / "left_out.csv",
        manifest_path=root / "manifest.json",
    )
    shards = [root / f"shards/shard-{shard}.csv" for shard in range(num_shards)]
    for shard, path in enumerate(shards):
        sources.obtain_shard(entry, root, root / "series.csv", shard, SETTINGS, path)
    sources.extract_labels(
        entry, root, root / "series.csv", shards, root / "labels.csv", root / "slice_labels.parquet"
    )


@pytest.fixture(scope="session")
def run_steps() -> Callable[..., None]:
    """The rules of the download step: run_steps(entry, root, num_shards=..., shard_size=5)."""
    return _run_steps


@pytest.fixture(scope="session")
def settings() -> TransferSettings:
    """Transfer settings with short waits between tries."""
    return SETTINGS


@pytest.fixture(scope="session")
def pe_entry() -> dict:
    """Configuration entry of a RSPECT-like phantom dataset."""
    return {"name": "pe", "source": "phantom_rspect", "num_patients": NUM_PATIENTS, "seed": 3}


@pytest.fixture(scope="session")
def nodule_entry() -> dict:
    """Configuration entry of a LIDC-like phantom dataset."""
    return {"name": "nodules", "source": "phantom_lidc", "num_patients": NUM_PATIENTS, "seed": 4}


@pytest.fixture(scope="session")
def pe_root(pe_entry: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The RSPECT-like dataset on disk with its tables; tests only read it."""
    return _write(pe_entry, tmp_path_factory.mktemp("pe"))


@pytest.fixture(scope="session")
def nodule_root(nodule_entry: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LIDC-like dataset on disk with its tables; tests only read it."""
    return _write(nodule_entry, tmp_path_factory.mktemp("nodules"))
