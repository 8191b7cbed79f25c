from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.reading.defects import row_defect, shown
from cxr_tasks.sources.reading.tables import LONGEST_CELL, read_lines, read_rows
from tests.sources.faults import assert_names_file_and_line


def rows_of(path: Path, content: bytes, *columns: str, **options):
    path.write_bytes(content)
    return list(read_rows(path, columns or ("a", "b"), **options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"a,b\n1,x y\n",
        b"a,b\n1,x y",  # no newline at the end
        b"a,b\r\n1,x y\r\n",
        b"a,b\r1,x y\r",  # as an old Macintosh writes
        b"\xef\xbb\xbfa,b\n1,x y\n",  # as a spreadsheet writes UTF-8
        b'"a","b"\n"1","x y"\n',
        b'a, "b"\n 1 , "x y"\n',
        b"a,b,,,\n1,x y\n",  # names end in commas, rows do not
        b"a,b\n1,x y,,,\n",  # and the other way round
        b"a,b,\n1,x y,\n",
        b",a,b\n0,1,x y\n",  # a column without a name, as of row numbers
        b"a;b\r\n1;x y\r\n",  # as a spreadsheet writes where a comma is the decimal mark
        b"a;b;;\n1;x y;\n",
        b'"a";"b"\n"1";"x y"\n',
        b"a\tb\n1\tx y\n",
        b"a|b\n1|x y\n",
        "a\tb\r\n1\tx y\r\n".encode("utf-16"),  # as a spreadsheet writes Unicode text
        b"\xfe\xff" + "a,b\n1,x y\n".encode("utf-16-be"),
        "a,b\n1,x y\n".encode("utf-16-le"),
        "a;b\n1;x y\n".encode("utf-16-be"),
        "a,b\n1,x y\n".encode("utf-32"),
    ],
)
def test_the_same_row_in_all_its_forms(path, content):
    assert rows_of(path, content) == [(2, {"a": "1", "b": "x y"})]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
def test_a_table_says_what_parts_its_cells(path, first):
    rows = [(3, {"a": "1,5", "b": "x y"}), (4, {"a": "2", "b": "z"})]
    assert rows_of(path, f"{first}\r\na;b\r\n1,5;x y\r\n2;z\r\n".encode()) == rows


def test_commas_part_cells_where_the_names_are_found_so(path):
    assert rows_of(path, b"a,b;c|d\n1;2,3|4\n", "a") == [(2, {"a": "1;2", "b;c|d": "3|4"})]
    assert rows_of(path, b"a\n1;2\n", "a") == [(2, {"a": "1;2"})]
    assert rows_of(path, b"a;size, mm\n1;2,5\n", "a") == [(2, {"a": "1", "size, mm": "2,5"})]


def test_bytes_that_are_no_text_are_kept_where_file_names_are_asked_for(path):
    ((_, row),) = rows_of(path, b"a,b\ncaf\xe9.png,1\n", keeps_stray_bytes=True)
    assert os.fsencode(row["a"]) == b"caf\xe9.png"


def test_lines_are_counted_as_an_editor_does(path):
    content = b'a,b\n\n1,"two\nlines"\n , \n2,y\n,,\n\n'
    assert rows_of(path, content) == [(3, {"a": "1", "b": "two\nlines"}), (6, {"a": "2", "b": "y"})]


def test_further_columns_are_given_too_and_empty_cells_are_empty_text(path):
    assert rows_of(path, b"b,c,a\n1,,3\n", "a") == [(2, {"b": "1", "c": "", "a": "3"})]


def test_a_broken_header_can_be_put_in_order(path):
    content = b"a,size[x,y],\n1,2,3,\n"
    read = rows_of(path, content, "a", "x", "y", header=lambda names: [name.strip("size[]") for name in names])
    assert read == [(2, {"a": "1", "x": "2", "y": "3"})]


