"""``python -m cxr_tasks.stack.servers.fab_people``: Airflow's database migrated, with the roles and logins in it.

Run at each start with ``CXR_LOGINS=fab``, in place of ``airflow db migrate``. Only adds: who was given another role in
Airflow's pages keeps it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from cxr_tasks.installation.logins import airflow_login, airflow_users
from cxr_tasks.installation.oidc import Oidc
from cxr_tasks.installation.settings import StackSettings

VIEWER, OPERATOR, APPROVER, ADMIN = "Viewer", "Operator", "Approver", "Admin"
#: Role of ``airflow_users`` -> of the database.
_ROLE = {"admin": ADMIN, "viewer": VIEWER, "user": OPERATOR}


def main() -> int:
    from airflow.__main__ import main as airflow

    settings = StackSettings.load()
    sys.argv = ["airflow", "db", "migrate"]
    airflow()
    make_people(settings)
    return 0


def make_people(settings: StackSettings) -> None:
    """Make the platform's roles, and the logins of ``airflow_users`` with their generated passwords.

    With an identity provider people come from there: only the logins that programs use have a password.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    provider = Oidc.configured()
    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        manager.bulk_sync_roles([{"role": name, "perms": list(rights)} for name, rights in platform_roles().items()])
        for user, role in airflow_users(settings.approvers).items():
            is_person = user in settings.approvers and user not in airflow_users()
            if not (provider and is_person):
                _ensure(manager, settings, user, APPROVER if is_person else _ROLE[role])
    print("roles and logins are in Airflow's database", flush=True)


def platform_roles() -> dict[str, Iterable[tuple[str, str]]]:
    """Role -> its rights, each an action and what it is done to.

    An operator starts and clears runs, but answers no approval. An approver answers, where ``CXR_APPROVERS`` names them
    too, and starts nothing; who shall do both is given both roles.
    """
    from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride as Known
    from airflow.providers.fab.www.security import permissions as words

    answers = [
        (words.ACTION_CAN_EDIT, words.RESOURCE_HITL_DETAIL),
        (words.ACTION_CAN_ACCESS_MENU, words.RESOURCE_HITL_DETAIL),
    ]
    deletes = (words.ACTION_CAN_DELETE, words.RESOURCE_DAG)
    works = [right for right in Known.USER_PERMISSIONS if right not in (*answers, deletes)]
    return {OPERATOR: [*Known.VIEWER_PERMISSIONS, *works], APPROVER: [*Known.VIEWER_PERMISSIONS, *answers]}


def _ensure(manager: Any, settings: StackSettings, user: str, role: str) -> None:
    """A login that is not there yet; one that is keeps its roles, and gets the password that is in the secrets."""
    login, person = airflow_login(settings.secrets, user), manager.find_user(username=user)
    if person is None:
        address = f"{user}@localhost.invalid"  # has to be there and to be one's own; nothing is sent to it
        person = manager.add_user(user, user, "", address, manager.find_role(role), password=login.password)
        if not person:
            raise RuntimeError(f"login {user} could not be made; see the lines above")
    elif not manager.auth_user_db(user, login.password, rotate_session_id=False):
        manager.reset_password(person.id, login.password)


if __name__ == "__main__":
    sys.exit(main())
