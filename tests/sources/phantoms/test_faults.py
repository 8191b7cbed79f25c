"""Every fault in every layout: planted where ``planted.json`` says, and ended by the parts that must end it."""

from __future__ import annotations

import math
import os
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.sources.base import Refusal
from cxr_tasks.sources.phantoms.faults.faults import FAULTS, checked_faults, plant_faults
from cxr_tasks.sources.phantoms.faults.planting import Ground
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from tests.ingest.inspected_files import inspect_file

EVERY = [(layout, name) for layout in LAYOUTS for name, fault in FAULTS.items() if layout in fault.layouts]
#: Those that a scan survives and that single files show.
READABLE = [(layout, name) for layout, name in EVERY if not FAULTS[name].end(layout).startswith("error")]
#: What the notes of a scan say of what is ignored; {} stands for the name.
NOTED_AS = {"litter": "{}", "unlisted": " row ", "linked_folder": "ignored 1 x linked folders"}


def planted_of(drawn, name):
    return [row for row in drawn.planted if row["fault"] == name]


@pytest.fixture
def records(draw_faulty):
    """What the source says of each image of the faulty set of a layout."""
    known = {}

    def find(layout):
        if layout not in known:
            scan = draw_faulty(layout).scan()
            known[layout] = SimpleNamespace(
                root=scan.root,
                records={record.image_id: record for record in scan.records},
                refusals={one.image_id: one for one in scan.refusals},
                notes=scan.notes,
            )
        return known[layout]

    return find


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_fault_is_recorded_with_where_it_ends(draw_faulty, layout):
    drawn = draw_faulty(layout)
    asked = {name for one, name in READABLE if one == layout}
    counts = Counter(row["fault"] for row in drawn.planted)
    assert set(counts) == asked
    assert {count for name, count in counts.items() if not FAULTS[name].is_of_all} == {1}
    assert all(row["ends"] == FAULTS[row["fault"]].end(layout) for row in drawn.planted)


