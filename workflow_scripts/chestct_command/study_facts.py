"""What a finished study found, in a form that another run of it can be compared with.

What does not depend on rounding (which scans, voxels, splits, windows, runs) is told exactly, as numbers of
rows and digests of their content. AUROCs depend on rounding and on the seed: they are kept by seed.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.claimed_models import claimed_models, mean_name
from chestct.dataset_entries import trained_datasets
from chestct.errors import DamageError
from chestct.evidence.publish import FinishedStudy
from chestct.records import read_recorded
from chestct.status.events import read_events
from chestct.tables import read_table
from chestct.volume_store import list_scans, read_volume
from chestct.window_forms import TABLES as WINDOW_TABLES

#: What tells an AUROC from the others of a study.
ARM = ["dataset", "model", "init", "percent"]
NOT_RECORDED = "not recorded"
#: Columns of tables whose other columns name folders of the study.
_VOXELS = [
    "study_id",
    "num_slices",
    "rows",
    "columns",
    "spacing_z_mm",
    "spacing_y_mm",
    "spacing_x_mm",
    "sha256",
]
_LEDGER = ["patient_id", "study_id", "series_id", "status", "reason"]
#: Of the runs, what holds whatever training found.
_RUNS = [*ARM, "seed", "fold", "num_scans", "num_positive", "budget_windows", "num_parameters"]
#: Verdicts that no number can change.
_SURE = ("not_decidable", "not_tested")
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What a finished study found.

    Attributes:
        name: of the study.
        configuration: resolved.
        exact: what does not depend on rounding, in words, by name.
        auroc: a row an AUROC and seed: ``ARM``, seed, value. Means over the models that the claims are about
            are among them.
        spread: of each AUROC, averaged over seeds: ``ARM``, low and high over patients alone.
        seeds: of the study.
        machine: processor, device, python and torch, as far as the study noted them.
        notes: what could not be looked at.
    """

    name: str
    configuration: Mapping[str, Any]
    exact: Mapping[str, str]
    auroc: pd.DataFrame
    spread: pd.DataFrame
    seeds: Sequence[int]
    machine: Mapping[str, str]
    notes: Sequence[str]


def read_study_facts(study: FinishedStudy) -> StudyFacts:
    """What a study found; every file is compared with its record, every voxel with its digest.

    Raises:
        InputError: the study is not finished, or is of another configuration.
        DamageError: a file of it is not what was written.
    """
    study.check_files()
    tables = {name: read_table(study.table(name), name) for name in ("runs", "means", "metrics", "claims")}
    study.check_runs(tables["runs"], tables["means"])
    exact, notes = _exact(study, tables)
    return StudyFacts(
        name=study.name,
        configuration=study.configuration,
        exact=exact,
        auroc=_auroc(tables["metrics"]),
        spread=_spread(tables["means"]),
        seeds=study.configuration["seeds"],
        machine=_machine(study.results / "events.jsonl", tables["runs"]),
        notes=notes,
    )


def _exact(study: FinishedStudy, tables: Mapping[str, pd.DataFrame]) -> tuple[dict[str, str], list[str]]:
    manifest = json.loads(read_recorded(study.results / "download" / "data_manifest.json"))
    found: dict[str, str] = {}
    notes: list[str] = []
    for facts in manifest.get("datasets", ()):
        found[f"{facts['dataset']}: data"] = str(facts["version"])
    for entry in study.configuration["datasets"]:
        found |= _of_dataset(study, entry["name"])
        notes += _look_at_voxels(study, entry["name"])
    for facts in manifest["weights"]:
        found[f"published weights {facts['weights_id']}"] = f"SHA-256 {facts['sha256']}"
    found["training runs"] = digest_rows(tables["runs"][_RUNS])
    for row in tables["claims"].to_dict("records"):
        if row["verdict"] in _SURE:
            found[f"verdict on {row['claim']}"] = row["verdict"]
    return found, notes


