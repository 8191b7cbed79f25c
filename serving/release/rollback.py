"""The version that served before, back at once: registry alias and model server together."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial

from cxr_tasks.contracts.errors import CxrError, ReleaseRefused
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.registry import rest
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.versions import CHAMPION
from serving.check.smoke import smoke_test
from serving.release.switch import Switch
from serving.served import version_folders as on_disk
from serving.served.contents import require_unchanged
from serving.served.leftovers import settle
from serving.served.state import Content, locked, read_state, write_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """What a rollback did."""

    model_name: str
    version: int
    """Serves now."""
    taken_back: int
    seconds: float


def roll_back(model_name: str, settings: StackSettings, *, who: str | trail.Person, why: str) -> RolledBack:
    """Let the version before the present one serve again, as champion and as label ``stable``.

    The version taken back is not kept to go forward to: rolling back twice never brings it back.

    The alias moves first, and ``handled`` last: killed in between, the registry is ahead of the server, and the release
    that follows the alias ends what was begun.

    Raises:
        ReleaseRefused: There is no former version on disk, the registry has another one or none under its number, or
            it does not serve; nothing has changed.
        DataDefect: Its files are not those that were published; nothing has changed.
        ServiceUnavailable: MLflow or the model server does not answer; nothing has changed.
    """
    begin = time.monotonic()
    with locked(model_name, "a rollback"):
        state = settle(model_name)
        version, bad = state.previous, state.stable
        if version is None or bad is None or version not in on_disk.versions_on_disk(model_name):
            raise ReleaseRefused(
                f"{model_name}: expected a former version on disk to go back to, found none beside version {bad}; "
                f"to let another one serve, promote it: cxr promote {model_name} VERSION --reason TEXT"
            )
        content = state.content_of(version)
        _require_same(model_name, version, content)
        champion = rest.version_with_alias(model_name, CHAMPION)
        rest.set_alias(model_name, CHAMPION, version)
        try:
            switch = Switch(settings, model_name, partial(smoke_test, settings, model_name))
            switch.to_stable(state, version, previous=None, exported=None)
        except BaseException:
            if champion is not None:
                _alias_back(model_name, champion.version)
            raise
        write_state(model_name, replace(read_state(model_name), handled=version, handled_run=content.mlflow_run_id))
        seconds = time.monotonic() - begin
        logger.info("%s version %d serves again after %.1f s, not %d any more", model_name, version, seconds, bad)
        detail = {"from": bad, "from_run": state.content_of(bad).mlflow_run_id, **_told(content)}
        trail.record("rolled_back", model=model_name, version=version, who=who, why=why, detail=detail)
    return RolledBack(model_name=model_name, version=version, taken_back=bad, seconds=round(seconds, 2))


def _require_same(model_name: str, version: int, content: Content) -> None:
    """That the registry's version is the one on disk, and the files on disk those that were published."""
    registered = rest.get_version(model_name, version)
    how = f"to let another one serve, promote it: cxr promote {model_name} VERSION --reason TEXT"
    if registered is None:
        raise ReleaseRefused(
            f"{model_name}: expected version {version} ({content}), which served before, in the registry, found none: "
            f"it was deleted there, or the registry made anew; {how}"
        )
    if not content.is_of_run(registered.run_id):
        raise ReleaseRefused(
            f"{model_name}: version {version} that served before ({content}) is not version {version} of the registry "
            f"(run {registered.run_id[:8]}): the number has come again; {how}"
        )
    require_unchanged(model_name, version, content)


def _told(content: Content) -> dict[str, str]:
    return {"mlflow_run_id": content.mlflow_run_id, "export_sha256": content.export_sha256}


def _alias_back(model_name: str, version: int) -> None:
    try:
        rest.set_alias(model_name, CHAMPION, version)
    except CxrError as error:
        logger.warning("%s: alias %s could not be given back to version %d: %s", model_name, CHAMPION, version, error)
