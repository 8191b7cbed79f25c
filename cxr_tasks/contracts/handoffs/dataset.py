"""From a folder of images to a dataset that is stored."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.base import Handoff


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan(Handoff):
    """What ``list_images`` gives to the parts of ingest: which images there are, cut into parts, by reference."""

    dataset: str
    root: str
    """Folder that ``image_id`` paths start from."""
    parts: tuple[ArtifactRef, ...]
    """Parquet files, one per part: what the source says of each image, before any is opened."""
    refusals: ArtifactRef
    """Files that the source itself refused (columns: ``QUARANTINE_COLUMNS``)."""
    n_images: int
    n_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedPart(Handoff):
    """What one part of ingest gives to ``collect_parts``."""

    part: int
    """Place in ``IngestPlan.parts``, from 0."""
    images: ArtifactRef
    """Parquet: what the source says and what the file holds, one row per usable image."""
    refusals: ArtifactRef
    n_usable: int
    n_refused: int
    n_reused: int
    """Images known from an earlier ingest and not opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestedStudies(Handoff):
    """What ``ingest`` gives to ``validate``: a manifest (columns: ``contracts.records``), by reference."""

    dataset: str
    root: str
    """Folder that the manifest's ``image_id`` paths start from."""
    manifest: ArtifactRef
    quarantine: ArtifactRef
    n_images: int
    n_patients: int
    n_quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedStudies(Handoff):
    """What ``validate`` gives to ``prepare``: the same manifest, found good."""

    dataset: str
    root: str
    manifest: ArtifactRef
    validation: ArtifactRef
    """``validation.json``: every expectation with its outcome."""
    data_docs: str
    """Path of the Data Docs' ``index.html``."""
    profile: ArtifactRef
    """``profile.json``: label rates, image statistics and metadata of the manifest, which later versions are held
    against (see ``cxr_tasks.validate.profile``)."""
    n_expectations: int
    n_warnings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset(Handoff):
    """What ``prepare`` gives to ``train``: a TFDS dataset that ``tfds.builder_from_directory(folder)`` opens."""

    dataset: str
    folder: str
    fingerprint: str
    """sha256 (hex) over contents and settings; also names the folder."""
    index: ArtifactRef
    """``index.parquet``: one row per example, in stored order per split (columns: ``contracts.records``)."""
    vocabulary: str
    size_px: int
    n_train: int
    n_validation: int
    n_test: int
