from __future__ import annotations

import math

import pytest
from pydicom.dataset import Dataset

from cxr_tasks.images.dicom import DicomRefused, patient_hash, read_dicom
from cxr_tasks.images.dicom.views import view_of
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from tests.images.dicom.files import dicom_file

# pydicom warns where a test writes what real files hold against the standard.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_the_header_in_our_words():
    header = read_dicom(dicom_file()).header
    assert (header.view, header.sex, header.age_years) == ("pa", "female", 71.0)
    assert (header.modality, header.body_part) == ("DX", "CHEST")


def test_ids_leave_as_keyed_hashes_alike_for_alike_ids_only():
    one, same, other = (
        read_dicom(dicom_file(PatientID=name)).header for name in ("PAT-4711", " PAT-4711 ", "PAT-4712")
    )
    assert one.patient_id == same.patient_id == patient_hash("PAT-4711") == patient_hash(" PAT-4711 ")
    assert one.patient_id != other.patient_id
    assert one.study_id == other.study_id != one.patient_id
    assert one.patient_id == patient_key("PAT-4711", salt="dicom patient", secret=patient_secret())


def test_a_patient_id_like_a_study_uid_does_not_give_the_same_hash():
    header = read_dicom(dicom_file(PatientID="1.2.3", StudyInstanceUID="1.2.3")).header
    assert header.patient_id != header.study_id


@pytest.mark.parametrize("patient", [None, "", "  "])
def test_a_file_without_a_patient_is_refused_unless_its_source_knows_him(patient, refusal):
    content = dicom_file(PatientID=patient)
    assert refusal(content).reason == "no_patient"
    assert read_dicom(content, patient_required=False).header.patient_id == ""


def test_a_file_without_a_study_has_no_study_id():
    assert read_dicom(dicom_file(StudyInstanceUID=None)).header.study_id == ""


@pytest.mark.parametrize("modality", ["CR", "DX", "DR", "RG", "dx"])
def test_radiographs_pass(modality):
    assert read_dicom(dicom_file(Modality=modality)).header.modality == modality.upper()


@pytest.mark.parametrize(
    ("modality", "told"), [("CT", "found CT"), ("MG", "found MG"), (None, "found none"), ("JANE DOE", "found another")]
)
def test_other_modalities_are_refused(modality, told, refusal):
    why = refusal(dicom_file(Modality=modality))
    assert why.reason == "wrong_modality"
    assert told in why.detail


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"BodyPartExamined": "KNEE"}, "wrong_body_part"),
        ({"BurnedInAnnotation": "YES"}, "burnt_in_annotation"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "not_for_presentation"),
    ],
)
def test_pictures_that_may_not_be_used(elements, reason, refusal):
    assert refusal(dicom_file(**elements)).reason == reason


def test_a_picture_said_to_be_free_of_annotations_passes():
    read_dicom(dicom_file(BurnedInAnnotation="NO", PresentationIntentType="FOR PRESENTATION"))


def header(code=None, **elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if code:
        item = Dataset()
        item.CodeValue = code
        dataset.ViewCodeSequence = [item]
    return dataset


@pytest.mark.parametrize(
    ("dataset", "view"),
    [
        (header(ViewPosition="PA"), "pa"),
        (header(ViewPosition="AP"), "ap"),
        (header(ViewPosition="LL"), "lateral"),
        (header(ViewPosition="RL"), "lateral"),
        (header(ViewPosition="LATERAL"), "lateral"),
        (header(ViewPosition="RLD"), "unknown"),  # lying on a side: frontal, either way
        (header(ViewPosition="", code="272479007"), "pa"),
        (header(code="R-10206"), "ap"),
        (header(code="399173006"), "lateral"),
        (header(ViewPosition="PA", code="399348003"), "pa"),  # the position is believed first
        (header(PatientOrientation=["A", "F"]), "lateral"),
        (header(PatientOrientation=["P", "F"]), "lateral"),
        (header(PatientOrientation=["L", "F"]), "unknown"),  # PA and AP are hung alike
        (header(PatientOrientation=None), "unknown"),
        (header(), "unknown"),
    ],
)
def test_views(dataset, view):
    assert view_of(dataset) == view


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": "LEFT LATERAL"}, "lateral"),
        ({"ViewPosition": "L LAT"}, "lateral"),
        ({"ViewPosition": "LLD"}, "unknown"),  # lying on the left side, seen from the front
        ({"SeriesDescription": "W034 Chest LAT"}, "lateral"),
        ({"SeriesDescription": "Thorax seitlich"}, "lateral"),
        ({"ProtocolName": "ChestLat"}, "lateral"),
        ({"ProtocolName": "Thorax de profil"}, "lateral"),
        ({"BodyPartExamined": "CHEST LAT"}, "lateral"),
        ({"AcquisitionDeviceProcessingDescription": "CHEST,LATERAL,"}, "lateral"),
        ({"SeriesDescription": "胸部 側面", "SpecificCharacterSet": "ISO_IR 192"}, "lateral"),
        ({"SeriesDescription": "Chest PA + LAT"}, "unknown"),
        ({"SeriesDescription": "left lateral decubitus"}, "unknown"),
        ({"SeriesDescription": "Chest PA", "ProtocolName": "Chest LAT"}, "unknown"),  # the nearer text first
        ({"SeriesDescription": "bilateral infiltrates"}, "unknown"),
        ({"StudyDescription": "Chest LAT"}, "unknown"),  # of all pictures of the study
        ({"ViewPosition": "PA", "SeriesDescription": "Chest LAT"}, "pa"),  # its own element is believed
        ({"ViewPosition": "LAO", "SeriesDescription": "Chest LAT"}, "unknown"),
    ],
)
def test_the_lateral_view_is_known_by_words_where_its_element_does_not_tell(elements, view):
    header = read_dicom(dicom_file(**{"ViewPosition": None, **elements})).header
    assert header.view == view


@pytest.mark.parametrize(
    ("written", "years"),
    [("071Y", 71), ("006M", 0.5), ("000D", 0), ("81", 81), ("1Y", 1), ("120Y", 120), (" 045y ", 45)],
)
def test_ages(written, years):
    assert read_dicom(dicom_file(PatientAge=written)).header.age_years == pytest.approx(years)


@pytest.mark.parametrize("written", ["", "121Y", "999Y", "Y", "-1Y", "1234Y", "71 years", "19521103"])
def test_what_is_no_age_is_not_told(written):
    assert math.isnan(read_dicom(dicom_file(PatientAge=written)).header.age_years)


def test_the_date_of_birth_does_not_give_an_age():
    assert math.isnan(read_dicom(dicom_file(PatientAge=None, PatientBirthDate="19521103")).header.age_years)


@pytest.mark.parametrize(("written", "sex"), [("M", "male"), ("F", "female"), ("O", "unknown"), (None, "unknown")])
def test_sexes(written, sex):
    assert read_dicom(dicom_file(PatientSex=written)).header.sex == sex


def test_a_refusal_can_be_sent_from_one_process_to_another():
    import pickle

    why = DicomRefused("damaged", "what came", "what to do")
    copy = pickle.loads(pickle.dumps(why))
    assert (copy.reason, copy.detail, copy.action, str(copy)) == ("damaged", "what came", "what to do", str(why))
