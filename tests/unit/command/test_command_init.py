"""``chestct init``: a study from a user's table, without a question."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from chestct.errors import InputError
from chestct_command.begin import Cohort, cohort_sizes, dataset_name, find_columns
from chestct_command.main import main
from chestct_command.project import read_configuration

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without studies, which the command is given in."""
    for name in ("workflow_scripts", "studies"):
        (tmp_path / name).mkdir()
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scans(folder: Path, labels: list[int], **columns: list) -> Path:
    """A table of as many scans, their files, and other columns than those that it needs."""
    (folder / "my scans").mkdir()
    names = [f"scan{i}.nii.gz" for i in range(len(labels))]
    for name in names:
        (folder / "my scans" / name).touch()
    table = pd.DataFrame(
        {"Patient ID": [f"p{i}" for i in range(len(labels))], "File": names, "age": 60, "cancer": labels}
        | columns
    )
    path = folder / "my scans" / "Hospital: A.csv"
    table.to_csv(path, index=False)
    return path


def test_a_table_becomes_a_study_that_can_be_run(folder, capsys):
    table = scans(folder, [0, 1] * 20)
    assert main(["init", "--table", str(table)]) == 0
    printed = capsys.readouterr()
    assert "40 scans of 40 patients, 20 of them positive" in printed.out
    assert "chestct run hospital_a" in printed.out
    assert re.search(r"about \d+ (minutes|hours) on one core", printed.out)
    configuration = read_configuration(folder, ["hospital_a"])
    (entry,) = configuration["datasets"]
    assert entry["table"] == str(table) and entry["columns"]["label"] == "cancer"
    assert entry["columns"]["study_id"] == entry["columns"]["patient_id"] == "Patient ID"
    assert configuration["subsets"]["folds"] == 5 and configuration["percents"] == [100]
    text = (folder / "studies" / "hospital_a.yaml").read_text()
    assert text.count("#") > 10, "it is commented"
    assert main(["init", "--table", str(table)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "studies" / "hospital_a.yaml").read_text() == text


def test_few_of_a_class_in_the_test_set_are_warned_of(folder, capsys):
    assert main(["init", "--table", str(scans(folder, [0] * 30 + [1] * 7)), "--name", "few"]) == 0
    assert "only 7 patients of the rarer class are tested" in capsys.readouterr().err
    assert read_configuration(folder, ["few"])["subsets"]["folds"] == 3


def test_a_study_for_a_gpu_has_full_size(folder, capsys):
    assert main(["init", "--table", str(scans(folder, [0, 1] * 200)), "--name", "large", "--gpu"]) == 0
    large = read_configuration(folder, ["large"])
    assert (large["volumes"]["size_px"], large["training"]["gpus"], large["subsets"]["folds"]) == (256, 1, 1)
    assert "NVIDIA A100" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "columns", "options", "message"),
    [
        ([1] * 12, {}, [], "no column is known to hold the label"),
        ([1] * 12, {}, ["--label", "cancer"], "all 12 values of `cancer` are 1"),
        ([0] * 12 + [1] * 3, {}, [], "3 patients are positive and 12 negative"),
        ([0, 1] * 6, {"other": [1, 0] * 6}, [], "--label COLUMN"),
        ([0, 1] * 6, {"Patient ID": ["one"] * 12}, [], "no column is known to hold the scan's own name"),
        ([0, 1] * 6, {}, ["--path", "volumes"], "no column 'volumes'"),
        ([0, 1] * 6, {"File": ["gone.nii"] * 12}, [], "not there"),
        ([0, 1] * 6, {}, ["--name", "My Study"], "no name of a study"),
        ([0, 1] * 6, {}, ["--name", "default"], "no name of a study"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_no_study(folder, capsys, labels, columns, options, message):
    table = scans(folder, labels, **columns)
    assert main(["init", "--table", str(table), *options]) == 1
    printed = capsys.readouterr()
    assert message in printed.err and "remedy" in printed.err and printed.out == ""
    assert list((folder / "studies").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"), [("nothere.csv", "there is no such table"), ("my scans", "the table is a folder")]
)
def test_a_table_that_is_not_there_is_one_message(folder, capsys, name, message):
    scans(folder, [0, 1] * 6)
    assert main(["init", "--table", str(folder / name)]) == 1
    printed = capsys.readouterr().err
    assert message in printed and "remedy: check the path" in printed and "Errno" not in printed


def test_a_table_that_may_not_be_read_is_one_message(folder, capsys, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    table = scans(folder, [0, 1] * 6)
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert main(["init", "--table", str(table)]) == 1
    printed = capsys.readouterr().err
    assert "the table cannot be read: Permission denied" in printed and "remedy: give this user" in printed


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1] * 12, "all 12 values of `cancer` are 1"),
        (["benign", "1"] * 6, "column 'cancer' are neither 0 nor 1"),
    ],
)
def test_the_one_column_that_is_left_is_the_label_that_messages_name(folder, capsys, labels, message):
    table = scans(folder, labels)
    pd.read_csv(table).drop(columns="age").to_csv(table, index=False)
    assert main(["init", "--table", str(table)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        (lambda text: text.replace(",", "|"), "commas, semicolons or tabs between its cells"),
        (lambda text: "My cohort,,,\n" + text, "write the heading in the first line"),
        (lambda text: text.partition("\n")[2], "write a heading, such as patient,scan,file,label"),
        (lambda text: text.replace("Patient ID", "name"), "where every scan is another patient's"),
    ],
    ids=["separator", "title", "no heading", "no patient"],
)
def test_a_heading_that_cannot_be_read_is_told(folder, capsys, change, remedy):
    table = scans(folder, [0, 1] * 6)
    table.write_text(change(table.read_text()))
    assert main(["init", "--table", str(table)]) == 1
    assert remedy in capsys.readouterr().err
    assert list((folder / "studies").iterdir()) == []