def test_rows_are_read_one_by_one(path):
    path.write_bytes(b"a,b\n1,2\n3\n")
    rows = read_rows(path, ("a", "b"))
    assert next(rows) == (2, {"a": "1", "b": "2"})
    with pytest.raises(DataDefect, match="line 3"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"table\.csv: expected a header line and rows, found an empty file$"),
        (b"\xef\xbb\xbf\r\n\r\n", "found an empty file"),
        (b"a,bb\n", r"line 1: expected a column 'b'; did you mean 'bb'\?; found: 'a', 'bb'$"),
        (b"a\n1\n", "line 1: expected a column 'b'; found: 'a'$"),
        (b"a;c\n1;2\n", r"line 1: expected a column 'b'; found: 'a', 'c' \(cells are parted by semicolons\)$"),
        (b"a;b;a\n1;2;3\n", "line 1: column 'a' is named twice"),
        (b"a;b\n1;2\n1,2\n", "line 3: expected 2 cells as in the header, found 1$"),
        (b"a;b\n1;2;3\n", "line 2: .*found 3; a cell with semicolons in it has to be quoted"),
        (b'a\tb\n"1"2\t3\n', "line 2: expected cells parted by tabs"),
        (b"sep=:\na:b\n", "line 1: cells are said to be parted by ':'; expected commas, semicolons, tabs, bars"),
        (b"a,b,a\n1,2,3\n", "line 1: column 'a' is named twice"),
        (b"a,b\n1,2\n3\n", "line 3: expected 2 cells as in the header, found 1"),
        (b"a,b\n1,2,3\n", "line 2: .* in the header, found 3; a cell with commas in it has to be quoted"),
        (b"a,b\n1,2,,3,\n", "line 2: expected 2 cells as in the header, found 5"),
        (b"a,b\n1,2\n3,caf\xe9\n", "line 3: byte 0xE9 is not UTF-8; save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16") + b"\x00\xd8\x41", "line 3: found bytes that are not UTF-16"),
        ("a,b\n1,2\n".encode("utf-16")[:-1], "line 2: found bytes that are not UTF-16"),
        (b"PK\x03\x04" + b"\0" * 50, r"table\.csv: expected a table in CSV, found an Excel workbook .*'CSV UTF-8'"),
        (b"\x1f\x8b\x08", "compressed by gzip; unpack it"),
        (b"a,b\n1,2\n3,\x00\n", "line 3: found a NUL byte"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: .*unexpected end of data; a quotation mark opens on this line"),
        (b'a,b\n1,2\n3,"' + b"4\n" * 100_000, "line 3: .*a quotation mark opens on this line and does not close"),
        (b'a,b\n"1"2,3\n', "line 2: expected comma-separated cells"),
        (b"a,b\n1," + b"x" * (LONGEST_CELL + 1), f"line 2: a cell of {LONGEST_CELL + 1} characters"),
        (b"a,b\n" + b"x" * 1_500_000, "line 2: the line has 1000000 characters or more"),
    ],
)
def test_every_fault_is_named_with_file_and_line(path, content, message):
    with pytest.raises(DataDefect, match=message) as caught:
        rows_of(path, content)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 600


def test_a_value_that_must_be_unique_is_named_with_both_lines(path):
    with pytest.raises(DataDefect, match=r"line 4: a 'x' stands on line 2 already; keep one$"):
        rows_of(path, b"a,b\nx,1\ny,1\nx,2\n", unique="a")


def test_the_unique_column_must_be_there(path):
    with pytest.raises(DataDefect, match="expected a column 'id'"):
        rows_of(path, b"a,b\nx,1\n", unique="id")


def test_what_is_no_readable_file_is_a_defect(tmp_path):
    with pytest.raises(DataDefect, match=r"none\.csv: expected a file, found none"):
        list(read_rows(tmp_path / "none.csv", ("a",)))
    with pytest.raises(DataDefect, match="found a folder, pipe or device"):
        list(read_rows(tmp_path, ("a",)))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataDefect, match="found a folder, pipe or device"):
        list(read_rows(tmp_path / "pipe.csv", ("a",)))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_one_may_not_read_is_a_defect(path):
    path.write_bytes(b"a,b\n")
    path.chmod(0)
    with pytest.raises(DataDefect, match="the file cannot be read: Permission denied"):
        list(read_rows(path, ("a",)))


def test_lists_of_names_are_stripped_and_blank_lines_skipped(path):
    path.write_bytes(b"\xef\xbb\xbf one.png\r\n\r\ntwo.png")
    assert list(read_lines(path, unique=True)) == [(1, "one.png"), (3, "two.png")]


def test_a_name_twice_in_a_list_is_named_with_both_lines(path):
    path.write_bytes(b"one.png\n\none.png\n")
    assert [name for _, name in read_lines(path)] == ["one.png", "one.png"]
    with pytest.raises(DataDefect, match=r"line 3: 'one\.png' stands on line 1 already"):
        list(read_lines(path, unique=True))


def test_long_cells_are_cut_in_messages(path):
    assert len(shown("x" * 10_000)) < 80
    assert str(row_defect(path, 3, "what")) == f"{path}, line 3: what"


_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(_cells, _cells, _cells), max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_the_csv_writer_wrote_is_read_back(tmp_path, rows):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([("a", "b", "c"), *rows])
    read = rows_of(tmp_path / "t.csv", stream.getvalue().encode(), "a", "b", "c")
    stripped = [tuple(cell.strip() for cell in row) for row in rows]
    assert [tuple(row.values()) for _, row in read] == [row for row in stripped if any(row)]


#: Pieces that meet in broken tables more often than chance would have it.
_pieces = st.one_of(
    st.sampled_from([b"a", b"b", b"a,b", b",", b'"', b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b" "]),
    st.binary(max_size=12),
)


@given(st.lists(_pieces, max_size=40).map(b"".join), st.booleans(), st.booleans())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_end_in_rows_or_in_a_defect_that_names_file_and_line(tmp_path, content, with_header, is_unique):
    path = tmp_path / "any.csv"
    path.write_bytes(b"a,b\n" + content if with_header else content)
    for read in (
        lambda: list(read_rows(path, ("a", "b"), unique="a" if is_unique else None)),
        lambda: list(read_lines(path, unique=is_unique)),
    ):
        try:
            for line, _ in read():
                assert 1 <= line <= content.count(b"\n") + content.count(b"\r") + 2
        except DataDefect as error:
            assert_names_file_and_line(error, path)
