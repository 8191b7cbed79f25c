"""Why a DICOM file cannot be used, in words that tell nothing of the patient."""

from __future__ import annotations

from cxr_tasks.contracts.errors import DataDefect


class DicomRefused(DataDefect):
    """One file that is not used; the fields are those of a row of ``quarantine.csv``.

    No text quotes the file, apart from words this package knows beforehand (``CR``, ``KNEE``): what stands in a header
    may be a name.
    """

    def __init__(self, reason: str, detail: str, action: str):
        super().__init__(reason, detail, action)
        self.reason, self.detail, self.action = reason, detail, action

    def __str__(self) -> str:
        return f"{self.detail}; {self.action}"


def damaged(detail: str) -> DicomRefused:
    """A refusal for a file whose content contradicts itself or cannot be decoded."""
    return DicomRefused("damaged", detail, "fetch the file again, or export it anew")


def ends_early() -> DicomRefused:
    """A refusal for a compressed picture that a decoder would fill up."""
    return DicomRefused("truncated", "the compressed picture ends early: its data are not all there", "fetch it again")
