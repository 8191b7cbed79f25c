"""A structured report by template TID 1500 (PS3.16), "Measurement Report": numbers of a model, and no diagnosis."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.explain.dicom.subject import MANUFACTURER, STATEMENT, Subject, finished
from serving.client import Answer

#: Coding scheme of this platform (PS3.16, chapter 8: private designators begin with 99). A finding here is the name of
#: a model's output, which a code of SNOMED CT for the disease would make a statement of the disease.
SCHEME = "99CXRPLATFORM"
SERIES_NUMBER = 9901


def structured_report(answer: Answer, subject: Subject) -> Any:
    """A Comprehensive SR: for each finding the probability and whether it reaches the operating point.

    Unverified and not final: nobody has looked at it.
    """
    from highdicom.sr import (
        CodedConcept,
        ComprehensiveSR,
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from highdicom.uid import UID
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=UID(), name=subject.speaker[:64], manufacturer_name=MANUFACTURER, model_name=subject.model
    )
    context = ObservationContext(
        observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    )
    groups = [_group(answer, place, subject) for place in range(len(answer.labels))]
    if answer.typicality is not None:
        groups.append(_typicality(answer, subject))
    report = MeasurementReport(
        observation_context=context,
        procedure_reported=CodedConcept("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    made = ComprehensiveSR(
        evidence=[subject.header],
        content=report[0],
        series_instance_uid=UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "Outputs of the models of cxr-platform"
    made.CodingSchemeIdentificationSequence = [*made.get("CodingSchemeIdentificationSequence", ()), scheme]
    made.ManufacturerModelName = subject.speaker[:64]
    made.CompletionFlagDescription = STATEMENT[:64]
    return finished(made, f"{subject.speaker}: research output, not a diagnosis")


def _group(answer: Answer, place: int, subject: Subject) -> Any:
    from highdicom.sr import CodedConcept, Measurement, QualitativeEvaluation
    from pydicom.sr.codedict import codes

    finding = answer.labels[place]
    probability = Measurement(
        name=CodedConcept("111012", "DCM", "Certainty of Finding"),
        value=round(100 * answer.probabilities[place], 2),
        unit=codes.UCUM.Percent,
    )
    reaches = QualitativeEvaluation(
        name=CodedConcept("at_operating_point", SCHEME, "Probability at or above the model's operating point"),
        value=codes.SCT.Yes if answer.decisions[place] else codes.SCT.No,
    )
    return _measured(
        CodedConcept(finding, SCHEME, f"Model output: {display_name(finding)}"),
        finding,
        [probability],
        [reaches],
        subject,
    )


def _typicality(answer: Answer, subject: Subject) -> Any:
    from highdicom.sr import CodedConcept, Measurement, QualitativeEvaluation
    from pydicom.sr.codedict import codes

    measured = Measurement(
        name=CodedConcept("typicality", SCHEME, "Likeness to the images of training"),
        value=round(float(answer.typicality or 0.0), 4),
        unit=codes.UCUM.NoUnits,
    )
    unusual = QualitativeEvaluation(
        name=CodedConcept("is_unusual", SCHEME, "Unlike the images of training: not to be relied on"),
        value=codes.SCT.Yes if answer.is_unusual else codes.SCT.No,
    )
    name = CodedConcept("typicality", SCHEME, "Model output: likeness to training")
    return _measured(name, "typicality", [measured], [unusual], subject)


def _measured(name: Any, identifier: str, measurements: list[Any], evaluations: list[Any], subject: Subject) -> Any:
    from highdicom.sr import (
        AlgorithmIdentification,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )
    from highdicom.uid import UID

    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=UID(), identifier=f"{subject.model} {identifier}"),
        finding_type=name,
        algorithm_id=AlgorithmIdentification(
            name=subject.model,
            version=str(subject.version if subject.version is not None else "not known"),
            parameters=[STATEMENT],
        ),
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[SourceImageForMeasurementGroup(subject.header.SOPClassUID, subject.header.SOPInstanceUID)],
    )
