"""A second version beside the one that serves: loaded, labelled ``canary``, asked by those who name the label."""

from __future__ import annotations

import logging
from functools import partial

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.registry import rest
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.versions import NoSuchVersion
from serving.check.smoke import smoke_test
from serving.export.exports import prepared_export
from serving.release.stage import prepare_release, release_content
from serving.release.switch import Switch
from serving.served.contents import unless_on_disk
from serving.served.leftovers import settle
from serving.served.state import locked

logger = logging.getLogger(__name__)


def start_canary(model_name: str, version: int, settings: StackSettings, *, who: str | trail.Person, why: str) -> None:
    """Let ``version`` serve under label ``canary``; it must pass what a release must pass.

    Another canary goes. What serves as ``stable`` is not touched, but a request without label or version is answered
    by the newest version that is loaded, which may be the canary.

    Raises:
        NoSuchVersion: The registry has no such version.
        ReleaseRefused: It may not serve, fails its check, serves as ``stable`` already, or there is no ``stable``.
        ServiceUnavailable: The registry or the model server does not answer.
    """
    from cxr_tasks.registry.permission import may_serve

    candidate = rest.get_version(model_name, version)
    if candidate is None:
        raise NoSuchVersion(f"{model_name}: expected version {version} in the registry, found none")
    permission = may_serve(model_name, version)
    if not permission.allowed:
        raise ReleaseRefused(f"{model_name} version {version} may not serve: {permission.because}")
    registered = RegisteredModel(model_name=model_name, version=version, mlflow_run_id=candidate.run_id, alias="")
    prepare_release(registered, RunPaths.for_run("cxr_canary", f"{model_name}-{version}"))
    with locked(model_name, f"a canary of version {version}"):
        state = settle(model_name)
        if state.stable is None or state.stable == version:
            itself = "itself" if state.content_of(version).is_of_run(candidate.run_id) else "of another run"
            serves = f"version {version} {itself}" if state.stable else "none"
            raise ReleaseRefused(f"{model_name}: expected another version to serve beside the canary, found {serves}")
        export = prepared_export(registered)
        content = release_content(registered, export)
        switch = Switch(settings, model_name, partial(smoke_test, settings, model_name))
        if state.canary == version and state.content_of(version).export_sha256 != content.export_sha256:
            state = switch.step_aside(state, version)
        exported = unless_on_disk(export, state.loaded)
        switch.to_canary(state.with_content(version, content), version, exported=exported)
        trail.record(
            "canary_started",
            model=model_name,
            version=version,
            who=who,
            why=why,
            fingerprint=candidate.tags.get("data.fingerprint", ""),
            detail={"beside": state.stable, **plain(content)},
        )


def end_canary(model_name: str, settings: StackSettings, *, who: str | trail.Person, why: str) -> int:
    """Take the canary away; its version.

    Raises:
        ReleaseRefused: There is none.
        ServiceUnavailable: The model server does not answer in time.
    """
    with locked(model_name, "the end of a canary"):
        state = settle(model_name)
        version = state.canary
        if version is None:
            raise ReleaseRefused(f"{model_name}: expected a canary, found none")
        Switch(settings, model_name, partial(smoke_test, settings, model_name)).without_canary(state)
        trail.record("canary_ended", model=model_name, version=version, who=who, why=why)
    return version
