"""The image that a result is of, and what all results say."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import CxrError, DataDefect
from cxr_tasks.images.dicom import is_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "cxr-platform"
#: Said in every object: what it is, and what it is not.
STATEMENT = "Output of a machine learning model for research. Not a diagnosis, not reviewed by a physician."
#: Attributes without which an archive cannot file an object to its study (PS3.3, C.7.2.1 and C.12.1).
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that is spoken of, and who speaks."""

    header: Dataset
    """Of the image, without its pixels."""
    model: str
    version: int | None

    @property
    def speaker(self) -> str:
        return f"{self.model} version {self.version if self.version is not None else 'not known'}"


def header_of(content: bytes) -> Dataset:
    """The header of a DICOM file, completed by what its objects need and it may leave out.

    Raises:
        DataDefect: Not a DICOM file, or one that does not say which image of which study it is.
    """
    import pydicom

    if not is_dicom(content):
        raise DataDefect("expected a DICOM file to write a DICOM result for, found another kind of image")
    with written_quietly():
        header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
        missing = [name for name in NEEDED if not header.get(name)]
    if missing:
        raise DataDefect(f"its DICOM header lacks {', '.join(missing)}, by which a result is filed to its study")
    # Type 2: to be there, and may be empty.
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        if name not in header:
            setattr(header, name, "")
    for name in ("StudyDate", "StudyTime", "ReferringPhysicianName"):
        if name not in header:
            setattr(header, name, None)
    return header


def finished(dataset: Any, description: str) -> Any:
    """``dataset`` with what all results have in common."""
    dataset.SeriesDescription = description[:64]
    # Names of patients come in any script, whatever the image's own character set was.
    dataset.SpecificCharacterSet = "ISO_IR 192"
    return dataset


@contextlib.contextmanager
def written_quietly() -> Iterator[None]:
    """Headers of the world break rules; what pydicom would say of them quotes them, patients included.

    Raises:
        DataDefect: In place of any error of the libraries, of which the kind is told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (CxrError, OSError):
            raise
        except Exception as error:
            kind = type(error).__name__
            raise DataDefect(f"no DICOM result can be made of what its header holds ({kind})") from None
