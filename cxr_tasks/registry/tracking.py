"""MLflow runs: the only module that opens one.

The low-level client is used instead of ``mlflow.start_run`` so that nothing global is set: a task that dies
leaves no active run behind, and two runs can be open in one process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.storage.changes import copy_file
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry.run_log import RunLog

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def tracking_uri() -> str:
    """``$MLFLOW_TRACKING_URI``, else a SQLite file under the run-time folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}"


def client() -> MlflowClient:
    """A client of the tracking server and registry in force."""
    _quiet()
    from mlflow import MlflowClient

    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def fluent() -> ModuleType:
    """The ``mlflow`` module for calls that the client lacks; they follow module-wide settings, set here each time."""
    _quiet()
    import mlflow

    uri = tracking_uri()
    exported = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    # MLflow exports both for child processes; left there, they would outlive a change of the run-time folder.
    for name, value in exported.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return mlflow


def _quiet() -> None:
    """No telemetry, and no progress bars, which Airflow shows as errors in a task's log."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@contextlib.contextmanager
def open_run(
    experiment: str, run_name: str, *, run_id: str | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[RunLog]:
    """An MLflow run for the length of the block: new, or the one of ``run_id`` opened again.

    The run ends FINISHED when the block ends well and FAILED when it raises. A process that is killed leaves it
    RUNNING; opening it again by ``run_id`` goes on with the same run.
    """
    mlflow_client = client()
    with outside_failures("MLflow"):
        if run_id is None:
            run = mlflow_client.create_run(
                experiment_id(mlflow_client, experiment), run_name=run_name, tags=dict(tags or {})
            )
            run_id = run.info.run_id
        else:
            mlflow_client.update_run(run_id, status="RUNNING")
    log = RunLog(mlflow_client, run_id)
    if tags:
        log.tags(tags)
    try:
        yield log
    except BaseException:
        # The error that ends the block is the one to report, also when MLflow itself is what went away.
        with contextlib.suppress(Exception):
            mlflow_client.set_terminated(run_id, "FAILED")
        raise
    mlflow_client.set_terminated(run_id, "FINISHED")


def begin_run(experiment: str, run_name: str, *, tags: Mapping[str, str]) -> str:
    """The id of a new run that stays RUNNING until ``open_run`` ends it; for one that several tasks have a part in."""
    mlflow_client = client()
    with outside_failures("MLflow"):
        run = mlflow_client.create_run(experiment_id(mlflow_client, experiment), run_name=run_name, tags=dict(tags))
    return run.info.run_id


def runs_with_tag(experiment: str, tag: str, value: str) -> list[Run]:
    """The runs of ``experiment`` that bear ``tag`` with that value, the newest first; at most 1000."""
    mlflow_client = client()
    quote = '"' if "'" in value else "'"
    with outside_failures("MLflow"):
        experiments = [experiment_id(mlflow_client, experiment)]
        return list(mlflow_client.search_runs(experiments, f"tags.`{tag}` = {quote}{value}{quote}", max_results=1000))


def experiment_id(mlflow_client: MlflowClient, name: str) -> str:
    """The id of experiment ``name``, made if absent; two processes may ask at once."""
    from mlflow.exceptions import MlflowException

    experiment = mlflow_client.get_experiment_by_name(name)
    if experiment is not None:
        return experiment.experiment_id
    try:
        if tracking_uri().startswith("sqlite:///"):
            location = (home() / "mlflow" / "artifacts").as_uri()
            return mlflow_client.create_experiment(name, artifact_location=location)
        return mlflow_client.create_experiment(name)
    except MlflowException:
        experiment = mlflow_client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return experiment.experiment_id


def log_keras_model(run_id: str, model_path: Path, contract: Path, size_px: int) -> tuple[str, str]:
    """Log a ``.keras`` file as an MLflow model with the contract beside it; its URI and its model id.

    The file goes into MLflow byte by byte, so that its digest stays the one that was measured, and with fixed
    requirements: MLflow would otherwise import the model in a process of its own to guess them.
    """
    start_tensorflow()
    import importlib.metadata

    import keras
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    model = keras.models.load_model(model_path, compile=False, safe_mode=True)
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, size_px, size_px, 1))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, int(model.output_shape[-1])))]),
    )
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in ("tensorflow", "keras")]

    def put_file(path: str, **options: Any) -> None:
        """In place of ``model.save``, by which MLflow would write the model anew, with other bytes."""
        copy_file(model_path, Path(path))

    model.save = put_file
    mlflow = fluent()
    with outside_failures("MLflow"), mlflow.start_run(run_id=run_id):
        info = mlflow.tensorflow.log_model(
            model, name="model", signature=signature, pip_requirements=requirements, extra_files=[str(contract)]
        )
    return info.model_uri, info.model_id


@contextlib.contextmanager
def outside_failures(service: str) -> Iterator[None]:
    """Turn a service that does not answer into ``ServiceUnavailable``, which Airflow tries again."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if "Max retries" in str(error) or "failed with exception" in str(error) or "error code 5" in str(error):
            raise ServiceUnavailable(f"{service} at {tracking_uri()}: expected an answer, found {error}") from error
        raise
