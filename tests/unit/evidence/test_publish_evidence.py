"""What a finished study publishes, and that an unfinished one publishes nothing."""

import errno
import json
import os
import shutil
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from report_page import configuration_of, draw_figures, report_of
from synthetic_study import make_study

from chestct.errors import DamageError, InputError
from chestct.evidence.how_it_ran import job_times, wall_seconds
from chestct.evidence.publish import COPIED, FinishedStudy, publish, replaced_folder
from chestct.figures.claim_sentences import read_claims
from chestct.figures.publication_tables import write_tables
from chestct.figures.study_tables import read_study
from chestct.files import digest_object, sha256_file
from chestct.records import record, write_recorded
from chestct.tables import read_table, write_table
from chestct_command.crate import write_crate
from chestct_command.study_facts import read_study_facts

INITS = ["scratch", "scratch_long", "video", "imagenet"]
EVENTS = [
    {"event": "begun", "time": 0, "planned": {}, "total": 3},
    {"event": "started", "time": 10, "job": 1, "rule": "a"},
    {"event": "started", "time": 20, "job": 2, "rule": "b"},
    {"event": "finished", "time": 40, "job": 1},
    {"event": "finished", "time": 50, "job": 2},
    {"event": "started", "time": 60, "job": 3, "rule": "b"},  # killed: it never ended
    {"event": "begun", "time": 1000, "planned": {}, "total": 1, "processor": "AMD EPYC, avx2"},
    {"event": "started", "time": 1001, "job": 1, "rule": "b"},
    {"event": "finished", "time": 1008, "job": 1},
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study of three models, two percentages and two seeds."""
    folder = tmp_path_factory.mktemp("finished")
    files = make_study("longer", folder)
    configuration = configuration_of(files) | {
        "models": [{"name": name} for name in ("slow_narrow", "penet_narrow", "efficientnet_lite0")],
        "inits": INITS,
        "percents": [50, 100],
        "seeds": [0, 1],
    }
    write_tables(read_study(**files.inputs), folder / "figures")
    draw_figures(folder / "figures")
    report_of(files, folder / "figures", folder / "report.html", configuration=configuration)
    lines = [json.dumps(event) for event in EVENTS]
    (folder / "events.jsonl").write_text("\n".join([*lines[:3], '{"event": "st', *lines[3:]]) + "\n")
    for name, seconds in (("finetune/lidc/slow/0.tsv", 90.0), ("finetune/lidc/slow/1.tsv", 110.0)):
        path = folder / "benchmarks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"s": [seconds], "cpu_time": [seconds - 10], "io_in": ["-"]}).to_csv(
            path, sep="\t", index=False
        )
    return FinishedStudy(configuration=configuration, results=folder, data=folder / "data")


@pytest.fixture
def copy(finished, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(finished.results, tmp_path / "results", copy_function=shutil.copy2)
    return FinishedStudy(
        configuration=finished.configuration, results=tmp_path / "results", data=tmp_path / "results" / "data"
    )


def test_a_finished_study_publishes_tables_figures_verdicts_and_how_it_ran(finished, tmp_path):
    written = publish(finished, tmp_path / "evidence", 'make study STUDY="made_up"')
    names = {path.name for path in written}
    assert names == {path.name for path in (tmp_path / "evidence").iterdir()}
    assert {*COPIED, "auroc_by_percent.png", "forest.png", "README.md", "evidence.json"} <= names
    facts = json.loads((tmp_path / "evidence" / "evidence.json").read_text())
    assert facts["configuration"] == digest_object(finished.configuration)
    assert facts["command"] == 'make study STUDY="made_up"' and facts["machine"]["cores"]
    table = pd.read_csv(tmp_path / "evidence" / "contrasts_by_model.csv")
    assert set(table["Model"]) == {"Slow (narrow)", "PENet (narrow)"}
    assert facts["wall_seconds"] == 47 and facts["cpu_seconds"] == 180
    assert facts["weights"]["i3d_kinetics400"].startswith("af5c50f0df57")
    for name, digest in facts["sha256"].items():
        assert sha256_file(tmp_path / "evidence" / name) == digest
    assert (tmp_path / "evidence" / "results.csv").read_bytes() == (
        finished.results / "figures" / "results.csv"
    ).read_bytes()


def test_the_page_states_the_verdicts_of_the_tables_and_hides_folders(finished, tmp_path):
    publish(finished, tmp_path, "make study")
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    for claim in read_claims(finished.read()):
        assert (claim.sentence in page) == claim.tested
    assert "Not tested here: claim 3." in page
    assert "Stand-in data" in page and "![AUROC against" in page
    assert "/somewhere/private" not in page + (tmp_path / "evidence.json").read_text()
    assert "| finetune | 2 | 0.06 | 0.05 |" in page


def test_display_values_are_named(copy, tmp_path):
    path = copy.data / "lidc_phantom" / "manifest.json"
    write_recorded(path, json.dumps(json.loads(path.read_text()) | {"intensity": "display"}))
    publish(copy, tmp_path / "out", "make study")
    assert "All images are display values, not HU." in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["report.html", "evaluation/claims.csv", "figures/results.csv", "events.jsonl"]
)
def test_an_unfinished_study_is_refused_and_nothing_is_written(copy, tmp_path, name):
    (copy.results / name).unlink()
    with pytest.raises(InputError, match=f"not finished: 1 file.s. are missing: {name}"):
        publish(copy, tmp_path / "out", "make study")
    assert not (tmp_path / "out").exists()


def test_a_missing_run_another_configuration_and_a_stale_report_are_refused(copy, tmp_path):
    other = FinishedStudy(
        configuration=copy.configuration | {"seeds": [0, 1, 2]}, results=copy.results, data=copy.data
    )
    with pytest.raises(InputError, match="another configuration"):
        publish(other, tmp_path / "out", "make study")
    runs = copy.table("runs")
    table = pd.read_csv(runs)
    time = runs.stat().st_mtime
    table.iloc[1:].to_csv(runs, index=False)
    record(runs)
    os.utime(runs, (time, time))
    with pytest.raises(InputError, match=r"1 of \d+ runs are missing: \('lidc_phantom', 'slow_narrow'"):
        publish(copy, tmp_path / "out", "make study")
    later = (copy.results / "report.html").stat().st_mtime + 10
    os.utime(copy.table("claims"), (later, later))
    with pytest.raises(InputError, match=r"claims.csv is newer than the report"):
        publish(copy, tmp_path / "out", "make study")
    assert not (tmp_path / "out").exists()


def set_time(path, seconds, report):
    later = report.stat().st_mtime + seconds
    os.utime(path, (later, later))


@pytest.mark.parametrize(
    ("name", "seconds", "message"),
    [
        ("results.csv", -1e6, "results.csv is older than .*, which it shows"),
        ("forest.png", -1e6, "forest.png is older than .*, which it shows"),
        ("forest.png", 10, "forest.png is newer than the report"),
    ],
)
def test_whatever_is_copied_must_be_of_the_same_tables_as_the_report(copy, tmp_path, name, seconds, message):
    set_time(copy.results / "figures" / name, seconds, copy.results / "report.html")
    with pytest.raises(InputError, match=message):
        publish(copy, tmp_path / "out", "make study")
    # Tables for publication may well be written after the report.
    set_time(
        copy.results / "figures" / name, 10 if name.endswith(".csv") else 0, copy.results / "report.html"
    )
    assert publish(copy, tmp_path / "out", "make study")


def test_the_evidence_of_a_study_is_replaced_as_a_whole(copy, tmp_path, monkeypatch):
    folder = tmp_path / "docs" / "evidence"
    written = publish(copy, folder, "make study")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object) -> str:
        raise InputError("a broken table", where="x", expected="y", remedy="z")

    with monkeypatch.context() as patched:
        patched.setattr("chestct.evidence.publish.page", fail)
        with pytest.raises(InputError, match="a broken table"):
            publish(copy, folder, "make study again")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    index = copy.results / "figures" / "figures.json"
    time = index.stat().st_mtime
    write_recorded(index, json.dumps(json.loads(index.read_text()) | {"forest": "not shown"}))
    os.utime(index, (time, time))
    gone = {path.name for path in written} - {path.name for path in publish(copy, folder, "make study")}
    assert gone == {"forest.png"} and not (folder / "forest.png").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["evidence"]


def test_other_files_and_the_evidence_of_another_study_stay(copy, tmp_path):
    folder = tmp_path / "evidence"
    publish(copy, folder, "make study")
    facts = json.loads((folder / "evidence.json").read_text())
    (folder / "evidence.json").write_text(json.dumps(facts | {"study": "the_first"}))
    with pytest.raises(InputError, match="the evidence of another study: the_first"):
        publish(copy, folder, "make study")
    (folder / "evidence.json").write_text(json.dumps(facts))
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"the folder holds other files: notes\.txt"):
        publish(copy, folder, "make study")
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "README.md").is_file()


def test_the_page_says_whose_machine_it_names(finished, tmp_path):
    publish(finished, tmp_path / "out", "make study")
    assert "This page was written on a machine with" in (tmp_path / "out/README.md").read_text()


def test_times_count_what_ran_side_by_side_once(finished):
    assert wall_seconds(finished.results / "events.jsonl") == 40 + 7
    assert job_times(finished.results / "benchmarks") == {
        "finetune": {"jobs": 2, "seconds": 200.0, "cpu_seconds": 180.0}
    }


def test_the_facts_of_a_study_are_exact_and_change_with_its_files(copy):
    before = read_study_facts(copy)
    assert before.exact["lidc_phantom: cohort"].startswith("43 rows, SHA-256 ")
    assert {"lidc_phantom: 50 % of patients, seed 1", "lidc_phantom: splits", "training runs"} <= {
        *before.exact
    }
    assert before.machine["processor"] == "AMD EPYC, avx2; not recorded" and len(before.notes) == 1
    mean = before.auroc[before.auroc["model"] == "mean_of_2"]
    assert set(mean["seed"]) == {0, 1} and mean["value"].between(0, 1).all()
    means = pd.read_csv(copy.table("means")).query("metric == 'auroc' and model == 'mean_of_2'")
    assert np.allclose(
        mean.groupby(["init", "percent"])["value"].mean(), means.groupby(["init", "percent"])["value"].mean()
    )
    path = copy.results / "subsets" / "lidc_phantom" / "cohort.csv"
    table = read_table(path, "cohort")
    write_table(table.iloc[::-1], path, "cohort")
    assert read_study_facts(copy).exact == before.exact, "the order of rows says nothing"
    write_table(table.iloc[1:], path, "cohort")
    found = read_study_facts(copy).exact
    assert {name for name in found if found[name] != before.exact[name]} == {"lidc_phantom: cohort"}
    path.write_text(path.read_text() + "\n")
    with pytest.raises(DamageError, match="is not what was written"):
        read_study_facts(copy)


def test_a_crate_holds_what_its_metadata_name_and_nothing_private(copy, tmp_path, root):
    published = copy.results / "publication" / "lidc_phantom" / "splits.csv"
    write_recorded(published, "patient,split\nP1,test\n")
    path = write_crate(copy, root, tmp_path / "crate", "make study", None)
    graph = json.loads(path.read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    described, crate, run = (entities[name] for name in ("ro-crate-metadata.json", "./", "#run"))
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in described["conformsTo"]
    assert {"@id": "https://w3id.org/ro/wfrun/workflow/0.5"} in crate["conformsTo"]
    workflow = entities[crate["mainEntity"]["@id"]]
    assert workflow["@type"] == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert run["@type"] == "CreateAction" and run["instrument"] == crate["mainEntity"]
    assert run["startTime"] == "1970-01-01T00:00:00+00:00" and run["endTime"] == "1970-01-01T00:16:48+00:00"

    def references(value):
        if isinstance(value, dict):
            return {value["@id"]} if set(value) == {"@id"} else set().union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    outside = {"https://w3id.org/ro/crate/1.1", "http://schema.org/CompletedActionStatus"}
    assert set().union(*map(references, graph)) - outside <= set(entities), "all that is named is described"
    parts = {part["@id"] for part in crate["hasPart"]}
    for entity in graph:
        if "File" in entity["@type"]:
            file = path.parent / unquote(entity["@id"])
            assert entity["@id"] in parts and sha256_file(file) == entity["sha256"]
    there = {file for file in path.parent.rglob("*") if file.is_file()} - {path}
    named = {path.parent / unquote(part) for part in parts}
    assert {file for file in there if not {file, *file.parents} & named} == set()
    results = [unquote(result["@id"]) for result in run["result"]]
    assert {"results/made up/report.html", "results/made up/publication/lidc_phantom/splits.csv"} <= {
        *results
    }
    assert not any("failures" in name or "predictions" in name for name in results)
    shown = {".csv", ".json", ".jsonl", ".md", ".tex", ".yaml"}
    text = b"".join(file.read_bytes() for file in [path, *there] if file.suffix in shown)
    patients = read_table(copy.results / "subsets/lidc_phantom/cohort.csv", "cohort")["patient_id"]
    for word in (str(copy.results), "/home/a person", "/somewhere/private", *patients):
        assert word.encode() not in text
    assert write_crate(copy, root, path.parent, "make study", "A Name") == path, "replaced as a whole"
    assert {"@id": "#agent", "@type": "Person", "name": "A Name"} in json.loads(path.read_text())["@graph"]
    (path.parent / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files: notes\.txt"):
        write_crate(copy, root, path.parent, "make study", None)


def test_a_full_disk_is_one_message_and_leaves_the_former_folder(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(InputError, match=r"cannot be written[\s\S]*make room"):
        with replaced_folder(tmp_path / "kept"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError):  # nothing that a disk could be blamed for
        with replaced_folder(tmp_path / "kept"):
            (tmp_path / "nowhere").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
