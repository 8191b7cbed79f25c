"""From the registry's champion to a version that the model server answers with; undone whole if any step fails."""

from __future__ import annotations

import logging
from pathlib import Path

from cxr_tasks.contracts.artifacts import ArtifactRef, published_folder, write_json
from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.handoffs import RegisteredModel, ReleasedModel
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.registry import tracking
from cxr_tasks.registry import versions as registry
from cxr_tasks.stack.settings import StackSettings
from cxr_tasks.tensorflow_start import start_tensorflow
from serving import rest_client
from serving import versions as on_disk

logger = logging.getLogger(__name__)

#: The embedded server may still have to start, and TensorFlow's import alone takes long on busy cores.
AVAILABLE_LIMIT_S = 240.0
#: On a version in the registry: the model server has answered with it.
SERVED_TAG = "release.served"


def champion_of(model_name: str) -> RegisteredModel:
    """The registry's champion of ``model_name``; ``NoSuchVersion`` where there is none."""
    found = registry.version_with_alias(model_name, registry.CHAMPION)
    if found is None:
        raise registry.NoSuchVersion(
            f"{model_name}: expected a version with alias {registry.CHAMPION!r} in the registry, found none; "
            "train one first"
        )
    return RegisteredModel(
        model_name=model_name, version=int(found.version), mlflow_run_id=str(found.run_id), alias=registry.CHAMPION
    )


def export_version(champion: RegisteredModel, paths: RunPaths) -> Path:
    """The SavedModel of a registered version, in this run's folder; made once."""
    start_tensorflow()
    from serving.export import export_saved_model

    work = paths.stage(f"release/{champion.model_name}")
    folder = work / "exported" / str(champion.version)
    if not folder.exists():
        loaded = registry.load_version(champion.model_name, champion.version, work / "downloaded")
        with published_folder(folder) as aside:
            export_saved_model(loaded.keras_model(), loaded.contract, aside)
        logger.info("%s version %d exported to %s", champion.model_name, champion.version, folder)
    return folder


def check_version(champion: RegisteredModel, exported: Path, paths: RunPaths) -> ArtifactRef:
    """``parity.json``, once a server process of its own answered for ``exported`` as the registered model does."""
    from serving.server_process import model_server

    work = paths.stage(f"release/{champion.model_name}")
    with model_server(champion.model_name, exported.parent, work / "check_server.log") as server:
        # Now and not earlier: this process and the server load TensorFlow side by side.
        start_tensorflow()
        from serving.check import check_server, in_process_probabilities

        loaded = registry.load_version(champion.model_name, champion.version, work / "downloaded")
        model = loaded.keras_model()
        parity = check_server(
            server,
            champion.version,
            loaded.contract,
            expected=lambda images: in_process_probabilities(model, loaded.contract, images),
        )
    path = work / "parity.json"
    write_json(path, plain(parity))
    logger.info(
        "%s version %d: %d images, largest difference %.2g (bound %.0g), loaded in %.1f s, median answer %.1f ms",
        champion.model_name,
        champion.version,
        parity.n_images,
        parity.largest_difference,
        parity.tolerance,
        parity.load_seconds,
        parity.median_latency_ms,
    )
    return ArtifactRef.of(path)


def publish_version(
    champion: RegisteredModel, exported: Path, parity: ArtifactRef, settings: StackSettings
) -> ReleasedModel:
    """Publish a checked version and wait until the running model server answers with it.

    Any failure before the server has answered takes the version away again, so that it falls back to the one before.

    Raises:
        ReleaseRefused: The server answers, but not with this version or not as promised.
        ServiceUnavailable: The server does not load it in time.
    """
    from cxr_tasks.stack.model_server import write_models_config

    name, version = champion.model_name, champion.version
    newer = [one for one in on_disk.versions_on_disk(name) if one > version]
    if newer:
        raise ReleaseRefused(
            f"{name}: expected version {version} to be the newest on the model server, found {newer[-1]}; "
            "going back is a rollback"
        )
    folder = on_disk.version_folder(name, version)
    is_new = version not in on_disk.versions_on_disk(name)
    # A release that was killed after its rename left a folder that nothing has answered for yet.
    has_served = not is_new and registry.version_tags(name, version).get(SERVED_TAG) == "true"
    try:
        if is_new:
            on_disk.publish(exported, name, version)
        write_models_config()
        seconds = rest_client.wait_available(settings, name, version, AVAILABLE_LIMIT_S)
        smoke_test(settings, name, version)
    except BaseException:
        if not has_served:
            on_disk.withdraw(name, version)
            logger.exception("%s version %d was taken back; what served before still serves", name, version)
        raise
    registry.set_version_tags(name, version, {SERVED_TAG: "true"})
    tracking.RunLog(tracking.client(), champion.mlflow_run_id).artifact(parity.verified_path(), "release")
    removed = on_disk.prune(name)
    logger.info("%s version %d serves after %.1f s; removed from disk: %s", name, version, seconds, removed or "none")
    return ReleasedModel(
        model_name=name, version=version, mlflow_run_id=champion.mlflow_run_id, folder=str(folder), parity=parity
    )


def smoke_test(settings: StackSettings, model_name: str, version: int) -> None:
    """Requests to the running server that name no version: the new one must answer, and the gRPC port be open."""
    import grpc

    from serving.golden import golden_images

    newest = rest_client.served_versions(settings, model_name)
    if newest[:1] != [version]:
        raise ReleaseRefused(f"{model_name}: expected version {version} to answer, found {newest or 'none'}")
    for kind, image in golden_images().items():
        try:
            answer = rest_client.predict(settings, model_name, image)
        except rest_client.RequestRefused as error:
            raise ReleaseRefused(
                f"{model_name} version {version}: expected an answer to {kind}, found {error}"
            ) from error
        if not all(0 <= one <= 1 for one in answer.probabilities):
            raise ReleaseRefused(
                f"{model_name} version {version}: expected probabilities in [0, 1], found {answer.probabilities}"
            )
    with grpc.insecure_channel(settings.grpc_address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=10)
        except grpc.FutureTimeoutError:
            raise ReleaseRefused(f"expected gRPC at {settings.grpc_address}, found no answer") from None
