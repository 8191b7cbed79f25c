"""The checks of ``cxr doctor`` on what runs and what serves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.cli.doctor.findings import Finding, Level
from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.paths import served_root
from cxr_tasks.registry import permission, version_files, versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.model_files import recorded_digests
from cxr_tasks.stack.ports import reachable_from_outside
from cxr_tasks.stack.servers.model_server import warnings_of_real_server
from cxr_tasks.stack.show import stack_status
from serving.client.running import labelled_version, served_versions
from serving.served.agreement import serves, version_disagreements
from serving.served.contents import changed_files
from serving.served.state import ServingState, read_state
from serving.served.version_folders import version_folder

#: What every published version holds.
VERSION_FILES = ("saved_model.pb", "variables/variables.index")


def stack_findings(settings: StackSettings) -> list[Finding]:
    """Whether the stack is up, and whether each of its programs does its work."""
    if not settings.record.is_file():
        text = f"the stack of {settings.home} is down"
        return [Finding(check="stack", level="WARN", text=text, todo="'make up' starts it")]
    checks = []
    for row in stack_status(settings):
        name, state, detail = row["program"], row["state"], row["detail"]
        if row["is_healthy"]:
            checks.append(Finding(check="stack", level="OK", text=f"{name}: {detail or state}"))
        else:
            todo = f"'make logs NAME={name}' shows why; 'make up' starts what is stopped"
            checks.append(Finding(check="stack", level="FAIL", text=f"{name}: {detail or state}", todo=todo))
    return checks + exposure_findings(settings)


def exposure_findings(settings: StackSettings) -> list[Finding]:
    """Ports of the stack that others than this machine reach, and what a real model server leaves undone."""
    todo = "close it in the firewall, or let the embedded server serve: it listens on loopback only"
    checks = [
        Finding(check="stack", level="WARN", text=f"port {port} is open beyond this machine, on {address}", todo=todo)
        for port, address in sorted(reachable_from_outside(settings).items())
    ]
    warnings = warnings_of_real_server(settings, os.environ)
    return checks + [Finding(check="stack", level="WARN", text=warning) for warning in warnings]


def serving_findings(settings: StackSettings, *, is_up: bool) -> list[Finding]:
    """Per model: champion of the registry, serving state and model server agree, and its files are there."""
    checks = []
    for model in MODELS:
        try:
            state = read_state(model)
        except CxrError as error:
            checks.append(_serving("FAIL", str(error), f"'cxr history {model}' says which version served last"))
            continue
        checks += file_findings(model, state)
        if is_up:
            checks += _agreement(settings, model, state)
    return checks or [_serving("OK", "no model has been released yet")]


def _agreement(settings: StackSettings, model: str, state: ServingState) -> list[Finding]:
    try:
        bearer = versions.version_with_alias(model, versions.CHAMPION)
        champion = int(bearer.version) if bearer else None
        run_id = str(bearer.run_id or "") if bearer else ""
        checks = registry_findings(model, state)
        # Where the registry knows nothing, there is no version that could be promoted.
        checks += [] if checks else alias_findings(model, champion, state, run_id)
        lost = version_disagreements(model, state)
        checks += [_serving("FAIL", f"{model}: {problem.text}", problem.todo) for problem in lost]
        if state.stable is not None and not lost:
            checks += permission_findings(model, state.stable)
            checks += model_file_findings(model, state)
    except (CxrError, OSError) as error:
        text = f"{model}: the registry cannot be asked: {error}"
        checks = [_serving("FAIL", text, "'make logs NAME=mlflow' shows why")]
    labels = {label: labelled_version(settings, model, label) for label in ("stable", "canary")}
    return [*checks, *server_findings(model, state, served_versions(settings, model), labels)]


def registry_findings(model: str, state: ServingState) -> list[Finding]:
    """What it means when MLflow answers but knows no version of a model that has versions by log or serving state."""
    registered = {entry.version for entry in trail.entries(model) if entry.kind == "registered"}
    if (not registered and state.stable is None) or versions.model_versions(model):
        return []
    told = f"the audit log has {len(registered)} registered" if registered else "the audit log knows of none either"
    text = (
        f"{model}: MLflow answers but knows no version, {told}: its database was made anew or is another one, or the "
        f"model was deleted there; {serves(state)}"
    )
    todo = (
        "restore MLflow's database from a backup ('cxr restore FILE'). If it is to begin anew, 'cxr trigger RECIPE' "
        "makes the next version: it is number 1 again and another model, and what serves stays until it is released"
    )
    return [_serving("FAIL", text, todo)]


def alias_findings(model: str, champion: int | None, state: ServingState, run_id: str = "") -> list[Finding]:
    """The registry's champion, registered from ``run_id``, beside the version that serves."""
    if champion is None and state.stable is None:
        return []
    if champion is not None and champion == state.stable and state.content_of(champion).is_of_run(run_id):
        return [_serving("OK", f"{model}: version {champion} is champion and serves")]
    serves = f"version {state.stable} serves" if state.stable is not None else "nothing serves"
    if champion is None:
        text = f"{model}: {serves}, and no version bears the alias champion"
        return [_serving("FAIL", text, f"'cxr promote {model} {state.stable}', or set the alias in MLflow")]
    if champion == state.stable:
        serves += f", which is another one ({state.content_of(state.stable)}): the number has come again"
    if state.is_due(champion, run_id or state.handled_run):
        todo = "a release starts within a minute; if none does, trigger cxr_release and see 'make logs NAME=triggerer'"
        return [_serving("WARN", f"{model}: version {champion} is champion, {serves}: its release is due", todo)]
    text = f"{model}: version {champion} is champion, {serves}: its release was refused or failed"
    todo = f"'cxr history {model}' says why; promote another version, or override, or trigger cxr_release again"
    return [_serving("FAIL", text, todo)]


