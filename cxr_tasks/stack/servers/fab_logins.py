"""Airflow's logins in its database or from an identity provider (``CXR_LOGINS=fab``): who may answer an approval."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager


class CxrFabAuthManager(FabAuthManager):
    """Airflow's own, by whose ids nobody could be named. Airflow looks for its name in that of this class."""

    def is_authorized_hitl_task(self, *, assigned_users: set[str], user: Any) -> bool:
        """Whether the login is one of those that are asked.

        Airflow compares ids, which are numbers of rows here: every approver would be refused, and one whose login is
        a number would stand for whoever has that row.
        """
        return user.get_name() in assigned_users

    def is_authorized_dag(
        self,
        *,
        method: Any,
        user: Any,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """Whoever sees a DAG and may answer questions answers its; Airflow asks for the right to change the DAG too."""
        if access_entity == DagAccessEntity.HITL_DETAIL and method != "GET":
            may_answer = super().is_authorized_dag(method=method, user=user, access_entity=access_entity)
            return may_answer and super().is_authorized_dag(method="GET", user=user, details=details)
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
