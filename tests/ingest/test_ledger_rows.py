from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from cxr_tasks.ingest.inspection.inspect import HeaderFacts, Inspection, Opened
from cxr_tasks.ingest.inspection.opening import FileState
from cxr_tasks.ingest.ledger_rows import VERSION, entries_of, entry_of, keyed_version, read_found
from cxr_tasks.installation.storage.paths import secrets_root
from cxr_tasks.sources.base import Refusal
from tests.ingest.inspected_files import inspect_file


@pytest.fixture
def root(tmp_path, cxr_home, picture):
    picture(1).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"<html>")
    return tmp_path


def read_one(entry):
    """What ``read_found`` says of one entry, as it was found."""
    found = read_found([entry])
    if found.refusals:
        return found.refusals[0]
    return Inspection(**{name: values[0] for name, values in found.held.items()}, header=found.headers.get(0))


def test_what_is_read_back_is_what_was_found(root):
    good, bad, gone = entries_of([(str(root), name, "") for name in ("good.png", "bad.png", "gone.png")])
    assert read_one(good) == inspect_file(root, "good.png")
    assert read_one(bad) == inspect_file(root, "bad.png")
    assert read_one(gone).reason == "missing_file"
    assert (good.version, bad.version) == (VERSION, VERSION)
    assert good.size_bytes == (root / "good.png").stat().st_size
    assert bad.is_lasting
    assert not gone.is_lasting


def test_bytes_as_expected_are_told_by_an_empty_finding(root):
    first = entries_of([(str(root), "good.png", "")])[0]
    again = entries_of([(str(root), "good.png", first.file_sha256)])[0]
    assert again == first._replace(found="")


@pytest.mark.parametrize("age_years", [41.5, float("nan")])
def test_header_facts_are_kept_and_bound_to_the_key_of_their_hashes(root, age_years):
    plain = inspect_file(root, "good.png")
    header = HeaderFacts(patient_id="h", study_id="s", view="pa", sex="male", age_years=age_years)
    found = dataclasses.replace(plain, header=header)
    entry = entry_of(Opened("good.png", FileState(1, 2), "0" * 64, found))
    read = read_one(entry)
    assert isinstance(read, Inspection)
    assert repr(read) == repr(found)  # NaN is not equal to itself
    assert entry.version == keyed_version() != VERSION
    (secrets_root() / "patient_key").unlink()
    assert entry.version != keyed_version()


def test_a_text_of_a_refusal_may_hold_anything(root):
    refusal = Refusal(image_id="x", reason="damaged", detail='quote " and \u2603 and \0', action="\n")
    assert read_one(entry_of(Opened("x", None, "", refusal))) == refusal


def test_statistics_survive_to_the_last_bit(root):
    Image.effect_noise((333, 217), 60).save(root / "odd.png")
    assert read_one(entries_of([(str(root), "odd.png", "")])[0]) == inspect_file(root, "odd.png")


def test_usable_files_come_as_columns_with_their_places(root):
    names = ["bad.png", "good.png", "gone.png", "good.png"]
    found = read_found(entries_of([(str(root), name, "") for name in names]))
    assert found.places == [1, 3]
    assert found.held["file_format"] == ("PNG", "PNG")
    assert [one.image_id for one in found.refusals] == ["bad.png", "gone.png"]
    assert found.headers == {}


def test_nothing_usable_has_all_columns_empty():
    found = read_found([])
    assert set(found.held.values()) == {()}
    assert (found.places, found.refusals) == ([], [])
