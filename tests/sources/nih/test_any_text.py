"""Any text or bytes in a table: taken, or named with file and line."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.faults import assert_names_file_and_line
from tests.sources.nih.published import BOX_ROWS, ROWS, with_options

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(line=st.integers(0, 3), column=st.integers(0, 6), cell=_text)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_in_a_cell_is_taken_or_named_with_file_and_line(write_nih, spec, line, column, cell):
    rows = [one.split(",") for one in ROWS]
    rows[line][column] = cell
    root = write_nih([",".join(one) for one in rows])
    table = root / "Data_Entry_2017.csv"
    try:
        scan = SOURCE.scan(root, with_options(spec, absent_bound=0.5))
    except DataDefect as error:
        assert_names_file_and_line(error, table)
    else:
        assert len(scan.records) + len(scan.refusals) == 4
        for one in scan.records:
            assert 0 <= one.age_years <= 120 or one.age_years != one.age_years


@given(line=st.integers(0, 2), column=st.integers(0, 5), cell=_text)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_in_a_cell_of_the_boxes_is_taken_or_named_with_file_and_line(write_nih, spec, line, column, cell):
    boxes = [one.split(",") for one in BOX_ROWS]
    boxes[line][column] = cell
    root = write_nih(boxes=[",".join(one) for one in boxes])
    try:
        scan = SOURCE.scan(root, spec)
    except DataDefect as error:
        assert_names_file_and_line(error, root / "BBox_List_2017.csv")
    else:
        assert len(scan.records) == 4
        for box in (box for one in scan.records for box in one.boxes):
            assert 0 <= box.x < box.x + box.width <= 1024 and 0 <= box.y < box.y + box.height <= 1024


_TABLES = ["Data_Entry_2017.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"]


@given(file=st.sampled_from(_TABLES), data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_in_a_table_are_taken_or_named_with_file_and_line(write_nih, spec, file, data):
    path = write_nih() / file
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 20)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=12)) + content[end:])
    try:
        scan = SOURCE.scan(path.parent, with_options(spec, absent_bound=0.5))
    except DataDefect as error:
        # A name that is now in both lists is told at the second of them.
        is_in_both = "is in train_val_list.txt too" in str(error)
        assert_names_file_and_line(error, path.with_name("test_list.txt") if is_in_both else path)
    else:
        assert scan.records
