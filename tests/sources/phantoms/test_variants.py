"""Each other form of a layout, drawn and read by its source: same images, labels and splits as in the usual form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.shapes import build
from cxr_tasks.images.dicom import read_dicom
from cxr_tasks.sources.phantoms.layouts.options import VARIANTS, SyntheticOptions

#: Together where they are about different things, as they are found.
DRAWN = [
    ("kermany", "no_val"),
    ("kermany", "unsplit"),
    ("nih", "table_2020"),
    ("nih", "ages_with_unit"),
    ("nih", "many_folders"),
    ("nih", "table_2020", "many_folders"),
    ("nih", "ages_with_unit", "many_folders"),
    ("chexpert", "full_size"),
    ("dicom", "jpeg2000"),
    ("dicom", "jpeg_lossless"),
]


def usual_form(layout, image_id):
    """The id without the folders in which a variant of the layout may differ."""
    if layout == "kermany":
        return "/".join(image_id.split("/")[-2:])
    return image_id.rpartition("/")[2] if layout == "nih" else image_id


def refused(scan):
    """What is refused but for views from the side, which CheXpert's layout has."""
    return [one for one in scan.refusals if one.reason != "lateral_view"]


def records_of(drawn):
    scan = drawn.scan()
    assert refused(scan) == []
    records = {usual_form(drawn.options.layout, one.image_id): one for one in scan.records}
    assert len(records) == len(scan.records)
    return records


def test_every_variant_is_drawn_here():
    assert {(layout, one) for layout, *some in DRAWN for one in some} == {
        (layout, one) for layout, known in VARIANTS.items() for one in known
    }


@pytest.mark.parametrize(("layout", "variants"), [(one[0], one[1:]) for one in DRAWN])
def test_a_variant_is_read_as_the_usual_form_is(draw, layout, variants):
    drawn, usual = draw(layout, None, *variants), draw(layout)
    found, expected = records_of(drawn), records_of(usual)
    assert found.keys() == expected.keys()
    # What the folder says of a split is said by these variants in another way, or not at all.
    splits = {"no_val": {"validation": "train"}, "unsplit": dict.fromkeys(("train", "validation", "test"), "")}
    renamed = splits.get(variants[0], {})
    for name, record in found.items():
        was = expected[name]
        same = dataclasses.replace(
            was,
            image_id=record.image_id,
            # In the Kermany layout every image is a study of its own.
            study_id=record.image_id if layout == "kermany" else was.study_id,
            official_split=renamed.get(was.official_split, was.official_split),
        )
        # As text: an age that is not known is not equal to itself in every version of Python.
        assert repr(record) == repr(same)
    assert {one.image_id for one in drawn.files} == {
        path.relative_to(drawn.folder).as_posix()
        for path in drawn.folder.rglob("*")
        if path.is_file() and path.suffix in {".jpeg", ".jpg", ".png", ".dcm"}
    }


def test_what_is_on_disk_has_the_form_asked_for(draw):
    places = {file.image_id.split("/")[0] for file in draw("kermany", None, "no_val").files}
    assert places == {"train", "test"}
    assert {file.image_id.split("/")[0] for file in draw("kermany", None, "unsplit").files} == {"NORMAL", "PNEUMONIA"}
    nih = draw("nih", None, "table_2020", "many_folders")
    assert {file.image_id.rpartition("/")[0] for file in nih.files} == {f"images_{i:03d}/images" for i in range(1, 13)}
    assert not (nih.folder / "Data_Entry_2017.csv").exists()
    header = (nih.folder / "Data_Entry_2017_v2020.csv").read_text().partition("\n")[0]
    assert "Patient Sex" in header.split(",")
    ages = (draw("nih", None, "ages_with_unit").folder / "Data_Entry_2017.csv").read_text().splitlines()[1:]
    assert all(len(age) == 4 and age.endswith("Y") for age in (line.split(",")[4] for line in ages))
    full = draw("chexpert", None, "full_size").folder
    assert full.name == "CheXpert-v1.0"
    assert (full / "train.csv").read_text().splitlines()[1].startswith("CheXpert-v1.0/train/")


@pytest.mark.parametrize("variant", VARIANTS["dicom"])
def test_compressed_pixels_are_those_of_the_usual_form(draw, cxr_home, variant):
    drawn, usual = draw("dicom", None, variant), draw("dicom")
    for image_id in list(drawn.by_id)[:12]:
        packed, plain = (read_dicom((one.folder / image_id).read_bytes()) for one in (drawn, usual))
        assert np.array_equal(packed.pixels, plain.pixels)
        assert packed.header == plain.header


@pytest.mark.parametrize(
    ("layout", "variants", "faults"),
    [
        ("nih", ("table_2020", "ages_with_unit", "many_folders"), ("unlisted", "bad_age", "absent", "path_outside")),
        ("chexpert", ("full_size",), ("unlisted", "absent", "patient_across_splits")),
        ("kermany", ("no_val",), ("tiny", "linked_folder", "patient_across_splits")),
        ("kermany", ("unsplit",), ("tiny", "linked_folder", "size_shortcut")),
        ("dicom", ("jpeg2000",), ("truncated", "duplicate_across_splits", "unlisted")),
    ],
)
def test_faults_are_planted_in_variants_too(draw, layout, variants, faults):
    drawn = draw(layout, dict.fromkeys(faults, 1), *variants)
    assert {row["fault"] for row in drawn.planted} == set(faults)
    scan = drawn.scan(**({} if layout == "kermany" else {"absent_bound": 0.2}))
    found = {record.image_id: record for record in scan.records}
    # NIH's lists name a file that is not there without its folder.
    reasons = {one.image_id.rpartition("/")[2]: one.reason for one in refused(scan)}
    n_refused = 0
    for row in drawn.planted:
        if row["ends"] in {"quarantine:absent", "quarantine:no_label"}:
            assert reasons[row["image_id"].rpartition("/")[2]] == row["ends"].partition(":")[2]
            n_refused += 1
        else:
            assert (row["image_id"] in found) == (row["ends"] != "ignored")
        if row["fault"] == "bad_age":
            assert np.isnan(found[row["image_id"]].age_years)
    assert len(reasons) == n_refused


def test_nothing_is_held_out_where_nothing_is_split(draw):
    with pytest.raises(ConfigurationError, match="1 more untouched images of test are needed, 0 are left"):
        draw("kermany", {"duplicate_across_splits": 1}, "unsplit")


@pytest.mark.parametrize(
    ("layout", "variants", "message"),
    [
        ("nih", ("table_2021",), "'table_2021' is not one of layout 'nih'; did you mean 'table_2020'"),
        ("chexpert", ("unsplit",), "'unsplit' is not one of layout 'chexpert'; known: full_size"),
        ("kermany", ("no_val", "unsplit"), "'no_val' and 'unsplit' exclude each other"),
        ("dicom", ("jpeg2000", "jpeg_lossless"), "exclude each other"),
    ],
)
def test_variants_that_cannot_be_are_named(layout, variants, message):
    with pytest.raises(ConfigurationError, match=message):
        SyntheticOptions(layout=layout, variants=variants)


def test_a_recipe_asks_for_variants_by_a_list():
    options = build(SyntheticOptions, {"layout": "nih", "variants": ["table_2020", "many_folders"]}, "options")
    assert options.variants == ("table_2020", "many_folders")
