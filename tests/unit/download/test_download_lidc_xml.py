"""Readers' XML: what it means and what is refused."""

from pathlib import Path

import pytest
from synthetic_lidc import RATINGS, document, nodule, write

from chestct.download.labels.lidc_xml import read_xml
from chestct.errors import InputError


def test_outlines_are_taken_and_point_marks_and_exclusions_left(tmp_path: Path) -> None:
    text = document(
        nodule("a") + nodule("point", num_points=1, ratings=""),
        "<nonNodule><nonNoduleID>x</nonNoduleID></nonNodule>",
        nodule("hole", inclusion="FALSE") + nodule("b", number=2),
    )
    reading = read_xml(write(tmp_path / "a.xml", text))
    assert reading is not None and reading.series_id == "1.9"
    assert [(a.reader, a.nodule_id, a.heights_mm, a.sops) for a in reading.annotations] == [
        (0, "a", [-5.0], {-5.0: "1.2.1"}),
        (2, "b", [-5.0], {-5.0: "1.2.2"}),
    ]
    assert reading.annotations[0].points.tolist() == [[-5, 20, 10], [-5, 21, 11], [-5, 22, 12]]


@pytest.mark.parametrize(
    "ratings",
    ["", "<characteristics/>", RATINGS.replace(">4<", ">0<"), RATINGS.replace(">4<", "> <")],
)
def test_nodules_without_ratings_are_small_ones(tmp_path: Path, ratings: str) -> None:
    reading = read_xml(write(tmp_path / "a.xml", document(nodule("a", ratings=ratings) + nodule("b"))))
    assert reading is not None and [a.nodule_id for a in reading.annotations] == ["b"]


def test_a_lone_point_of_an_outlined_nodule_is_no_outline(tmp_path: Path) -> None:
    both = nodule("a").replace("</roi>", "</roi>" + nodule("x", z="-9", num_points=1, ratings=""))
    both = both.replace("<unblindedReadNodule><noduleID>x</noduleID>", "", 1)
    both = both.replace("</unblindedReadNodule>", "", 1)
    reading = read_xml(write(tmp_path / "a.xml", document(both)))
    assert reading is not None and [a.heights_mm for a in reading.annotations] == [[-5.0]]


@pytest.mark.parametrize("name", ["SeriesInstanceUid", "SeriesInstanceUID", "seriesInstanceUid"])
@pytest.mark.parametrize("prefix", ["", "CT"])
def test_every_spelling_of_the_series_is_read_and_no_other_element(
    tmp_path: Path, prefix: str, name: str
) -> None:
    reading = read_xml(write(tmp_path / "a.xml", document(nodule("a"), name=prefix + name)))
    assert reading is not None and reading.series_id == ("" if prefix else "1.9")


def test_other_documents_are_passed_over(tmp_path: Path) -> None:
    assert read_xml(write(tmp_path / "a.xml", document(tag="IdriReadMessage"))) is None


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "bomb.xml"
    text = document(nodule("&b;"), head=BOMB).replace('encoding="UTF-8"', f'encoding="{encoding}"')
    path.write_bytes(text.encode(encoding))
    with pytest.raises(InputError, match="DOCTYPE") as caught:
        read_xml(path)
    assert "bomb.xml" in str(caught.value)


def test_external_entity_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret")
    head = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>'
    with pytest.raises(InputError, match="DOCTYPE"):
        read_xml(write(tmp_path / "a.xml", document(nodule("&s;"), head=head)))


@pytest.mark.parametrize(
    ("text", "words"),
    [("<LidcReadMessage>", "does not parse"), (document(nodule("a", z="up")), "not a number")],
)
def test_broken_xml_names_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_xml(write(tmp_path / "broken.xml", text))
    assert "broken.xml" in str(caught.value)