def test_names_of_columns_that_users_have_are_found():
    for names in (
        ("patient", "scan", "file", "label"),
        ("PatientID", "StudyID", "Path", "Target"),
        ("subject_id", "series", "filename", "outcome"),
    ):
        rows = pd.DataFrame([["a", "b", "c", "1"]], columns=list(names))
        found = find_columns(rows, {}, Path("t.csv"))
        assert tuple(found.values()) == names
    rows = pd.DataFrame([["a", "b"]], columns=["patient", "note"])
    with pytest.raises(InputError, match="patient, note"):
        find_columns(rows, {}, Path("t.csv"))


def test_sizes_follow_the_patients():
    def sizes(patients: int, positive: int) -> tuple[int, list[int]]:
        cohort = Cohort(patients=patients, scans=patients, positive=positive, negative=patients - positive)
        found = cohort_sizes(cohort)
        return found["folds"], found["percents"]

    assert sizes(30, 10) == (3, [100])
    assert sizes(80, 40) == (5, [100])
    assert sizes(300, 20) == (5, [25, 100])
    assert sizes(1000, 300) == (1, [10, 25, 50, 100])


def test_two_tables_share_no_dataset_and_a_quick_study_shares_that_of_its_table(folder, capsys):
    def entry(study: str) -> dict:
        (found,) = read_configuration(folder, [study])["datasets"]
        return found

    table = scans(folder, [0, 1] * 20)
    for name, text in {
        "taken": "study: x\ndatasets: [{name: mine, table: b.csv}]",
        "odd": "datasets: 1",
    }.items():
        (folder / "studies" / f"{name}.yaml").write_text(text)
    assert main(["init", "--table", str(table)]) == 0 and "--quick" in capsys.readouterr().out
    assert main(["init", "--table", str(table), "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "chestct run hospital_a_quick" in printed and "its numbers say nothing" in printed
    assert entry("hospital_a")["name"] == entry("hospital_a_quick")["name"] == "hospital_a"
    quick = read_configuration(folder, ["hospital_a_quick"])
    assert (quick["volumes"]["size_px"], quick["seeds"], quick["subsets"]["folds"]) == (64, [0], 5)
    assert [model["name"] for model in quick["models"]] == ["i3d"]
    assert dataset_name("mine", str(table), folder) == "mine_scans", "another table's"
    assert dataset_name("weights", str(table), folder) == "weights_scans", "a folder of data/ already"


def test_a_path_with_any_characters_is_one_yaml_value():
    from chestct_command.overlay import overlay_text

    entry = {"name": "own", "table": "/data/a: b/#1 'x' {y}.csv", "columns": {"path": "yes", "label": "1"}}
    cohort = Cohort(patients=40, scans=40, positive=20, negative=20)
    text = overlay_text("own", entry, cohort_sizes(cohort), gpu=False)
    (read,) = yaml.safe_load(text)["datasets"]
    assert read["table"] == entry["table"] and read["columns"] == entry["columns"]