def _of_dataset(study: FinishedStudy, name: str) -> dict[str, str]:
    volumes, subsets = study.results / "volumes" / name, study.results / "subsets" / name
    found = {
        "conversion": digest_rows(read_table(volumes / "ledger.csv", "ledger")[_LEDGER]),
        "voxels": digest_rows(read_table(volumes / "index.csv", "index")[_VOXELS]),
        "cohort": digest_rows(read_table(subsets / "cohort.csv", "cohort")),
    }
    if name in trained_datasets(study.configuration["datasets"]):
        found["splits"] = digest_rows(read_table(subsets / "splits.csv", "splits"))
        for table in dict.fromkeys(WINDOW_TABLES.values()):
            if (path := subsets / f"{table}.parquet").is_file():
                found[table] = digest_rows(read_table(path, "windows"))
        for percent in study.configuration["percents"]:
            for seed in study.configuration["seeds"]:
                path = subsets / f"percent-{percent}" / f"seed-{seed}" / "subset.csv"
                found[f"{percent} % of patients, seed {seed}"] = digest_rows(read_table(path, "subset"))
    return {f"{name}: {what}": words for what, words in found.items()}


def _look_at_voxels(study: FinishedStudy, name: str) -> list[str]:
    """Compare the voxels of all scans with the index; a note where shards are gone, which may be deleted."""
    folder = study.results / "volumes" / name
    index = read_table(folder / "index.csv", "index").set_index("study_id")["sha256"]
    shards = sorted(folder.glob("shard-*.h5"))
    if not shards:
        return [f"{name}: the volumes are gone; compared are the digests that the index has of them"]
    for shard in shards:
        for scan in list_scans(shard):
            if scan in index and read_volume(shard, scan).sha256 != index[scan]:
                raise DamageError(
                    "the voxels of a scan are not those that the index names",
                    where=f"{shard}, scan {scan}",
                    expected=f"SHA-256 {index[scan]}",
                    remedy=f"let them be converted again: snakemake --cores all --forcerun {shard}",
                )
    return []


def digest_rows(table: pd.DataFrame) -> str:
    """Number of rows and SHA-256 of the content of a table, whatever the order of its rows.

    >>> digest_rows(pd.DataFrame({"a": [1, 2]})) == digest_rows(pd.DataFrame({"a": [2, 1]}))
    True
    """
    columns = {
        str(name): column.round(_DIGITS) if pd.api.types.is_float_dtype(column) else column
        for name, column in table.items()
    }
    heading, *rows = table.assign(**columns).to_csv(index=False, lineterminator="\n").splitlines()
    text = "\n".join([heading, *sorted(rows)])
    return f"{len(table)} rows, SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"


def _auroc(metrics: pd.DataFrame) -> pd.DataFrame:
    """AUROC by arm and seed, with the means over models that each seed gives."""
    found = metrics.loc[metrics["metric"] == "auroc", [*ARM, "seed", "value"]]
    models = claimed_models(found["model"].unique())
    means = []
    for key, group in found[found["model"].isin(models)].groupby(
        ["dataset", "init", "percent", "seed"], sort=False
    ):
        if len(group) > 1:
            dataset, init, percent, seed = key
            own = (dataset, mean_name(group["model"]), init, percent, seed, group["value"].mean())
            means.append(own)
    return pd.concat([found, pd.DataFrame(means, columns=found.columns)], ignore_index=True)


def _spread(means: pd.DataFrame) -> pd.DataFrame:
    rows = means.loc[means["metric"] == "auroc", [*ARM, "patients_low", "patients_high"]]
    return rows.rename(columns={"patients_low": "low", "patients_high": "high"}).reset_index(drop=True)


def _machine(events: Path, runs: pd.DataFrame) -> dict[str, str]:
    begun = (event for event in read_events(events) if event["event"] == "begun")
    processors = {str(event.get("processor", NOT_RECORDED)) for event in begun}
    facts = {"processor": "; ".join(sorted(processors)) or NOT_RECORDED}
    return facts | {
        name: "; ".join(sorted(runs[name].dropna().astype(str).unique()))
        for name in ("device", "python", "torch")
    }
