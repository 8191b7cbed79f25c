"""Results of a served model as DICOM files beside the image they are of: a structured report and pictures.

They carry the patient's and the study's identity from the image's header, as an archive needs it to file them: the
files are for the owner only, and nothing of that identity goes anywhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.explain.dicom.pictures import overlay_captures
from cxr_tasks.explain.dicom.report import structured_report
from cxr_tasks.explain.dicom.subject import Subject, header_of, written_quietly
from cxr_tasks.installation.storage.files import replaced_file
from serving.client import Answer


def write_dicom(answer: Answer, model: str, image: Path | bytes, folder: Path) -> tuple[str, ...]:
    """Write a structured report, and a picture with the heat map of each shown finding; the files' paths.

    Args:
        answer: With ``heat_maps``, as ``CxrClient.explain`` gives it.
        image: Of a DICOM file.

    Raises:
        DataDefect: It is none, or its header lacks what its study is known by.
        ConfigurationError: ``folder`` is no folder.
    """
    content = image if isinstance(image, bytes) else image.read_bytes()
    subject = Subject(header_of(content), model, answer.version)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError):
        raise ConfigurationError(f"{folder}: expected a folder for DICOM files, found a file") from None
    # By a digest of the image's UID: its own name may be the patient's.
    stem = hashlib.sha256(str(subject.header.SOPInstanceUID).encode()).hexdigest()[:16]
    with written_quietly():
        made = {f"{stem}-{model}-report.dcm": structured_report(answer, subject)}
        for finding, capture in overlay_captures(answer, subject, content):
            made[f"{stem}-{model}-{finding}.dcm"] = capture
        return tuple(_written(dataset, folder / name) for name, dataset in made.items())


def _written(dataset: Any, path: Path) -> str:
    with replaced_file(path, is_private=True) as aside:
        dataset.save_as(aside, enforce_file_format=True)
    return str(path)
