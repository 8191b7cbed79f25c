"""Which file is which object: the SOP instance UID of DICOM files, read from their beginning."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from cxr_tasks.images.dicom import DicomRefused, instance_uid
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.sources.base import Refusal

#: The UID stands among the first elements of a file; nothing long comes before it.
READ_BYTES = 1 << 18


def find_by_uid(root: Path, files: Iterable[str], wanted: set[str]) -> tuple[dict[str, list[str]], list[Refusal]]:
    """Files by UID for the UIDs ``wanted``, and a refusal for each that cannot be read as DICOM."""
    places: dict[str, list[str]] = {}
    refusals: list[Refusal] = []
    for image_id in files:
        try:
            uid = instance_uid(_first_bytes(root, image_id))
        except DicomRefused as why:
            refusals.append(Refusal(image_id=image_id, reason=why.reason, detail=why.detail, action=why.action))
            continue
        if uid in wanted:
            places.setdefault(uid, []).append(image_id)
    return places, refusals


def _first_bytes(root: Path, image_id: str) -> bytes:
    path = root / image_id
    if not inside(root, path):
        raise DicomRefused("link_outside", "the link leads out of the data folder", "copy the file into the folder")
    try:
        # Without waiting: a named pipe would hang the run otherwise.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DicomRefused("not_a_file", "expected a regular file, found a device, pipe or folder", "remove it")
            if status.st_size == 0:
                raise DicomRefused("empty_file", "expected a DICOM file, found 0 bytes", "fetch the file again")
            return stream.read(READ_BYTES)
    except FileNotFoundError:
        raise DicomRefused("missing_file", "not there when opened", "restore the file or its link") from None
    except PermissionError:
        raise DicomRefused("no_permission", "this process may not read the file", "give read permission") from None
    except OSError as error:
        detail = f"the system cannot read it: {error.strerror}"
        raise DicomRefused("unreadable", detail, "check disk and link") from None
