"""Where each source's images come from and under which terms, for the card of a model trained on them."""

from __future__ import annotations

#: Source name -> origin and terms of use, as their publishers state them.
ORIGINS = {
    "kermany": (
        "D. Kermany, K. Zhang, M. Goldbaum: Labeled Optical Coherence Tomography and Chest X-Ray Images for "
        "Classification. Mendeley Data, doi:10.17632/rscbjbr9sj; Cell 172:1122-1131 (2018).",
        "CC BY 4.0: free to use with attribution.",
    ),
    "nih": (
        "NIH Clinical Center, ChestX-ray14. X. Wang et al.: ChestX-ray8, CVPR 2017.",
        "Free to use; the NIH Clinical Center asks to be named as the provider and the paper to be cited.",
    ),
    "chexpert": (
        "Stanford ML Group, CheXpert. J. Irvin et al.: CheXpert, AAAI 2019.",
        "Stanford University Dataset Research Use Agreement: personal, non-commercial research; not to be passed on. "
        "Whether a model trained on it may be used otherwise is for that agreement to say.",
    ),
    "synthetic": (
        "Drawn by this platform (source synthetic): no patient, no hospital.",
        "No terms of others apply.",
    ),
    "dicom": (
        "DICOM files of the operator of this installation.",
        "Of the operator: the permission under which these images were collected also bounds the use of the model.",
    ),
}


def origin_of(source: str) -> tuple[str, str]:
    """Origin and terms; for a source of an installation's own what can be said of it."""
    return ORIGINS.get(
        source,
        (f"Source {source}, of the operator of this installation.", ORIGINS["dicom"][1]),
    )