def model_file_findings(model: str, state: ServingState) -> list[Finding]:
    """Whether the model file in the registry is the one that was judged, and what serves was made from it."""
    version = state.stable
    if version is None:
        return []
    registered = versions.find_version(model, version)
    recorded = recorded_digests(model, version, str(registered.run_id or ""), dict(registered.tags)).model
    made_from = state.content_of(version).model_sha256
    if recorded and made_from and recorded != made_from:
        text = (
            f"{model}: version {version} serves an export of model file {made_from[:12]}, the one registered is "
            f"{recorded[:12]}"
        )
        return [
            _serving("FAIL", text, f"trigger cxr_release for {model}: it exports and checks version {version} anew")
        ]
    try:
        with work_folder() as work:
            digests = version_files.load_version(model, version, work).digests
    except ServiceUnavailable:
        raise
    except Exception as error:  # whatever MLflow's stores raise for artifacts that are gone
        todo = "what serves is the export made before, and goes on; restore MLflow's artifacts from a backup"
        return [_serving("FAIL", f"{model}: the files of version {version} in MLflow: {error}", todo)]
    text = f"{model}: the model file of version {version} in MLflow is the one registered ({digests.model[:12]})"
    return [_serving("OK", text)]


def permission_findings(model: str, version: int) -> list[Finding]:
    """Whether what serves may serve."""
    answer = permission.may_serve(model, version)
    if answer.allowed:
        return [_serving("OK", f"{model}: version {version} may serve: {answer.because}")]
    todo = f"'cxr rollback {model}', or 'cxr override {model} {version}' where a person answers for it"
    return [_serving("FAIL", f"{model}: version {version} serves and may not: {answer.because}", todo)]


def server_findings(
    model: str, state: ServingState, available: list[int], labels: Mapping[str, int | None]
) -> list[Finding]:
    """What the model server has loaded and labelled beside what it is to have."""
    wanted = [version for version in (state.stable, state.canary) if version is not None]
    missing, more = sorted(set(wanted) - set(available)), sorted(set(available) - set(state.loaded))
    checks = []
    if missing:
        text = f"{model}: version {_list(missing)} should answer and does not"
        checks.append(_serving("FAIL", text, "'make logs NAME=model-server' shows why"))
    if more:
        todo = "a change may be under way; if it stays, 'make logs NAME=model-server'"
        checks.append(_serving("WARN", f"{model}: version {_list(more)} is loaded and should not be", todo))
    for label, version in (("stable", state.stable), ("canary", state.canary)):
        if labels.get(label) != version and version not in missing:
            bears = f"is version {labels[label]}" if labels.get(label) is not None else "is not there"
            text = f"{model}: label {label} should be version {version}, it {bears}"
            todo = "a release under way moves it; if it stays, restart the model server: 'make down', 'make up'"
            checks.append(_serving("FAIL", text, todo))
    if state.changing is not None:
        todo = "a release is under way, or one was killed: the next release or rollback of the model clears it away"
        checks.append(_serving("WARN", f"{model}: version {state.changing} is on its way in or out", todo))
    if wanted and not checks:
        checks.append(_serving("OK", f"{model}: version {_list(sorted(wanted))} answers"))
    return checks


def file_findings(model: str, state: ServingState) -> list[Finding]:
    """Whether the files of all versions that serve, or that one can go back to, are there."""
    checks = []
    for version in sorted(state.kept):
        folder = version_folder(model, version)
        missing = [name for name in VERSION_FILES if not _is_filled(folder / name)]
        changed = "" if missing else changed_files(model, version, state.content_of(version))
        if missing:
            level: Level = "WARN" if version == state.previous else "FAIL"
            text = f"{folder}: {', '.join(missing)} missing or empty"
            checks.append(_files(level, text, _anew(model, version, state)))
        elif changed:
            todo = "find out who writes there; a server that is started anew would answer with these files: " + _anew(
                model, version, state
            )
            checks.append(_files("FAIL", changed, todo))
    if state.kept and not checks:
        checks.append(_files("OK", f"{served_root() / model}: version {_list(sorted(state.kept))} whole"))
    return checks


def _anew(model: str, version: int, state: ServingState) -> str:
    """How the files of a version that is kept come back, by the part that it has."""
    if version == state.canary:
        return f"'cxr canary {model} --end', then 'cxr canary {model} {version}' publishes it anew"
    if version == state.previous:
        return "a rollback to it is not possible; the next release brings another to go back to"
    return f"trigger cxr_release with model {model}, which publishes what was exported"


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _serving(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="serving", level=level, text=text, todo=todo)


def _files(level: Level, text: str, todo: str = "") -> Finding:
    return Finding(check="served files", level=level, text=text, todo=todo)
