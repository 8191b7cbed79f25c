"""Columns of the tables that stages hand on: manifest, quarantine, dataset index, predictions.

Manifest (``manifest.parquet``): one row per usable image, sorted by ``image_id``; ``MANIFEST_COLUMNS`` and then one
``label_<finding>`` column per finding of the vocabulary, holding a ``LabelState`` as text.

Quarantine (``quarantine.csv``): one row per file that is not used. How many ``absent`` ones (listed by the source, not
on disk) are too many is for the source to say; all others count towards ``dataset.quarantine_bound``.

Index (``index.parquet``): one row per stored example; ``INDEX_COLUMNS`` and the same label columns. Rows of one split
stand in the order in which the examples are stored.

Predictions (``predictions.parquet``): one row per image of the validation and test splits; ``PREDICTION_COLUMNS``, then
``target_<finding>`` (float: 0, 1 or NaN for unknown) and ``logit_<finding>`` (float, the model's uncalibrated output).
"""

from __future__ import annotations

#: name -> what it holds
MANIFEST_COLUMNS: dict[str, str] = {
    "image_id": "str, path below the source folder, POSIX separators; unique",
    "patient_id": "str, the source's patient key; of a DICOM file its keyed hash, never the id itself",
    "study_id": "str, the source's study key; the image's own id where the source has none",
    "source": "str, name of the source",
    "view": "str, one of labels.VIEWS",
    "sex": "str, one of labels.SEXES",
    "age_years": "float, NaN where unknown",
    "official_split": "str, one of labels.SPLITS, or '' where the source gives none",
    "split": "str, one of labels.SPLITS",
    "sub_label": "str, finer label of the source such as 'bacteria'; '' where none",
    "boxes": "str, JSON list of {finding, x, y, width, height} in pixels of the original; '[]' where none",
    "file_sha256": "str, sha256 of the file's bytes",
    "pixel_hash": "str, XXH3 (32 hex digits) of the decoded greyscale pixels and their shape",
    "perceptual_hash": "str, 64 hex digits (256 bits); few bits differ between nearly equal images",
    "duplicate_group": "str, smallest image_id among the images equal or nearly equal to this one; '' where none is",
    "file_format": "str, what the decoder found: JPEG, PNG, ...",
    "mode": "str, Pillow's mode of the original: L, RGB, RGBA, I;16, ...",
    "width_px": "int",
    "height_px": "int",
    "bit_depth": "int, bits of a grey value as stored: 8, 12, 16, ...",
    "mean": "float in [0, 1], mean grey value",
    "deviation": "float, standard deviation of the grey values on the [0, 1] scale",
    "entropy": "float, bits, Shannon entropy of the 256-bin grey histogram, 0 to 8",
    "sharpness": "float, variance of the Laplacian on the [0, 1] grey scale, where ``ingest`` takes it",
    "border_fraction": "float in [0, 1], share of the picture in uniform (black or white) bands along its edges",
    "flags": "str, '' or words joined by commas for a person to look into: 'inverted_suspected', 'coloured_mark', ...",
}

QUARANTINE_COLUMNS: dict[str, str] = {
    "image_id": "str, path below the source folder",
    "reason": "str, one word per kind: empty_file, truncated, not_an_image, too_small, blank, absent, ...",
    "detail": "str, what was expected and what came",
    "action": "str, what a person can do",
}

INDEX_COLUMNS: dict[str, str] = {
    "image_id": "str, as in the manifest",
    "patient_key": "str, salted hash of the patient id (16 hex digits); never the id itself",
    "split": "str, one of labels.SPLITS",
    "source": "str",
    "view": "str",
    "sex": "str",
    "age_years": "float, NaN where unknown",
    "sub_label": "str",
    "boxes": "str, JSON as in the manifest, scaled to the stored square of size_px",
    "file_sha256": "str",
    "aspect_ratio": "float, width / height of the original; for the trivial baseline only, never given to a model",
}

PREDICTION_COLUMNS: dict[str, str] = {
    "image_id": "str",
    "patient_key": "str",
    "split": "str, validation or test",
    "source": "str",
    "view": "str",
    "sex": "str",
    "age_years": "float",
}


def target_column(finding: str) -> str:
    return f"target_{finding}"


def logit_column(finding: str) -> str:
    return f"logit_{finding}"
