"""The files of a registered version: put into MLflow, fetched from there, and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.serving_contract import FILE_NAME, ServingContract
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.registry import tracking
from cxr_tasks.registry.model_files import FileDigests, require_recorded

if TYPE_CHECKING:
    import keras
from cxr_tasks.registry.versions import NoSuchVersion


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A registered version on local disk."""

    model_name: str
    version: int
    run_id: str
    model_path: Path
    """The ``.keras`` file."""
    contract: ServingContract
    digests: FileDigests
    """Of its files, which are those that were registered."""

    def keras_model(self) -> keras.Model:
        """The model, loaded without running any code that came with it (Keras's safe mode)."""
        import keras

        return keras.models.load_model(self.model_path, compile=False, safe_mode=True)


def register(
    *, model_name: str, run_id: str, model_path: Path, contract: ServingContract, tags: dict[str, str], work: Path
) -> int:
    """Log the model with its contract to the run and make it a version; the version's number.

    What goes into MLflow is ``model_path`` byte by byte, and its digest stands on the version. Asked again for the same
    run, it answers with the version already made.
    """
    client = tracking.client()
    with tracking.outside_failures("MLflow"):
        for version in client.search_model_versions(f"name='{model_name}'"):
            if version.run_id == run_id:
                return int(version.version)
        contract_path = write_contract(contract, work)
        info_uri, model_id = tracking.log_keras_model(run_id, model_path, contract_path, contract.pixels.size_px)
        tags = {**tags, **FileDigests.of(model_path, contract_path).as_tags()}
        _ensure_model(model_name)
        # It is there at once; to wait for it would only be told in the log, as an error.
        made = client.create_model_version(
            model_name, source=info_uri, run_id=run_id, model_id=model_id, tags=tags, await_creation_for=0
        )
    return int(made.version)


def load_version(model_name: str, version: int, work: Path) -> LoadedVersion:
    """Fetch a registered version into ``work``; its files are those that were registered.

    Raises:
        NoSuchVersion: The version's artifacts do not hold a Keras model and a serving contract.
        DataDefect: They hold other ones than were registered.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tracking.outside_failures("MLflow"):
        registered = tracking.client().get_model_version(model_name, str(version))
        folder = Path(
            tracking.fluent().artifacts.download_artifacts(f"models:/{model_name}/{version}", dst_path=str(work))
        )
    model_path = folder / "data" / "model.keras"
    contract_path = folder / "extra_files" / FILE_NAME
    for path in (model_path, contract_path):
        if not path.is_file() or not inside(work, path):
            raise NoSuchVersion(
                f"{model_name} version {version}: expected {path.relative_to(folder)} among its artifacts, found none; "
                "it was not registered by this platform"
            )
    digests = require_recorded(
        model_name, int(version), str(registered.run_id or ""), dict(registered.tags), model_path, contract_path
    )
    return LoadedVersion(
        model_name, int(version), str(registered.run_id or ""), model_path, read_contract(contract_path), digests
    )


def _ensure_model(model_name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client().create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def write_contract(contract: ServingContract, folder: Path) -> Path:
    """Write ``serving.json`` into ``folder``; its path."""
    path = folder / FILE_NAME
    write_json(path, plain(contract))
    return path


def read_contract(path: Path) -> ServingContract:
    """The contract in ``path``; a key that is unknown, missing or mistyped is named."""
    return build(ServingContract, read_json(path), path.name)
