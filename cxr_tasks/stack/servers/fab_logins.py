"""Airflow's logins in its database or from an identity provider (``CXR_LOGINS=fab``): who may answer an approval."""

from __future__ import annotations

import logging
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

from cxr_tasks.installation.logins import AIRFLOW_USERS

log = logging.getLogger(__name__)


class CxrSecurityManager(FabAirflowSecurityManagerOverride):
    """Airflow's own; whoever comes from an identity provider is nobody that the platform made itself."""

    def auth_user_oauth(self, userinfo: Any, *arguments: Any, **options: Any) -> Any:
        """The login of who came; None where the name is one of the platform's programs or its administrator.

        By its name alone Airflow would take that person for it, and give it the roles that they have there.
        """
        if userinfo.get("username") in AIRFLOW_USERS:
            log.error("identity provider: a person came under the name of the platform's own login and is refused")
            return None
        return super().auth_user_oauth(userinfo, *arguments, **options)


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
