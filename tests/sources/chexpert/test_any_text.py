"""Any cell, any damage: read, or named with file and line; and the shipped recipe."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.sources.chexpert.source import SOURCE
from tests.sources.chexpert.scanning import FIRST, scan
from tests.sources.chexpert_files import SMALL, Chexpert, default_train, default_valid, write_table
from tests.sources.faults import assert_names_file_and_line


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(Chexpert.columns),
    cell=st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=40),
        st.floats(allow_nan=True).map(str),
        st.sampled_from(["1.0", "0", "-1", "Male", "AP", '"', "a,b", "x\ny", "\0", "\ufeff", f"{SMALL}/{FIRST}"]),
    ),
)
def test_any_cell_is_read_or_named_with_file_and_line(tmp_path, column, cell):
    root = tmp_path if (tmp_path / SMALL).exists() else Chexpert().write(tmp_path)
    rows = default_train()
    rows[1][column] = cell
    write_table(root / SMALL / "train.csv", Chexpert.columns, rows)
    try:
        found = scan(root, absent_bound=1)
    except DataDefect as error:
        assert_names_file_and_line(error, root / SMALL / "train.csv")
    else:
        assert len(found.records) + len(found.refusals) >= 3


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["train.csv", "valid.csv"]),
    place=st.integers(0, 900),
    damage=st.binary(min_size=1, max_size=8),
)
def test_any_damage_to_the_bytes_of_a_table_is_read_or_named(tmp_path, name, place, damage):
    root = tmp_path if (tmp_path / SMALL).exists() else Chexpert().write(tmp_path)
    write_table(root / SMALL / "train.csv", Chexpert.columns, default_train())
    write_table(root / SMALL / "valid.csv", Chexpert.columns, default_valid())
    table = root / SMALL / name
    whole = table.read_bytes()
    table.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    try:
        scan(root, absent_bound=1)
    except DataDefect as error:
        assert_names_file_and_line(error, table)


def test_the_shipped_recipe_asks_for_this_source_and_options_it_knows(tmp_path):
    recipe = load_recipe("chexpert_cnn")
    found = SOURCE.scan(Chexpert().write(tmp_path), recipe.dataset)
    assert recipe.dataset.root_env == "CXR_CHEXPERT_ROOT"
    assert tuple(found.records[0].states) == recipe.findings
