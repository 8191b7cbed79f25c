"""Versions and aliases in the MLflow registry: what a model is called, which one is challenger, which one champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.registry import tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
CHAMPION = "champion"


class NoSuchVersion(CxrError):
    """The registry has no such model, version or alias."""


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
    there = ", ".join(f"{known.name} {known.version}" for known in model_versions()) or "none"
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
    known = ", ".join(str(registered.version) for registered in model_versions(model_name)) or "none"
    raise NoSuchVersion(f"{model_name}: expected a version {version} in the registry, found {known}")


def registered_model(model_name: str, version: int) -> RegisteredModel:
    """A registered version as stages hand it on, with the alias that says most of it."""
    registered = find_version(model_name, version)
    alias = next((alias_name for alias_name in (CHAMPION, CHALLENGER) if alias_name in registered.aliases), "")
    return RegisteredModel(
        model_name=model_name,
        version=int(registered.version),
        mlflow_run_id=str(registered.run_id or ""),
        alias=alias,
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
        listed = []
        for model in client.search_registered_models():
            if model_name is None or model.name == model_name:
                aliases: dict[str, list[str]] = {}
                for alias, number in model.aliases.items():
                    aliases.setdefault(str(number), []).append(alias)
                for version in client.search_model_versions(f"name='{model.name}'"):
                    # A search leaves the aliases out.
                    version._aliases = sorted(aliases.get(str(version.version), []))
                    listed.append(version)
    return sorted(listed, key=lambda version: (version.name, -int(version.version)))