@pytest.mark.parametrize(("layout", "name"), READABLE)
def test_a_fault_ends_where_its_table_says(draw_faulty, records, cxr_home, layout, name):
    drawn, found = draw_faulty(layout), records(layout)
    for row in planted_of(drawn, name):
        kind, _, value = row["ends"].partition(":")
        image_id = row["image_id"]
        if kind == "ignored":
            # Nothing inside it either, where it is a folder.
            assert not [one for one in (*found.records, *found.refusals) if f"{one}/".startswith(f"{image_id}/")]
            words = NOTED_AS[name].format(image_id.rpartition("/")[2])
            assert [note for note in found.notes if words in note], found.notes
            continue
        refusal = found.refusals.get(image_id) or found.refusals.get(image_id.rpartition("/")[2])
        if kind == "quarantine":
            if name == "unreadable" and os.access(drawn.folder / image_id, os.R_OK):
                pytest.skip("this user may read every file, whatever its permissions")
            ended = refusal or inspect_file(found.root, image_id)
            assert isinstance(ended, Refusal), ended
            assert ended.reason == value
            continue
        assert refusal is None
        record, inspected = found.records[image_id], inspect_file(found.root, image_id)
        assert not isinstance(inspected, Refusal), inspected
        if kind == "flag":
            assert value in inspected.flags.split(",")
        elif kind == "column":
            column, _, expected = value.partition("=")
            got = getattr(inspected, column) if hasattr(inspected, column) else getattr(record, column)
            assert math.isnan(got) if expected == "nan" else str(got) == expected
        elif row["twin"]:
            assert row["twin"] in found.records


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_image_without_a_fault_is_lost(draw_faulty, records, cxr_home, layout):
    drawn, found = draw_faulty(layout), records(layout)
    broken = {row["image_id"] for row in drawn.planted if not FAULTS[row["fault"]].is_of_all}
    whole = [
        file.image_id
        for file in drawn.files
        if file.image_id not in broken and not file.request.is_lateral and (drawn.folder / file.image_id).exists()
    ]
    assert len(whole) > 60
    assert set(whole) <= set(found.records)
    assert not [one for one in whole if isinstance(inspect_file(found.root, one), Refusal)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_have_the_pixels_of_their_twins_or_nearly(draw_faulty, records, cxr_home, layout):
    from cxr_tasks.images.duplicates import HASH_BITS, NEAR_BITS

    drawn, root = draw_faulty(layout), records(layout).root

    def both(name):
        row = planted_of(drawn, name)[0]
        return inspect_file(root, row["image_id"]), inspect_file(root, row["twin"])

    copy, original = both("duplicate_across_splits")
    assert copy.pixel_hash == original.pixel_hash
    near, original = both("near_duplicate")
    assert near.pixel_hash != original.pixel_hash
    bits = (int(near.perceptual_hash, 16) ^ int(original.perceptual_hash, 16)).bit_count()
    assert bits <= NEAR_BITS < HASH_BITS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_cross_the_split_and_a_patient_does_so_with_its_own_images(draw_faulty, records, layout):
    drawn, found = draw_faulty(layout), records(layout).records
    for name in ("duplicate_across_splits", "near_duplicate"):
        row = planted_of(drawn, name)[0]
        assert (found[row["twin"]].official_split, found[row["image_id"]].official_split) == ("train", "test")
    row = planted_of(drawn, "patient_across_splits")[0]
    moved, other = found[row["image_id"]], found[row["twin"]]
    assert moved.patient_id == other.patient_id
    assert (moved.official_split, other.official_split) == ("train", "test")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_patients_are_in_one_split_where_nothing_is_planted(draw, cxr_home, layout):
    # In DICOM only the file tells the patient; there the plan is asked.
    drawn = draw(layout)
    splits: dict[object, set[str]] = {}
    for record in drawn.scan().records:
        patient = record.patient_id or drawn.by_id[record.image_id].request.patient
        splits.setdefault(patient, set()).add(record.official_split)
    assert set(Counter(len(one) for one in splits.values())) == {1}


@pytest.mark.parametrize(("layout", "name"), [one for one in EVERY if FAULTS[one[1]].end(one[0]).startswith("error")])
def test_a_fault_that_ends_the_scan_is_named_with_file_and_row(draw, layout, name):
    drawn = draw(layout, {name: 1})
    words = FAULTS[name].end(layout).removeprefix("error:")
    with pytest.raises(DataDefect, match=words) as caught:
        drawn.scan()
    assert ".csv, line " in str(caught.value)


@pytest.mark.parametrize(
    ("faults", "layout", "message"),
    [
        ({"zero_byte": 1}, "nih", "'zero_byte' is not known; did you mean 'zero_bytes'"),
        ({"wrong_body_part": 1}, "nih", "'wrong_body_part' is not one of layout 'nih'; it is of: dicom"),
        ({"cmyk": 1}, "dicom", "'cmyk' is not one of layout 'dicom'; it is of: kermany, nih, chexpert"),
        ({"tiny": "two"}, "kermany", "faults.tiny: expected a count from 0 to 1000 .*, found 'two'"),
        ({"tiny": -1}, "kermany", "found -1"),
        ({"tiny": 1.5}, "kermany", "found 1.5"),
    ],
)
def test_what_cannot_be_planted_is_named(faults, layout, message):
    with pytest.raises(ConfigurationError, match=message):
        checked_faults(faults, layout)


def test_counts_are_taken_as_they_are_and_zero_is_nothing():
    assert checked_faults({"tiny": 3, "blank": 0}, "kermany") == {"tiny": 3}


def test_faults_of_all_images_come_before_those_of_single_ones():
    asked = {"tiny": 3, "size_shortcut": True, "mode_shortcut": True}
    assert list(checked_faults(asked, "kermany").items()) == [("mode_shortcut", 1), ("size_shortcut", 1), ("tiny", 3)]


def test_more_faults_than_images_are_refused_by_name(tmp_path):
    options = SyntheticOptions(n_images=30, size_px=96, layout="kermany")
    ground = Ground(
        layout="kermany", folder=tmp_path, files=LAYOUTS["kermany"].plan(options), rng=np.random.default_rng(0)
    )
    with pytest.raises(ConfigurationError, match="30 more untouched images of train are needed"):
        plant_faults(ground, {"zero_bytes": 30})


def test_every_fault_says_what_it_does_and_how_it_ends():
    kinds = {"quarantine", "flag", "expectation", "shortcut", "one_split", "column", "usable", "ignored", "error"}
    for name, fault in FAULTS.items():
        assert fault.what, name
        assert {fault.end(layout).partition(":")[0] for layout in fault.layouts} <= kinds
        assert set(fault.ends_in) <= set(fault.layouts) <= set(LAYOUTS)
