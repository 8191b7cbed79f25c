"""The small files that the stages left on a model's MLflow run; the model itself is not fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.registry import tracking

#: What every trained and evaluated model has.
REQUIRED = ("recipe.yaml", "history.json", "evaluation")
#: What some have: older ones lack the environment, what was never released the release.
OPTIONAL = ("environment.json", "gate", "release")


def fetch_run_files(run_id: str, folder: Path, optional: Sequence[str] = OPTIONAL) -> Path:
    """``REQUIRED`` and what there is of ``optional``, fetched into ``folder``, which is given back.

    Raises:
        DataDefect: One of the required files is not among the run's artifacts.
        ServiceUnavailable: MLflow does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    client = tracking.client()
    with tracking.outside_failures("MLflow"):
        present = {artifact.path for artifact in client.list_artifacts(run_id)}
        missing = [name for name in REQUIRED if name not in present]
        if missing:
            raise DataDefect(f"MLflow run {run_id}: expected the artifacts {', '.join(missing)}, found none")
        for name in (*REQUIRED, *optional):
            if name in present:
                client.download_artifacts(run_id, name, str(folder))
    return folder
