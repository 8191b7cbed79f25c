"""What is written into an open MLflow run: parameters, metrics, tags, files, the data that it used."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient


#: MLflow refuses parameter values longer than this.
PARAMETER_LENGTH = 6000
#: MLflow's limit for the digest of a dataset; the full hash goes into a tag.
DATASET_DIGEST_LENGTH = 32


class RunLog:
    """One open MLflow run; what is logged can be seen in the MLflow UI at once."""

    def __init__(self, client: MlflowClient, run_id: str):
        self._client = client
        self.run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters, nested mappings as dotted names. A parameter already logged keeps its first value."""
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        fresh = {key: str(value)[:PARAMETER_LENGTH] for key, value in flatten(values).items() if key not in known}
        items = [Param(key, value) for key, value in fresh.items()]
        for start in range(0, len(items), 100):
            self._client.log_batch(self.run_id, params=items[start : start + 100])

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Log finite numbers at ``step`` (an epoch, from 1); others are left out, MLflow stores no NaN in SQLite."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        items = [Metric(key, float(value), now, step) for key, value in values.items() if math.isfinite(value)]
        for start in range(0, len(items), 500):
            self._client.log_batch(self.run_id, metrics=items[start : start + 500])

    def tags(self, values: Mapping[str, Any]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload one file, or a folder with all it holds."""
        if path.is_dir():
            self._client.log_artifacts(self.run_id, str(path), folder)
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def dataset(
        self, *, name: str, fingerprint: str, location: str, context: str, tags: Mapping[str, str] | None = None
    ) -> None:
        """Record the data a run used. ``fingerprint`` is a sha256 in hex; MLflow's digest holds its beginning.

        ``tags`` stand beside the dataset in the MLflow UI: how it was validated, for one.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=fingerprint[:DATASET_DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"uri": location}),
        )
        told = {"mlflow.data.context": context, "cxr.fingerprint": fingerprint, **(tags or {})}
        marks = [InputTag(key, value) for key, value in told.items()]
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, marks)])


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level with dotted names.

    >>> flatten({"train": {"epochs": 3}, "name": "a"})
    {'train.epochs': 3, 'name': 'a'}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
