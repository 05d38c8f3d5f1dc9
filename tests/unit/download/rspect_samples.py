"""RSPECT in small: a few scans of few slices, as a folder and as a zip archive."""

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from tests.unit.download.file_server import FileServer
from tests.unit.download.zip_samples import Pipe


def zip_folder(
    folder: Path, prefix: str = "", method: int = zipfile.ZIP_DEFLATED, *, streamed: bool = False
) -> bytes:
    """A zip of a folder in RSPECT's layout, as RSNA's archive is one; ``streamed`` with data descriptors."""
    sink = io.BytesIO()
    out: Any = Pipe(sink) if streamed else sink
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = b"RSPECT, as the tests have it"
        archive.write(folder / "train.csv", f"{prefix}train.csv")
        for path in sorted((folder / "train").rglob("*")):
            archive.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
        archive.writestr(f"{prefix}test/a/b/c.dcm", b"not for training")
    return sink.getvalue()


def archive_entry(server: FileServer, **keys: object) -> dict:
    """The entry of a dataset whose archive a server has, at a signed address."""
    url = f"{server.url}/r.zip?X-Amz-Signature=0a1b2c"
    return {"name": "r", "source": "rspect", "from": "archive", "archive": url, **keys}


def copy_few(source: Path, folder: Path, num_scans: int = 3) -> Path:
    """Scans of a folder in RSPECT's layout, every fourth slice of 24, with their train.csv."""
    table = pd.read_csv(source / "train.csv", dtype=str)
    studies = sorted(table["StudyInstanceUID"].unique())[:num_scans]
    table = table[table["StudyInstanceUID"].isin(studies)]
    table = table[table.groupby("StudyInstanceUID").cumcount() % 4 == 0]
    for row in table.itertuples():
        name = f"train/{row.StudyInstanceUID}/{row.SeriesInstanceUID}/{row.SOPInstanceUID}.dcm"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, folder / name)
    table.to_csv(folder / "train.csv", index=False)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    """The series' files below a folder by their path; what is hidden is not theirs."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / "train").rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
