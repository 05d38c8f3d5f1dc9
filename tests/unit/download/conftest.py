"""Fixtures of the download step's tests: a small phantom dataset of each kind, and servers on loopback."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chestct.download import datasets as sources
from chestct.download.labels import lidc_labels
from chestct.download.sources import imaging_data_commons
from chestct.download.transfer import s3
from tests.unit.download.file_server import SETTINGS, BucketServer, FileServer, running
from tests.unit.download.idc_bucket import cached_client, contents, index_row, index_rows
from tests.unit.download.rspect_samples import copy_few, zip_folder
from tests.unit.download.weights_samples import CONTENT
from tests.unit.download.zip_samples import plain

NUM_PATIENTS = 12


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
    paths = (root / name for name in ("labels.csv", "slice_labels.parquet", "findings.csv"))
    sources.extract_labels(entry, root, root / "series.csv", shards, *paths)


@pytest.fixture(scope="session")
def run_steps() -> Callable[..., None]:
    """The rules of the download step: run_steps(entry, root, num_shards=..., shard_size=5)."""
    return _run_steps


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


@pytest.fixture(scope="module")
def small_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    others = [index_row(0, Modality="DX", SeriesInstanceUID="1.3.0"), index_row(1, collection_id="nlst")]
    return index_rows(
        [index_row(n) for n in range(3)] + others, tmp_path_factory.mktemp("index") / "i.parquet"
    )


@pytest.fixture(scope="module")
def served() -> Iterator[BucketServer]:
    with running(BucketServer({})) as server:
        yield server


@pytest.fixture
def bucket(served: BucketServer, small_index: Path, monkeypatch: pytest.MonkeyPatch) -> BucketServer:
    """A bucket with the three series of the index."""
    monkeypatch.setattr(imaging_data_commons, "index_path", lambda: small_index)
    monkeypatch.setattr(s3, "make_client", cached_client)
    monkeypatch.setattr(lidc_labels, "prepare", lambda *_: None)  # nothing from a package index here
    served.objects = {key: data for n in range(3) for key, data in contents(n).items()}
    served.in_parts = set()
    served.be_kind()
    return served


@pytest.fixture
def zip_server() -> Iterator[FileServer]:
    """A small zip archive on a server."""
    with running(FileServer(plain())) as server:
        yield server


@pytest.fixture(scope="session")
def small_rspect(pe_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans of six slices each, with their train.csv."""
    return copy_few(pe_root, tmp_path_factory.mktemp("small") / "rspect")


@pytest.fixture
def rspect_server(small_rspect: Path) -> Iterator[FileServer]:
    """The archive of these scans on a server."""
    with running(FileServer(zip_folder(small_rspect, "rsna/"))) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of its own, of the size that the test's parameter says."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def weights_server() -> Iterator[FileServer]:
    """A small weight file on a server."""
    with running(FileServer(CONTENT)) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where the weight file goes."""
    return tmp_path / "weights" / "tiny.weights"
