"""Versions and aliases in the MLflow registry: what a model is called, which one is challenger, which one champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.handoffs import RegisteredModel
from cxr_tasks.contracts.serving_contract import FILE_NAME, ServingContract
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.registry import tracking
from cxr_tasks.registry.model_files import FileDigests, require_recorded

if TYPE_CHECKING:
    import keras
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
CHAMPION = "champion"


class NoSuchVersion(CxrError):
    """The registry has no such model, version or alias."""


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
        for found in client.search_model_versions(f"name='{model_name}'"):
            if found.run_id == run_id:
                return int(found.version)
        contract_path = contract.write(work)
        info_uri, model_id = tracking.log_keras_model(run_id, model_path, contract_path, contract.pixels.size_px)
        tags = {**tags, **FileDigests.of(model_path, contract_path).as_tags()}
        _ensure_model(model_name)
        # It is there at once; to wait for it would only be told in the log, as an error.
        made = client.create_model_version(
            model_name, source=info_uri, run_id=run_id, model_id=model_id, tags=tags, await_creation_for=0
        )
    return int(made.version)


def set_alias(model_name: str, alias: str, version: int) -> None:
    with tracking.outside_failures("MLflow"):
        tracking.client().set_registered_model_alias(model_name, alias, str(version))


def remove_alias_from(model_name: str, alias: str, version: int) -> None:
    """Take ``alias`` from ``version``; another version that bears it keeps it."""
    holder = version_with_alias(model_name, alias)
    if holder is not None and int(holder.version) == version:
        with tracking.outside_failures("MLflow"):
            tracking.client().delete_registered_model_alias(model_name, alias)


def set_version_tags(model_name: str, version: int, tags: dict[str, Any]) -> None:
    client = tracking.client()
    with tracking.outside_failures("MLflow"):
        for key, value in tags.items():
            client.set_model_version_tag(model_name, str(version), key, str(value))


def registered(model_name: str, version: int) -> ModelVersion:
    """The entry of one version, tags included.

    Raises:
        NoSuchVersion: The registry has no such version; those there are, are named.
        ServiceUnavailable: MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        with tracking.outside_failures("MLflow"):
            return tracking.client().get_model_version(model_name, str(version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
    there = ", ".join(f"{one.name} {one.version}" for one in model_versions()) or "none"
    raise NoSuchVersion(f"{model_name} version {version} is not in the registry; there are: {there}")


def set_description(model_name: str, version: int, text: str) -> None:
    """What the registry shows of a version, as Markdown; at most 5000 characters."""
    with tracking.outside_failures("MLflow"):
        tracking.client().update_model_version(model_name, str(version), text)


def version_tags(model_name: str, version: int) -> dict[str, str]:
    """The tags of a version; ``NoSuchVersion`` where the registry has none such."""
    return dict(find_version(model_name, version).tags)


def find_version(model_name: str, version: int) -> ModelVersion:
    """A registered version; ``NoSuchVersion`` names those there are."""
    from mlflow.exceptions import MlflowException

    try:
        with tracking.outside_failures("MLflow"):
            return tracking.client().get_model_version(model_name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    known = ", ".join(str(one.version) for one in model_versions(model_name)) or "none"
    raise NoSuchVersion(f"{model_name}: expected a version {version} in the registry, found {known}")


def registered_model(model_name: str, version: int) -> RegisteredModel:
    """A registered version as stages hand it on, with the alias that says most of it."""
    found = find_version(model_name, version)
    alias = next((one for one in (CHAMPION, CHALLENGER) if one in found.aliases), "")
    return RegisteredModel(
        model_name=model_name, version=int(found.version), mlflow_run_id=str(found.run_id or ""), alias=alias
    )


def version_with_alias(model_name: str, alias: str) -> ModelVersion | None:
    """The version that bears ``alias``, or None where the model or the alias is not there."""
    from mlflow.exceptions import MlflowException

    try:
        with tracking.outside_failures("MLflow"):
            return tracking.client().get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def model_versions(model_name: str | None = None) -> list[ModelVersion]:
    """All registered versions (of one model), newest first within a model, each with its aliases."""
    client = tracking.client()
    with tracking.outside_failures("MLflow"):
        found = []
        for model in client.search_registered_models():
            if model_name is None or model.name == model_name:
                aliases: dict[str, list[str]] = {}
                for alias, version in model.aliases.items():
                    aliases.setdefault(str(version), []).append(alias)
                for one in client.search_model_versions(f"name='{model.name}'"):
                    # A search leaves the aliases out.
                    one._aliases = sorted(aliases.get(str(one.version), []))
                    found.append(one)
    return sorted(found, key=lambda one: (one.name, -int(one.version)))


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
        model_name, int(version), str(registered.run_id or ""), model_path, ServingContract.read(contract_path), digests
    )


def _ensure_model(model_name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        tracking.client().create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
