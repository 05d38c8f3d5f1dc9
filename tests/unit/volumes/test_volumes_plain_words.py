"""No name of a file and no text of a header reaches a ledger or a log, wherever it stands."""

import ast
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from dicom_files import phantom, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_jobs import run, series_table

from chestct.tables import read_table
from chestct.volumes import plain_words
from chestct.volumes.error_words import error_words
from chestct.volumes.plain_words import without_names
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.volume_header import check_units

NAME = "Quartermaine"
VOLUMES = Path(plain_words.__file__).parent
#: Modules without details of scans.
WITHOUT_DETAILS = {
    "__main__.py",
    "combine_shards.py",
    "contact_sheet.py",
    "convert_arguments.py",
    "convert_folder.py",
    "convert_shard.py",
    "plain_words.py",
    "refusals.py",
    "remedies.py",
    "thumbnails.py",
}
#: Words of details that are names of people or places, too: in the place of a file's name they stay hidden.
NAMES_TOO = set(
    [
        "dense",
        "grey",
        "leave",
        "link",
        "long",
        "marker",
        "may",
        "page",
        "place",
        "pointer",
        "rads",
        "short",
        "skip",
        "small",
        "stack",
        "strands",
        "table",
        "tube",
        "wider",
    ]
)


def named(field, value):
    """Writes a text into a field of slice 3."""

    def edit(number, dataset):
        if number == 3:
            dataset.add_new(
                pydicom.datadict.tag_for_keyword(field), pydicom.datadict.dictionary_VR(field), value
            )

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        None,
        named("PatientID", f"MRN-{NAME}"),
        named("Modality", NAME.upper()[:16]),
        named("ImageType", ["DERIVED", "SECONDARY", f"OF {NAME.upper()}"]),
        named("RescaleType", f"ZQ{NAME}"),
        named("PhotometricInterpretation", NAME.upper()[:16]),
        named("SeriesInstanceUID", f"1.2.{NAME}.3"),
        named("StudyInstanceUID", f"1.2.{NAME}.3"),
        named("SOPInstanceUID", f"1.2.{NAME}.3"),
        named("FrameOfReferenceUID", f"{NAME}"),
        named("ConvolutionKernel", NAME),
        named("SpecificCharacterSet", NAME.upper()),
        named("SOPClassUID", f"1.2.{NAME}.3"),
        named("Rows", 7),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.filterwarnings("ignore:.*")
def test_names_stay_out_of_ledger_and_log(tmp_path, caplog, monkeypatch, edit, cut):
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
    folder = write_series(tmp_path / f"{NAME}_1937", phantom(), **({"edit": edit} if edit else {}))
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{NAME}_{number:03d}.dcm")
    (folder / f"{NAME}_letter.txt").write_text("Dear")
    if cut:
        path = folder / f"{NAME}_002.dcm"
        path.write_bytes(path.read_bytes()[:400])
    table = series_table(folder.name).assign(patient_id="p", study_id="s", series_id="r")
    with caplog.at_level(logging.DEBUG):
        out = run(table, tmp_path, tmp_path / "r")
    for name in ("ledger", "acquisition"):
        rows = read_table(out[f"{name}_path"], name).drop(columns="kernel", errors="ignore")
        assert NAME.lower() not in rows.to_csv().lower()
    assert NAME.lower() not in caplog.text.lower()


def test_details_name_places_and_keep_numbers(tmp_path):
    for name in ("1", "Doe_1.dcm", "Doe_2.dcm", "20010911"):
        (tmp_path / name).write_bytes(b"")
    text = f"Doe_2.dcm: 1 of 12 bytes, differs from Doe_1.dcm; {tmp_path}; 20010911 and 120010911"
    assert without_names(text, tmp_path) == (
        "file 4 of 4: 1 of 12 bytes, differs from file 3 of 4; the scan; file 2 of 4 and 120010911"
    )
    assert (
        without_names("Doe_1.dcm: 3 values a voxel", tmp_path / "Doe_1.dcm") == "the file: 3 values a voxel"
    )
    assert without_names("3 values a voxel", tmp_path / "3") == "3 values a voxel"


@pytest.mark.parametrize("name", [".", "..", "1", "a", "gap"])
def test_a_path_of_one_name_changes_no_number_and_no_word(tmp_path, monkeypatch, name):
    (tmp_path / "inside" / name).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / "inside")
    detail = "1 at a spacing of 2.500 mm: 1 after -295.000 mm (gap 5.000), 3 values/voxel"
    assert without_names(detail, Path(name)) == detail


@settings(max_examples=50, deadline=None)
@given(
    st.text(
        st.characters(exclude_characters="'\"/\0", exclude_categories=["C", "Z"]), min_size=3, max_size=12
    )
)
def test_what_an_error_quotes_is_left_out(text):
    assert f"'{text}'" not in error_words(ValueError(f"invalid value: '{text}' is no number"))


@pytest.mark.parametrize(
    ("unit", "shown"), [("um", "um"), ("cm", "cm"), ("inches", "inches"), (NAME, "(text)")]
)
def test_units_of_volumes_are_shown_if_they_are_units(unit, shown):
    with pytest.raises(RefusedScan) as caught:
        check_units(["mm", unit])
    assert caught.value.detail.startswith(f"lengths in {shown}, ")


@pytest.mark.parametrize("field", ["phase", "sop_class", "manufacturer", "scanner_model", "contrast_agent"])
def test_texts_of_other_fields_are_not_repeated_either(tmp_path, field):
    header = SimpleNamespace(**{field: ("", NAME) if field == "phase" else NAME})
    assert without_names(f"2 phases (, {NAME})", tmp_path, [header]) == "2 phases (, (text))"


def _words_of_details() -> set[str]:
    """Words of all texts of several words in modules that word details, without docstrings."""
    words = set()
    for path in VOLUMES.glob("*.py"):
        if path.name in WITHOUT_DETAILS:
            continue
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
            if isinstance(text, str) and " " in text.strip():
                words |= {word.lower() for word in re.findall(r"(?<![\w.])[a-zA-Z]{3,}(?!\w)", text)}
    return words


def test_a_folder_called_like_a_word_of_a_detail_leaves_the_detail_whole(tmp_path):
    words = _words_of_details() - NAMES_TOO
    assert len(words) > 300
    changed = [word for word in words if without_names(f"1 {word} of 2", tmp_path / word) != f"1 {word} of 2"]
    assert not changed, "add them to plain_words._OWN_WORDS"
    for word in ("RGB", "hu_plus_1024", "one"):
        (tmp_path / word).mkdir()
        assert without_names(f"3 x {word}", tmp_path / word) == f"3 x {word}"
