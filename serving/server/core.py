"""The server without its ports: the configured models, their labels, and the look-up of what a request names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tensorflow_serving.apis import model_pb2

from serving.server.config import (
    ModelConfig,
    ModelServerConfig,
    check_models,
    check_platforms,
    config_of_one_model,
    read_model_config,
    watched_models,
)
from serving.server.flags import ServerOptions
from serving.server.loading.manager import Loader, LoadPolicy, VersionManager
from serving.server.loading.servable import Servable
from serving.server.loading.states import Failures, StateBoard
from serving.server.metrics import Metrics
from serving.server.status import StatusError
from serving.server.storage import VersionPoller

log = logging.getLogger(__name__)

Labels = dict[str, dict[str, int]]


class ServerCore:
    """The models a server serves. Thread-safe."""

    def __init__(self, options: ServerOptions, load: Loader, metrics: Metrics) -> None:
        self.options, self.metrics = options, metrics
        self.board = StateBoard()
        policy = LoadPolicy(
            max_retries=options.max_num_load_retries,
            retry_interval_s=options.load_retry_interval_micros / 1e6,
            n_load_threads=options.num_load_threads,
            n_unload_threads=options.num_unload_threads,
        )
        self.manager = VersionManager(load, policy, self.board)
        self._poller = VersionPoller(self.manager.aspire, options.file_system_poll_wait_seconds)
        self._labels: Labels = {}
        self._platforms: dict[str, str] = {}
        self._configuring = threading.Lock()
        self._stop = threading.Event()

    def start(self) -> None:
        """Loads the models that the options name and returns when each serves.

        A base path that is missing or has no wanted version is waited for, without end.

        Raises:
            StatusError: The configuration is refused, a model failed to load, or ``stop`` ended the waiting.
        """
        config = self._configured()
        self.manager.start()
        new = self._configure(config)
        self._poller.start()
        self._wait_for(new, "servable(s)", lambda: not self._stop.is_set())
        if self._stop.is_set():
            raise StatusError("CANCELLED", "The server was stopped while it waited for its models")
        if self.options.model_config_file and self.options.model_config_file_poll_wait_seconds > 0:
            threading.Thread(target=self._poll_config, name="config-poller", daemon=True).start()

    def stop(self) -> None:
        """Ends polling and loading; what serves goes on serving."""
        self._stop.set()
        self._poller.stop()
        self.manager.stop()

    def reload(self, config: ModelServerConfig, go_on: Callable[[], bool]) -> None:
        """Puts ``config`` in place of the present list; waits for the newly listed models only, while ``go_on()``.

        Other reloads are not held up by the wait.

        Raises:
            StatusError: The list is refused, or a new model failed to load (the list is in place all the same).
        """
        self._wait_for(self._configure(config), "model(s)", go_on)

    def lists(self, name: str) -> bool:
        """Whether ``name`` is a model of the present list."""
        return name in self._platforms

    def _configured(self) -> ModelServerConfig:
        if self.options.model_config_file:
            return read_model_config(self.options.model_config_file)
        if not self.options.model_base_path:
            raise StatusError(
                "INVALID_ARGUMENT",
                "Both server_options.model_base_path and server_options.model_config_file are empty!",
            )
        return config_of_one_model(self.options.model_name, self.options.model_base_path)

    def _configure(self, config: ModelServerConfig) -> list[str]:
        """Checks and takes over ``config``; gives the names of the models that were not listed before."""
        with self._configuring:
            models = check_models(config)
            self._labels = self._checked_labels(models)
            platforms = check_platforms(models, self._platforms)
            new = [name for name in platforms if name not in self._platforms]
            self._platforms = platforms
            self._poller.watch(watched_models(models))
            return new

    def _checked_labels(self, models: list[ModelConfig]) -> Labels:
        labels: Labels = {}
        for model in models:
            old = self._labels.get(model.name, {})
            for label, version in model.version_labels.items():
                is_new = label not in old and self.options.allow_version_labels_for_unavailable_models
                is_kept = old.get(label) == version and self.options.allow_version_labels_for_unavailable_models
                if not (is_new or is_kept or self.board.is_available(model.name, version)):
                    raise StatusError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of model {model.name}, which is not currently "
                        "available for inference",
                    )
                labels.setdefault(model.name, {})[label] = version
        return labels

    def _wait_for(self, names: list[str], word: str, go_on: Callable[[], bool]) -> None:
        def still_listed() -> bool:
            return go_on() and all(name in self._platforms for name in names)

        failed = self.board.wait_until_settled(names, self.manager.wanted_of, still_listed)
        if failed is None and go_on():
            raise StatusError("ABORTED", "Another reload took a model of this one off the list while it was loading")
        if failed:
            raise StatusError("UNKNOWN", f"{len(failed)} {word} did not become available: {{{_listed(failed)}}}")

    def _poll_config(self) -> None:
        while not self._stop.wait(self.options.model_config_file_poll_wait_seconds):
            try:
                self._configure(read_model_config(self.options.model_config_file))
            except StatusError as error:
                log.error("Model config file is refused, the old list stays: %s", error)  # noqa: TRY400 - one line

    @contextmanager
    def servable(self, spec: model_pb2.ModelSpec) -> Iterator[Servable]:
        """The version that ``spec`` names, held until the block ends.

        Raises:
            StatusError: ``INVALID_ARGUMENT`` without a name or for an unknown label, ``NOT_FOUND`` for what is not
                loaded.
        """
        if not spec.name:
            raise StatusError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        servable = self._found(spec)
        try:
            yield servable
        finally:
            servable.release()

    def _version(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice is None:
            return None
        version = self._labels.get(spec.name, {}).get(spec.version_label)
        if version is None:
            raise StatusError("INVALID_ARGUMENT", f"Unrecognized servable version label: {spec.version_label}")
        return version

    def _found(self, spec: model_pb2.ModelSpec) -> Servable:
        name = spec.name
        while True:
            version = self._version(spec)
            versions = self.manager.serving.get(name, {})
            chosen = max(versions, default=None) if version is None else version
            servable = versions.get(chosen) if chosen is not None else None
            if servable is not None and servable.hold():
                return servable
            if servable is None and version == self._version(spec):
                wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise StatusError("NOT_FOUND", f"Servable not found for request: {wanted}")
            # It is being closed, or its label has moved on since it was looked up: another one serves by now.


def _listed(failed: dict[str, Failures]) -> str:
    return "".join(
        f"{{{{name: {name} version: {version}}} due to error: {error}}}, "
        for name, failures in failed.items()
        for version, error in failures.items()
    )
