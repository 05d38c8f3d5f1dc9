"""A slice's file is looked at a few times only: through a network every look at a file may cost 50 ms."""

import builtins
import os
from collections import Counter
from pathlib import Path

import pytest
from dicom_files import phantom, write_series
from shard_jobs import run, series_table

from chestct import obtained_files
from chestct.obtained_files import content_digest, state_of
from chestct.tables import read_table
from chestct.volumes import convert_shard

#: The state of a file, which tells whether it changed; the digest of what was obtained; its reading.
MOST_A_SLICE = 4


@pytest.fixture
def asked(monkeypatch) -> Counter[str]:
    """How often Python asks the file system about every path, and opens it."""
    counts: Counter[str] = Counter()
    for module, name in ((os, "stat"), (os, "lstat"), (os, "open"), (builtins, "open")):
        original = getattr(module, name)

        def call(path, *arguments, _original=original, **options):
            if isinstance(path, str | Path):
                counts[str(path)] += 1
            return _original(path, *arguments, **options)

        monkeypatch.setattr(module, name, call)
    return counts


def test_a_slice_costs_a_few_metadata_calls_and_a_job_no_more_for_more_slices(tmp_path, asked):
    others = []
    for number in (6, 18):
        folder = tmp_path / f"scan-{number}"
        write_series(folder, phantom((number, 16, 16), seed=1))
        asked.clear()
        run(series_table(folder.name), tmp_path, tmp_path / f"out-{number}")
        slices = {path: count for path, count in asked.items() if path.startswith(f"{folder}/")}
        assert len(slices) == number
        assert max(slices.values()) <= MOST_A_SLICE, slices
        others.append(asked.total() - sum(slices.values()))
    assert others[1] <= others[0] + 5, "what a job asks for beside its slices"


def test_a_job_asks_once_how_the_files_of_a_scan_are(tmp_path, monkeypatch):
    folder = tmp_path / "scan"
    write_series(folder, phantom((6, 16, 16), seed=1))
    digest, state = content_digest(folder), state_of(folder).exact
    asked = []
    monkeypatch.setattr(convert_shard, "state_of", lambda path: asked.append(path) or state_of(path))
    monkeypatch.setattr(obtained_files, "state_of", None)
    monkeypatch.setattr(obtained_files, "content_digest", None)
    out = run(series_table("scan"), tmp_path, tmp_path / "out", sha256=[digest], states={"r-scan": state})
    assert asked == [folder]
    assert len(read_table(out["index_path"], "index")) == 1
