"""Which prepared datasets there are, found by name or by fingerprint."""

from __future__ import annotations

from cxr_tasks.contracts.artifacts import ArtifactRef, read_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset
from cxr_tasks.contracts.paths import datasets_root


def latest_dataset(name: str) -> PreparedDataset:
    """The newest prepared dataset called ``name``; ``DataDefect`` with what to do where there is none."""
    path = datasets_root() / name / "latest.json"
    if not path.is_file():
        raise DataDefect(f"{path}: no dataset {name!r} is prepared yet; run its dataset DAG, or 'cxr trigger', first")
    return PreparedDataset.from_payload(read_json(path))


def dataset_of(name: str, fingerprint: str) -> PreparedDataset:
    """The dataset ``name`` with that fingerprint; ``DataDefect`` where it is not on disk or is not what it was."""
    folder = datasets_root() / name / fingerprint[:16]
    provenance, statistics = (read_json(folder / file) for file in ("provenance.json", "statistics.json"))
    if provenance["fingerprint"] != fingerprint:
        raise DataDefect(
            f"{folder}: expected the dataset of fingerprint {fingerprint[:16]}..., found that of "
            f"{str(provenance['fingerprint'])[:16]}...; remove the folder to prepare it again"
        )
    index = ArtifactRef(uri=str(folder / "index.parquet"), sha256=str(provenance["index_sha256"]))
    index.verified_path()
    return PreparedDataset(
        dataset=name,
        folder=str(folder),
        fingerprint=fingerprint,
        index=index,
        vocabulary=provenance["vocabulary"],
        size_px=provenance["pixels"]["size_px"],
        n_train=statistics["train"]["n_images"],
        n_validation=statistics["validation"]["n_images"],
        n_test=statistics["test"]["n_images"],
    )
