"""The plan of a download, the manifest of a study's data, and what to cite."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from chestct.download import download_plan as plan
from chestct.download.download_plan import write_download_plan
from chestct.download.manifest import write_citations, write_data_manifest
from chestct.records import write_recorded
from chestct.tables import write_table
from tests.unit.download.weights_samples import make_row

ROW = make_row(weights_id="tiny_kinetics", citation="Somebody, A Tiny Network, CVPR 2020")


def make_dataset(root: Path, num_bytes: list[int], **facts: object) -> Path:
    """Manifest and table ``series`` of scans in folders of three files; the first is there."""
    rows = pd.DataFrame({"num_bytes": num_bytes}).assign(dataset=root.name, num_instances=3, shard=0)
    for column, letter in (("patient_id", "p"), ("study_id", "s"), ("series_id", "r")):
        rows[column] = [f"{letter}{k}" for k in range(len(rows))]
    rows["path"] = rows["patient_id"] + "/" + rows["study_id"] + "/" + rows["series_id"]
    write_table(rows, root / "series.csv", "series")
    first = root / "p0/s0/r0"
    first.mkdir(parents=True)
    for name in "abc":
        (first / f"{name}.dcm").write_bytes(b"x")
    manifest = {
        "dataset": root.name,
        "num_series": len(rows),
        "num_instances": 3 * len(rows),
        "num_bytes": sum(num_bytes),
        "version": "v25",
        "source": "s3://a-bucket",
        "licence": "CC BY 3.0",
        "terms": "none",
        "citation": ["One et al., 2015", "Two et al., 2011"],
        "stand_in": False,
        "description": "Scans of a kind",
    }
    write_recorded(root / "manifest.json", json.dumps(manifest | facts))
    return root / "manifest.json"


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    known = make_dataset(tmp_path / "known", [2_000_000_000, 3_000_000_000])
    folder = str(tmp_path / "private/folder")
    return [known, make_dataset(tmp_path / "local", [0], source=folder, size_note="reported")]


def test_plan_counts_files_bytes_and_what_is_lacking(
    manifests: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_bytes", lambda folder: 4_000_000_000)
    target = tmp_path / "plan.txt"
    weights = [(ROW, tmp_path / "tiny.weights"), (ROW | {"size_bytes": "100000000"}, tmp_path / "b.weights")]
    write_download_plan(manifests[:1], weights, size_px=256, reserve_bytes=1_000_000_000, path=target)
    lines = target.read_text().splitlines()
    assert lines[1].split()[-5:] == ["2", "6", "5.00", "3.00", "0.00"], "the first scan is there already"
    assert lines[2].split()[-4:] == ["1", "unknown", "unknown", "0.00"]
    assert lines[3].split()[-4:] == ["1", "0.10", "0.10", "0.00"]
    assert "Disk needed: 4.1 GB" in lines[5] and "free: 4.0 GB. NOT ENOUGH." in lines[5]
    assert lines[6] == "Sizes not known before the download: weights tiny_kinetics."
    monkeypatch.setattr(plan, "free_bytes", lambda folder: 5_000_000_000)
    write_download_plan(manifests[:1], [], size_px=256, reserve_bytes=0, path=target)
    assert target.read_text().rstrip().endswith("Enough.")


def test_plan_has_nothing_to_fetch_for_a_folder_and_shows_what_a_source_notes(
    manifests: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "plan.txt"
    write_download_plan(manifests[1:], [], size_px=256, reserve_bytes=0, path=target)
    lines = target.read_text().splitlines()
    assert lines[1].split()[-3:-1] == ["0.00", "0.00"]
    assert "local: reported" in lines


def test_data_manifest_names_the_files_on_disk(manifests: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "tiny.weights"
    file.write_bytes(b"weights")
    write_data_manifest("mine", manifests, [(ROW, file)], tmp_path / "data.json")
    facts = json.loads((tmp_path / "data.json").read_text())
    assert [dataset["dataset"] for dataset in facts["datasets"]] == ["known", "local"]
    (row,) = facts["weights"]
    assert row["size_bytes"] == 7
    assert row["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert row["sha256_known_beforehand"] is False
    assert "package" not in row, "what is empty says nothing"


def test_citations_hold_every_source_and_no_folder(manifests: list[Path], tmp_path: Path) -> None:
    write_citations(manifests, [ROW], tmp_path / "citations.md")
    text = (tmp_path / "citations.md").read_text()
    for words in ("MIDL 2023", "- One et al., 2015", "- Two et al., 2011", "s3://a-bucket", "CVPR 2020"):
        assert words in text
    assert "private" not in text and "a local copy" in text
