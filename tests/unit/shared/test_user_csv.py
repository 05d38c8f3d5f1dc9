"""A user's CSV: whatever it is written in, a row keeps its cells or the table is refused."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chestct.errors import InputError
from chestct.user_csv import read_user_csv

WANTED = ["id", "label"]


def read(folder, content, wanted=WANTED):
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_user_csv(path, wanted, where="t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_same_table_however_it_is_saved(tmp_path, encoding, separator, end):
    rows = [["id", "note", "label"], ["007", "Größe, 1; 2\t3", "1"], ["NA", "", "0"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end).writerows(rows)
    table = read(tmp_path, text.getvalue().encode(encoding))
    assert [list(table), *table.to_numpy().tolist()] == rows


def test_blank_lines_and_rows_of_empty_cells_are_passed_over_and_lines_are_counted(tmp_path):
    table = read(tmp_path, 'sep=;\n\nid;"a\nnote";label\n\nx;1;0\n;;\n  \ny;"two\nlines";1\n')
    assert table["id"].to_dict() == {6: "x", 9: "y"}
    assert table.loc[9, "a\nnote"] == "two\nlines"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,label\nx,1,\ny,0,\n", "2 row.s. have another number of cells .*line 2: 3, line 3: 3"),
        ("# of 2024\nid,label\nx,1\n", r"lacks the columns"),
        ("id,label\n\nx\ny,0\n", "1 row.s. .*line 3: 1"),
        ("id,label\nx,0,5\n", "line 2: 3"),
        ("id,label,label\nx,1,0\n", r"more than one column named \['label'\]"),
        ("id;label ;label\nx;1;0\n", r"more than one column named \['label'\]"),
        ("id,Label\nx,1\n", r"lacks the columns \['label'\]"),
        ('id,label\nx,"1\ny,0\n', "does not parse: row on line 2"),
        ('id,label\n"x"y,1\n', "does not parse: row on line 2"),
        ("", "table is empty"),
        ("\n\n", "table is empty"),
        ("id,label\nx,1\n".encode("utf-16-le"), "holds a NUL character"),
        (b"id,label\nx,1\0\n", "line 2 of the table holds a NUL"),
        ("id,label\nx,1\nÄ,0\n".encode("latin-1"), "line 3 of the table is not written in UTF-8"),
        (b"\xff\xfei\0d\0,", "not written in UTF-16|lacks the columns"),
        (b"PK\x03\x04 and more", "a spreadsheet"),
        (b"\x1f\x8b\x08\x00", "a packed file"),
    ],
)
def test_what_fits_no_heading_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, content)
    assert "t.csv" in str(caught.value) and "delete" not in str(caught.value)


def test_columns_that_nobody_asks_for_may_be_nameless_or_doubled(tmp_path):
    table = read(tmp_path, "id,label,,,age,age\nx,1,,,5,6\n")
    assert table[WANTED].to_numpy().tolist() == [["x", "1"]]


CELL = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL, st.sampled_from("01")), min_size=1, max_size=4),
    separator=st.sampled_from(",;\t"),
    damage=st.sampled_from(["none", "extra", "short"]),
    data=st.data(),
)
def test_cells_come_back_or_the_row_is_named(tmp_path_factory, rows, separator, damage, data):
    cells = [list(row) for row in rows]
    if damage != "none":
        row = data.draw(st.sampled_from(cells))
        row[:] = [*row, ""] if damage == "extra" else row[1:]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([["id", "note", "label"], *cells])
    folder = tmp_path_factory.mktemp("csv")
    if damage == "none":
        table = read(folder, text.getvalue())
        assert table.to_numpy().tolist() == [[cell.strip() for cell in row] for row in cells]
    else:
        with pytest.raises(InputError, match="another number of cells"):
            read(folder, text.getvalue())


def test_a_line_before_the_heading_is_told(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("# cohort of 2024\nid,label\nx,1\n")
    with pytest.raises(InputError, match="remove what stands before the heading"):
        read_user_csv(path, (), where=path)
