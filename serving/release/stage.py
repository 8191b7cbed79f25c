"""From the registry's champion to the version that the model server answers with; undone whole if any step fails.

``take_up`` asks whether versions may serve, ``prepare_release`` exports and checks it, ``publish_version`` lets it
serve. Each may be repeated, and each may be killed: what serves is whole all the while.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.handoffs.release import RegisteredModel, ReleasedModel
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry import rest, version_files
from cxr_tasks.registry import versions as registry
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.model_files import FileDigests, recorded_digests
from serving.check.latency_limit import max_latency_ratio
from serving.check.smoke import smoke_test
from serving.export import exports
from serving.release.outcome import is_last_served, note_failure, tell_registry
from serving.release.switch import Switch
from serving.release.take_up import AIRFLOW
from serving.served import version_folders as on_disk
from serving.served.contents import is_whole, unless_on_disk
from serving.served.leftovers import settle
from serving.served.state import Content, ServingState, locked, read_state

logger = logging.getLogger(__name__)

#: An export takes a minute where all cores are busy, and another process may be at it.
EXPORT_WAIT_S = 900.0


@room_for("exporting the version", 64 * MIB)
def prepare_release(registered: RegisteredModel, paths: RunPaths) -> ArtifactRef:
    """``parity.json`` of a version that is exported and checked; found done where that was done before.

    The check's server and this process load TensorFlow side by side.

    Raises:
        ReleaseRefused: The version fails the check (see ``serving.check.check``).
        ServiceUnavailable: The registry does not answer, or the server does not load the version in time.
    """
    name, version, max_ratio = registered.model_name, registered.version, max_latency_ratio(os.environ)
    folder = exports.export_folder(name, version)
    with file_lock(
        folder.parent / f".{version}.lock",
        what=f"the export of {name} version {version}",
        purpose="exporting and checking it",
        wait_s=EXPORT_WAIT_S,
    ):
        export = exports.find_export(registered)
        recorded = _recorded(registered)
        if export is not None and recorded.model and export.record.model_sha256 not in ("", recorded.model):
            logger.warning("%s: made from another model file than was registered; exported anew", folder)
            export = None
        is_of_it = export is not None and (export.record.model_sha256 or not recorded.model)
        if export is not None and is_of_it and (passed := export.passed()) is not None:
            logger.info("%s version %d was exported and checked before: %s", name, version, folder)
            return passed
        return _export_and_check(registered, export, paths, max_ratio)


def _export_and_check(
    registered: RegisteredModel, export: exports.Export | None, paths: RunPaths, max_ratio: float
) -> ArtifactRef:
    from serving.check.check_process import check_process

    work = paths.stage(f"release/{registered.model_name}")
    if export is None:
        exports.remove_export(registered)
    base_path = exports.export_folder(registered.model_name, registered.version)
    with check_process(registered.model_name, registered.version, base_path, work) as server:
        start_tensorflow()
        from serving.check.check import check_server, in_process_answers
        from serving.check.precision import choose_precision
        from serving.export.saved_model import export_saved_model

        loaded = version_files.load_version(registered.model_name, registered.version, work / "downloaded")
        model = loaded.keras_model()
        if loaded.contract.typicality is None:
            logger.info("%s: registered without typicality, and served without it", registered.model_name)
        chosen = choose_precision(model, loaded.contract, os.environ, work)
        if export is not None and export.record.precision != chosen.precision:
            exports.remove_export(registered)
            export = None
        if export is None:
            with exports.kept_export(registered, loaded.digests.model, chosen.precision) as target:
                export_saved_model(model, loaded.contract, target, precision=chosen.precision)
        parity = check_server(
            server,
            loaded.contract,
            expected=lambda images: in_process_answers(model, loaded.contract, images, chosen.precision),
            max_ratio=max_ratio,
        )
        parity = replace(parity, precision=chosen)
    logger.info("%s version %d: %s", registered.model_name, registered.version, parity)
    checked = exports.checked_against(exports.prepared_export(registered), loaded.digests.model)
    return checked.write_parity(plain(parity))


def _recorded(registered: RegisteredModel) -> FileDigests:
    """The digests of the files that the gate judged; ``NoSuchVersion`` where the registry has another version."""
    registered_now = rest.get_version(registered.model_name, registered.version)
    if registered_now is None or registered_now.run_id != registered.mlflow_run_id:
        raise registry.NoSuchVersion(_other(registered, registered_now))
    return recorded_digests(registered.model_name, registered.version, registered_now.run_id, registered_now.tags)


def _other(expected: RegisteredModel, there: rest.FoundVersion | None) -> str:
    now = "none" if there is None else f"one of run {there.run_id[:8]}: the number has come again"
    return (
        f"{expected.model_name}: expected version {expected.version} of run {expected.mlflow_run_id[:8]} in the "
        f"registry, found {now}; what serves was left as it is"
    )


@room_for("publishing the version", 32 * MIB)
def publish_version(
    champion: RegisteredModel, settings: StackSettings, who: str | trail.Person = AIRFLOW
) -> ReleasedModel:
    """Let a prepared version serve as ``stable``; the one before stays on disk to go back to.

    Any failure before the server has answered goes back to what served before.

    Raises:
        ReleaseRefused: It is not the champion any more, is not prepared, or the server does not answer with it as
            promised.
        ServiceUnavailable: The registry or the model server does not answer in time.
    """
    name, version = champion.model_name, champion.version
    with locked(name, f"a release of version {version}"):
        state = settle(name)
        fingerprint = _require_champion(champion)
        export = exports.prepared_export(champion)
        parity = export.passed()
        if parity is None:
            raise ReleaseRefused(f"{name} version {version}: expected an export that passed its check, found none")
        content = release_content(champion, export)
        try:
            seconds, before = _switch(settings, champion, state, export, content)
        except BaseException as error:
            note_failure(champion, error, who)
            raise
        if not is_last_served(champion, content):
            trail.record(
                "served",
                model=name,
                version=version,
                who=who,
                fingerprint=fingerprint,
                detail={"before": state.stable, "before_run": before.mlflow_run_id, **plain(content)},
            )
    logger.info("%s version %d serves, loaded in %.1f s", name, version, seconds)
    tell_registry(champion, parity)
    exports.prune_exports(name, read_state(name).kept)
    return ReleasedModel(
        model_name=name,
        version=version,
        mlflow_run_id=champion.mlflow_run_id,
        folder=str(on_disk.version_folder(name, version)),
        parity=parity,
    )


def release_content(champion: RegisteredModel, export: exports.Export) -> Content:
    """What is about to be published; ``ReleaseRefused`` where it was not made from the registered model."""
    recorded = _recorded(champion)
    made_from = export.record.model_sha256
    if recorded.model and made_from != recorded.model:
        raise ReleaseRefused(
            f"{champion.model_name} version {champion.version}: expected an export of the registered model (sha256 "
            f"{recorded.model[:12]}...), found one of {made_from[:12] or 'a model that was not recorded'}; trigger "
            "cxr_release again, which exports and checks it anew"
        )
    return Content(mlflow_run_id=champion.mlflow_run_id, export_sha256=export.record.sha256, model_sha256=made_from)


def _switch(
    settings: StackSettings, champion: RegisteredModel, state: ServingState, export: exports.Export, content: Content
) -> tuple[float, Content]:
    """Let the export serve as ``stable``; the seconds it took to load, and what served before.

    Where another content serves under the same number (the registry was made anew, or the version exported anew), that
    one first serves on under a number of its own: a number that is loaded cannot be filled with something else. So does
    a version whose files on disk were changed or are gone: the server has the former ones loaded, and would find these
    at its next start.
    """
    name, version = champion.model_name, champion.version
    switch = Switch(settings, name, partial(smoke_test, settings, name))
    before = state.content_of(state.stable)
    if version in state.loaded and state.content_of(version).export_sha256 != content.export_sha256:
        logger.warning("%s: another version %d is loaded (%s)", name, version, state.content_of(version))
        state = switch.step_aside(state, version)
    elif version in state.loaded and not is_whole(name, version, content):
        logger.warning("%s: the files of version %d are not those that were published; published anew", name, version)
        state = switch.step_aside(state, version, export.saved_model)
    was_other = state.stable is not None and not on_disk.is_aside(state.stable) and state.stable != version
    seconds = switch.to_stable(
        replace(state, handled=version, handled_run=champion.mlflow_run_id).with_content(version, content),
        version,
        previous=state.stable if was_other else state.previous,
        exported=unless_on_disk(export, state.loaded),
    )
    return seconds, before


def _require_champion(expected: RegisteredModel) -> str:
    """The data fingerprint of the champion, once it is known to be ``expected`` still."""
    champion = rest.version_with_alias(expected.model_name, registry.CHAMPION)
    if champion is None or (champion.version, champion.run_id) != (expected.version, expected.mlflow_run_id):
        now = "none" if champion is None else f"version {champion.version}"
        if champion is not None and champion.version == expected.version:
            now += f" of another run ({champion.run_id[:8]}): the number has come again"
        raise ReleaseRefused(
            f"{expected.model_name}: expected version {expected.version} to be champion still, found {now}; "
            "what serves was left as it is"
        )
    return champion.tags.get("data.fingerprint", "")
