"""The command ``chestct``: studies by their names, what to cite, and messages for what is not there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chestct.errors import InputError
from chestct_command.main import main
from chestct_command.project import (
    check_studies,
    list_studies,
    project_folder,
    read_configuration,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a project that a command looks at."""
    (tmp_path / "workflow_scripts").mkdir()
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_project_is_found_from_any_folder_below_it_and_else_where_the_package_lies(
    folder, tmp_path_factory
):
    assert project_folder(folder / "studies") == folder
    assert project_folder(tmp_path_factory.mktemp("elsewhere")) == ROOT


def test_every_study_is_listed_with_a_sentence_and_its_configuration_is_read(folder):
    studies = list_studies(folder)
    assert {"smoke", "paper", "lidc_nodules"} <= set(studies)
    assert all(10 < len(what) < 200 and "make " not in what for what in studies.values())
    assert read_configuration(folder, [])["study"] == "default"
    assert read_configuration(folder, ["lidc_nodules", "lidc_nodules_quick"])["percents"] == [10, 100]
    malignancy = read_configuration(folder, ["lidc_nodules"])["datasets"][1]
    assert malignancy["source"] == "lidc_nodules", "taken over from the dataset whose scans it shares"


def test_an_unknown_study_lists_those_that_there_are(folder):
    with pytest.raises(InputError, match=r"no study 'smokee'(?s:.)*paper_lean: (?s:.)*did you mean 'smoke'"):
        check_studies(folder, ["smokee"])
    check_studies(folder, ["default"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: x\n  y: [1\n", r"not valid YAML(?s:.)*broken.yaml, line [123]"),
        ("- a\n- b\n", "holds no keys"),
        ("study: caf\xe9\n".encode("latin-1"), "not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_ends_in_one_message(folder, text, message):
    path = folder / "studies" / "broken.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_configuration(folder, ["broken"])


def test_what_to_cite_needs_neither_data_nor_credentials(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("RSPECT_ARCHIVE", raising=False)
    assert main(["cite", "paper"]) == 0
    printed = capsys.readouterr().out
    for words in ("RSNA Pulmonary Embolism", "LIDC-IDRI", "slow_r50_kinetics400", "penet_kinetics600"):
        assert words in printed
    assert not re.search(r"\$\{|\b(None|nan)\b", printed)


def test_a_wrong_study_is_one_message_and_no_traceback(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for command in ("run", "plan", "cite"):
        assert main([command, "papre"]) == 1
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.startswith("ERROR: there is no study 'papre'")
        assert "did you mean 'paper'?" in printed.err


def test_an_overlay_without_what_it_lies_over_is_refused(folder):
    with pytest.raises(InputError, match="paper paper_lean"):
        check_studies(folder, ["paper_lean"])
    with pytest.raises(InputError, match="an overlay over 'paper'"):
        check_studies(folder, ["paper_lean", "paper"])
    check_studies(folder, ["paper", "paper_lean"])
    check_studies(folder, ["lidc_nodules", "lidc_nodules_quick"])


def test_a_misspelt_profile_does_not_run_on_this_machine(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("chestct_command.main._call", lambda *_: pytest.fail("it ran"))
    assert main(["run", "smoke", "--profile", "slrum"]) == 1
    assert (
        "one of default, slurm" in (printed := capsys.readouterr().err) and "did you mean 'slurm'?" in printed
    )


def test_without_a_command_all_of_them_are_told(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")  # argparse breaks its lines by the terminal
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and all(
        f"    {name} " in printed.err for name in ("run", "init", "predict", "check")
    )


def test_the_help_waits_for_no_library():
    words = (
        "import sys, chestct_command.main; print(sorted({'numpy', 'pandas', 'snakemake'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
