"""Does the registry still say of what serves what it said when it was released? For every command and page to show.

What serves lies under ``var/served`` and goes on whatever becomes of MLflow: a version may be deleted there, its run or
the whole database made anew, the alias moved or removed. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.registry import rest
from cxr_tasks.registry.versions import CHAMPION
from serving.served.state import ServingState, read_state
from serving.served.version_folders import is_aside


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What serves, what the registry says instead, and what to do."""

    model: str
    text: str
    todo: str

    def __str__(self) -> str:
        return f"{self.model}: {self.text}. {self.todo}"


def disagreements(models: tuple[str, ...] = MODELS) -> list[Disagreement]:
    """All there is to say of ``models``; empty where the registry agrees with what serves."""
    faults = []
    for model in models:
        try:
            state = read_state(model)
        except CxrError as error:
            faults.append(Disagreement(model, f"what serves cannot be told: {error}", f"See 'cxr history {model}'"))
            continue
        if state.stable is None:
            continue
        try:
            faults += [*version_disagreements(model, state), *alias_disagreements(model, state)]
        except CxrError as error:
            text = f"{serves(state)}; the registry cannot be asked whether it agrees: {error}"
            faults.append(Disagreement(model, text, "See 'make status' and 'make logs NAME=mlflow'"))
    return faults


def serves(state: ServingState) -> str:
    """Which version serves, by its number and its content."""
    if state.stable is None:
        return "nothing serves"
    return f"version {state.stable} serves ({state.content_of(state.stable)})"


def version_disagreements(model: str, state: ServingState) -> list[Disagreement]:
    """Whether the registry has what serves, and what serves as canary, under the same number and from the same run.

    Raises:
        ServiceUnavailable: The registry does not answer.
    """
    faults = []
    for part, version in (("serves", state.stable), ("serves as canary", state.canary)):
        if version is None:
            continue
        shown = f"version {version} {part} ({state.content_of(version)})"
        if is_aside(version):
            text = f"{shown}: that number is none of the registry's; a release under the number it had before broke off"
            faults.append(Disagreement(model, text, "Trigger cxr_release again, or 'cxr promote' another version"))
            continue
        registered = rest.get_version(model, version)
        if registered is None:
            text = f"{shown}, and the registry has no such version: it was deleted there, or the registry made anew"
            faults.append(Disagreement(model, text, _RESTORE.format(model=model)))
        elif not state.content_of(version).is_of_run(registered.run_id):
            text = (
                f"{shown}, and version {version} of the registry is another model (run {registered.run_id[:8]}): the "
                "number has come again"
            )
            todo = (
                f"Where it shall serve: 'cxr promote {model} {version} --reason TEXT', or trigger cxr_release where it "
                "is champion; otherwise promote another one"
            )
            faults.append(Disagreement(model, text, todo))
        elif registered.run_id and not rest.run_is_there(registered.run_id):
            text = f"{shown}, and the MLflow run {registered.run_id[:8]} it came from was deleted, with its files"
            todo = (
                "Restore the run in MLflow, or from a backup where it was removed for good; report, card and "
                "comparison with candidates need it"
            )
            faults.append(Disagreement(model, text, todo))
    return faults


def alias_disagreements(model: str, state: ServingState) -> list[Disagreement]:
    """Whether alias ``champion`` is on what serves.

    Raises:
        ServiceUnavailable: The registry does not answer.
    """
    champion = rest.version_with_alias(model, CHAMPION)
    if champion is None:
        text = f"{serves(state)}, and no version of the registry bears alias {CHAMPION}"
        is_there = state.stable is not None and rest.get_version(model, state.stable) is not None
        todo = f"'cxr promote {model} {state.stable} --reason TEXT', or another version that shall serve"
        return [Disagreement(model, text, todo if is_there else _RESTORE.format(model=model))]
    same_number = champion.version == state.stable
    if same_number and state.content_of(state.stable).is_of_run(champion.run_id):
        return []
    named = f"{serves(state)}, and {CHAMPION} in the registry is version {champion.version} (run {champion.run_id[:8]})"
    if state.is_due(champion.version, champion.run_id):
        todo = "Its release starts within a minute; if none does, trigger cxr_release, see 'make logs NAME=triggerer'"
        return [Disagreement(model, f"{named}: its release is due", todo)]
    todo = f"'cxr history {model}' says why; promote another version, or override, or trigger cxr_release again"
    return [Disagreement(model, f"{named}: its release was refused or failed", todo)]


_RESTORE = (
    "Promote a version that the registry has ('cxr models' lists them; cxr promote {model} VERSION --reason TEXT), or "
    "restore MLflow's database from a backup; until then it serves on, and a rollback or restart keeps it"
)
