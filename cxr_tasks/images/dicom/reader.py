"""From bytes to the few DICOM elements that are looked at; all others are skipped and never held."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from cxr_tasks.images.dicom.refused import DicomRefused

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

PREAMBLE_BYTES = 128
DEFLATED = "1.2.840.10008.1.2.1.99"

#: Keywords of PS3.6 that say what is shown, of whom (hashed before it leaves), and from which side.
HEADER_KEYWORDS = (
    "Modality",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "AcquisitionDeviceProcessingDescription",
    "SeriesDescription",
    "ProtocolName",
    "PerformedProcedureStepDescription",
    "StudyDescription",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "BurnedInAnnotation",
    "PresentationIntentType",
)
PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "PresentationLUTShape",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
)


def is_dicom(content: bytes) -> bool:
    """Whether ``content`` begins as a DICOM file does (PS3.10, 7.1): 128 bytes of anything, then ``DICM``.

    A data set without these counts too, so that ``read_elements`` can say what is missing.
    """
    return content[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM" or lacks_preamble(content)


def lacks_preamble(content: bytes) -> bool:
    """Whether ``content`` is a DICOM file or data set from which the 128 bytes and ``DICM`` were left out.

    It begins with ``DICM``, or with an element of group 0002 or 0008, of either byte order: with its VR, or with a
    length that fits.
    """
    if len(content) < 16 or content[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        return False
    if content[:4] == b"DICM":
        return True
    if content[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"}:
        return False
    has_vr = content[4:6].isalpha() and content[4:6].isupper()
    little = content[1] == 0
    length = int.from_bytes(content[4:8], "little" if little else "big")
    # An element of group 8 has at most some hundred bytes at the beginning of a data set.
    return has_vr or (little and content[3] == 0 and length < 256 and length % 2 == 0)


def read_elements(content: bytes, keywords: tuple[str, ...], *, with_pixels: bool) -> FileDataset:
    """The elements named by ``keywords``, where the file has them; call it inside ``quiet.quiet``.

    Raises:
        DicomRefused: Not a DICOM file, one that ends early, or in a form that is not read (deflated).
    """
    import pydicom

    if lacks_preamble(content):
        raise DicomRefused(
            "no_preamble",
            "a DICOM data set without the beginning of a file: expected a preamble of 128 bytes and DICM (PS3.10, 7.1)",
            "export it as a DICOM file, or have a tool such as dcmconv write it anew",
        )
    if not is_dicom(content):
        raise DicomRefused("not_dicom", "expected a DICOM file, found something else", "fetch the file again")
    if _transfer_syntax(content) == DEFLATED:
        # pydicom would inflate whatever size the file leads to.
        raise DicomRefused(
            "unsupported_transfer_syntax", "the file is deflated as a whole", "export it uncompressed or as JPEG 2000"
        )
    with contextlib.closing(io.BytesIO(content)) as stream:
        dataset = pydicom.dcmread(stream, stop_before_pixels=not with_pixels, specific_tags=list(keywords))
    if with_pixels and not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise _without_pixels(content)
    return dataset


def _without_pixels(content: bytes) -> DicomRefused:
    # pydicom drops an element that the file ends in.
    if any(b"\xe0\x7f\x10\x00" + kind in content for kind in (b"OB", b"OW")):
        return DicomRefused("truncated", "the file ends within the pixels", "fetch the file again")
    return DicomRefused("no_pixels", "the file holds no pixels, or ends before them", "fetch the file again")


def _transfer_syntax(content: bytes) -> str:
    """The transfer syntax that the file's own header (group 0002) names; '' where it names none."""
    from pydicom.filereader import read_dataset

    with contextlib.closing(io.BytesIO(content)) as stream:
        stream.seek(PREAMBLE_BYTES + 4)
        meta = read_dataset(
            stream,
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _representation, _length: tag >> 16 != 2,
        )
    return str(meta.get("TransferSyntaxUID", ""))
