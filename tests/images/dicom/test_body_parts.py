from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from cxr_tasks.images.dicom import DicomRefused
from cxr_tasks.images.dicom.body_parts import check_body_part

# pydicom warns where a test writes what real files hold against the standard.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def header(region=None, **elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if region:
        item = Dataset()
        item.CodeValue = region
        dataset.AnatomicRegionSequence = [item]
    return dataset


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("CHEST", "CHEST"),
        ("Thorax", "THORAX"),
        ("chest p.a.", "CHEST"),
        ("PORT CHEST 1 VIEW", "CHEST"),
        ("CHEST_PA", "CHEST"),
        ("LUNG", "LUNG"),
        ("UPPER RIBS", "RIBS"),
        ("TÓRAX", "TORAX"),
        ("CHEST X-RAY", "CHEST"),  # and the others of cases/dicom_body_parts
        ("CHEST AP ONLY", "CHEST"),
        ("CHEST ROUTINE", "CHEST"),
        ("THORAX_TP", "THORAX"),
        ("CHEST SINGLE VIEW", "CHEST"),
        ("CHESTPA", "CHEST"),
        ("PECHO", "PECHO"),
        ("T?RAX", "TORAX"),
        ("TÒRAX", "TORAX"),
        ("2- TORAX", "TORAX"),
        ("CHEST DECUBITUS", "CHEST"),
        ("CHEST MILLER", "CHEST"),  # words that are not known beside it are passed over, and not told on
        ("PORTCHESTAP2", "CHEST"),
        ("Klatka piersiowa", "KLATKA PIERSIOWA"),
        ("Płuca", "PLUCA"),
        ("Göğüs", "GOGUS"),
        ("грудная клетка", "ГРУДНАЯ"),
        ("ΘΩΡΑΚΑΣ", "ΘΩΡΑΚΑΣ"),
        ("胸部正位", "胸"),
        ("흉부", "흉부"),
        ("", ""),  # not told
        ("UNKNOWN", ""),
        ("LEFT", ""),
    ],
)
def test_chests_pass(written, told):
    assert check_body_part(header(BodyPartExamined=written)) == told


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("EXTREMITY", "EXTREMITY"),
        ("KNEE", "KNEE"),
        ("LEFT HAND", "HAND"),
        ("CHEST ABDOMEN", "ABDOMEN CHEST"),  # another picture than a chest X-ray
        ("CHESTABDOMEN", "ABDOMEN CHEST"),
        ("COLUMNA TORACICA", "COLUMNA TORACICA"),
        ("THORACIC SPINE", "SPINE THORACIC"),
        ("BRUSTWIRBELSAULE", "one not known here"),
        ("Rodilla izquierda", "RODILLA"),
        ("胸椎", "椎 胸"),
        ("ROD?LLA", "RODILLA"),
        ("TSPINE", "TSPINE"),
        ("MILLER JOHN", "one not known here"),  # what is no word for a part is not told on
    ],
)
def test_others_are_refused_and_only_known_words_are_told(written, told):
    with pytest.raises(DicomRefused, match=f"the body part says: {told}$|says: {told};") as caught:
        check_body_part(header(BodyPartExamined=written))
    assert caught.value.reason == "wrong_body_part"


@pytest.mark.parametrize(
    ("written", "charset", "told"),
    [
        ("TÓRAX", "latin-1", "TORAX"),
        ("TÓRAX", "utf-8", "TORAX"),
        ("TÓRAX", "cp850", "TORAX"),
        ("胸部", "gbk", "胸"),
        ("胸部", "shift_jis", "胸"),
        ("胸部", "utf-8", "胸"),
        ("흉부", "euc_kr", "흉부"),
        ("ГРУДНАЯ КЛЕТКА", "cp1251", "ГРУДНАЯ"),
        ("ГРУДНАЯ КЛЕТКА", "iso8859_5", "ГРУДНАЯ"),
        ("PŁUCA", "cp1250", "PLUCA"),
    ],
)
def test_bytes_of_a_file_are_read_in_the_charset_in_which_they_say_something(written, charset, told):
    dataset = Dataset()
    dataset[0x00180015] = RawDataElement(BaseTag(0x00180015), "CS", 0, written.encode(charset), 0, False, True)
    assert check_body_part(dataset) == told


def test_a_description_helps_a_body_part_that_is_not_known():
    assert check_body_part(header(BodyPartExamined="MILLER", SeriesDescription="Chest PA")) == "CHEST"


@pytest.mark.parametrize("code", ["816094009", "51185008", "T-D3000", "39607008"])
def test_the_code_of_the_region_tells_where_the_body_part_does_not(code):
    assert check_body_part(header(region=code)) == ""


def test_another_region_is_refused():
    with pytest.raises(DicomRefused, match="anatomic region"):
        check_body_part(header(region="72696002"))  # knee


def test_the_body_part_is_believed_before_the_code():
    assert check_body_part(header(region="72696002", BodyPartExamined="CHEST")) == "CHEST"


@pytest.mark.parametrize(
    ("elements", "is_refused"),
    [
        ({"StudyDescription": "XR KNEE LEFT 2 VIEWS"}, True),
        ({"AcquisitionDeviceProcessingDescription": "[LOWER LEG         ]"}, True),
        ({"SeriesDescription": "Thorax p.a.", "StudyDescription": "Hand and thorax"}, False),  # nearer to the picture
        ({"StudyDescription": "Fall on right hip, chest pain"}, False),  # names a chest among others
        ({"StudyDescription": "No Finding"}, False),
        ({}, False),
    ],
)
def test_descriptions_tell_where_nothing_else_does(elements, is_refused):
    if is_refused:
        with pytest.raises(DicomRefused, match="a description says: (KNEE|LEG)"):
            check_body_part(header(**elements))
    else:
        check_body_part(header(**elements))
