"""Fixtures of the download step's tests: one small phantom dataset of each kind, written once."""

from pathlib import Path

import pytest

from chestct.download import sources

NUM_PATIENTS = 12


def _write(entry: dict, root: Path) -> Path:
    sources.list_dataset(entry, root, 5, root / "series.csv", root / "manifest.json")
    for shard in range(3):
        sources.obtain_shard(entry, root, root / "series.csv", shard, root / f"shards/shard-{shard}.csv")
    sources.extract_labels(
        entry, root, root / "series.csv", root / "labels.csv", root / "slice_labels.parquet"
    )
    return root


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
