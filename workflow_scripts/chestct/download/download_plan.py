"""What a study will download and what room it takes, before anything is fetched."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.download.datasets import bytes_lacking
from chestct.download.manifest import read_manifests
from chestct.download.transfer.disk import free_bytes
from chestct.files import write_text
from chestct.stored_size import stored_bytes
from chestct.tables import read_table

_COLUMNS = ["what", "scans", "files", "GB", "GB to fetch", "GB of volumes"]


def _gigabytes(num_bytes: float | None) -> str:
    return "unknown" if num_bytes is None else f"{num_bytes / 1e9:.2f}"


def _dataset_row(facts: Mapping[str, Any], root: Path, size_px: int) -> dict[str, Any]:
    series = read_table(root / "series.csv", "series")
    volumes = stored_bytes(facts["num_instances"], size_px)
    return {
        "what": f"scans of {facts['dataset']}",
        "scans": len(series),
        "files": facts["num_instances"] or "unknown",
        "bytes": facts["num_bytes"],
        "fetch": bytes_lacking(root, series),
        "volumes": volumes if facts["num_instances"] else None,
    }


def _weights_row(row: Mapping[str, str], path: Path) -> dict[str, Any]:
    size = int(row["size_bytes"]) if row.get("size_bytes") else None
    return {
        "what": f"weights {row['weights_id']}",
        "scans": "",
        "files": 1,
        "bytes": size,
        "fetch": 0 if path.exists() else size,
        "volumes": 0,
    }


def write_download_plan(
    manifests: Sequence[Path],
    weights: Sequence[tuple[Mapping[str, str], Path]],
    *,
    size_px: int,
    reserve_bytes: int,
    path: Path,
) -> None:
    """Write the plan as a text table: files, bytes, bytes still to fetch, room for volumes, free disk.

    Args:
        manifests: manifest.json of every dataset, beside its table ``series``.
        weights: row of the weights table and file of every published weight file that the study uses.
        size_px: rows and columns of the volumes.
        reserve_bytes: space that stays free.
        path: file to write.

    Raises:
        InputError: a table is missing or broken.
    """
    facts = read_manifests(manifests)
    rows = [_dataset_row(f, p.parent, size_px) for f, p in zip(facts, manifests, strict=True)]
    rows += [_weights_row(row, file) for row, file in weights]
    table = pd.DataFrame(
        [
            (r["what"], r["scans"], r["files"], *(_gigabytes(r[k]) for k in ("bytes", "fetch", "volumes")))
            for r in rows
        ],
        columns=_COLUMNS,
    )
    needed = sum(r[key] or 0 for r in rows for key in ("fetch", "volumes")) + reserve_bytes
    free = free_bytes(manifests[0].parent)
    unknown = [r["what"] for r in rows if r["bytes"] is None]
    lines = [
        table.to_string(index=False),
        "",
        f"Disk needed: {needed / 1e9:.1f} GB ({reserve_bytes / 1e9:.1f} GB of them in reserve); "
        f"free: {free / 1e9:.1f} GB. {'Enough.' if free >= needed else 'NOT ENOUGH.'}",
    ]
    if unknown:
        lines.append(f"Sizes not known before the download: {', '.join(unknown)}.")
    lines += [f"{f['dataset']}: {f['size_note']}" for f in facts if f.get("size_note")]
    write_text(path, "\n".join(lines) + "\n")
