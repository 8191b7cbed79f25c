"""MLflow's own application with a login for each approver, and a note of who moved an alias or deleted something.

MLflow keeps no name with an alias. So a champion that was moved in its UI, or through its API, would be nobody's; here
each such request is written down with the login it came with (``registry.alias_moves`` reads it).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from cxr_tasks.installation.logins import MLFLOW_USER, airflow_login
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import secrets_root
from cxr_tasks.registry.alias_moves import RegistryChange, write_change

if TYPE_CHECKING:
    from flask import Response

logger = logging.getLogger(__name__)

#: What of the registry a person may lose or move: the end of a path, below either prefix of MLflow's API.
_WATCHED = ("registered-models/alias", "registered-models/delete", "model-versions/delete", "registered-models/rename")
#: What an approver may do with the served models in MLflow: move an alias, not delete.
_PERMISSION = "EDIT"


def create_app() -> Any:
    """For uvicorn: MLflow's application, with approvers' logins made and changes of the registry noted."""
    from mlflow.server import auth

    application = auth.create_app()
    add_people(auth.store, StackSettings.load().approvers)
    auth.app.after_request(note_change)
    return application


def add_people(store: Any, approvers: tuple[str, ...]) -> None:
    """Give each approver a login to MLflow, with the password of their login to Airflow."""
    from cxr_tasks.contracts.families import MODELS

    for name in approvers:
        if name == MLFLOW_USER:
            continue
        password = airflow_login(secrets_root(), name).password
        if not store.has_user(name):
            store.create_user(name, password)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password)
        for model in MODELS:
            store.grant_user_permission(name, "registered_model", model, _PERMISSION)


def note_change(response: Response) -> Response:
    """Write down who moved or removed what, where MLflow did it; a note that fails is logged and changes no answer."""
    from flask import request

    if request.method == "GET" or response.status_code >= 400 or not request.path.endswith(_WATCHED):
        return response
    told = {**request.args.to_dict(), **(request.get_json(silent=True) or {})}
    login = request.authorization.username if request.authorization else ""
    change = RegistryChange.now(
        login=login or "",
        action=f"{request.method} {request.path.split('/mlflow/')[-1]}",
        model=str(told.get("name", "")),
        alias=str(told.get("alias", "")),
        version=str(told.get("version", "")),
    )
    try:
        write_change(change)
    except OSError:
        logger.exception("who changed the registry could not be written: %s", change)
    return response
