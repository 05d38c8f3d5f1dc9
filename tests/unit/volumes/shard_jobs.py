"""A conversion job of a few small scans, and what puts its shards together."""

import pandas as pd

from chestct.volumes.combine_shards import combine_volumes
from chestct.volumes.convert_shard import convert_shard

UID = "1.2.826.0.1.3680043.8.498.7.1"
#: Of an identical image with an identifier of its own.
COPY_UID = "1.2.826.0.1.3680043.8.498.9"


def series_table(*paths, shard=0):
    return pd.DataFrame(
        {
            "dataset": "d",
            "patient_id": [f"p-{name}" for name in paths],
            "study_id": [f"s-{name}" for name in paths],
            "series_id": [f"r-{name}" for name in paths],
            "path": list(paths),
            "num_instances": 0,
            "num_bytes": 0,
            "shard": shard,
        }
    )


def outputs(folder, shard=0):
    return {
        "store_path": folder / f"shard-{shard}.h5",
        "index_path": folder / f"shard-{shard}.index.csv",
        "slices_path": folder / f"shard-{shard}.slices.parquet",
        "ledger_path": folder / f"shard-{shard}.ledger.csv",
        "acquisition_path": folder / f"shard-{shard}.acquisition.csv",
    }


def obtained_table(series, **failures):
    """Table ``shard``: all were obtained but the studies named, with their reasons."""
    reasons = series["study_id"].map(failures).astype("string")
    return pd.DataFrame(
        {
            "series_id": series["series_id"],
            "status": reasons.isna().map({True: "obtained", False: "failed"}),
            "reason": reasons,
            "detail": reasons.where(reasons.isna(), "HTTP 404"),
        }
    )


def run(series, root, folder, shard=0, size_px=8, code="c", sha256=None, states=None, **failures):
    out = outputs(folder, shard)
    obtained = obtained_table(series, **failures).assign(sha256=sha256)
    more = {"dataset": "d", "size_px": size_px, "code_digest": code}
    convert_shard(series, obtained=obtained, states=states, root=root, **more, **out)
    return out


def combine(shards, folder, max_refused_percent, **settings):
    out = {f"{name}_path": folder / name for name in ("index", "slices", "ledger", "acquisition")}
    out = {key: path.with_suffix(".parquet" if "slices" in key else ".csv") for key, path in out.items()}
    combine_volumes(
        dataset="d",
        index_paths=[shard["index_path"] for shard in shards],
        slices_paths=[shard["slices_path"] for shard in shards],
        ledger_paths=[shard["ledger_path"] for shard in shards],
        acquisition_paths=[shard["acquisition_path"] for shard in shards],
        max_refused_percent=max_refused_percent,
        **settings,
        **out,
    )
    return out
