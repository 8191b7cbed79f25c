"""Starting the model server: what it serves, when it can start, and which server it is.

The real server waits for ever, with no port open, when a listed model has no version yet. So only models with a
version are listed (``serving.served.models_config``), and the server starts when the first version of any model is
there.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.files import write_text
from cxr_tasks.installation.storage.paths import recorded_root
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.predictions.log import bounds_of, predictions_root
from serving.check.server_process import server_executable
from serving.served.batching import batching_flags
from serving.served.leftovers import settle_all
from serving.served.models_config import models_config_path, write_models_config

POLL_INTERVAL_S = 1.0
REQUEST_LOG_VARIABLE = "CXR_REQUEST_LOG"


def write_monitoring_config() -> Path:
    """Write the file that turns on the Prometheus page of either server, and return its path."""
    path = models_config_path().with_name("monitoring.config")
    write_text(path, 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n')
    return path


def server_command(settings: StackSettings) -> list[str]:
    """The model server of the stack, with its ports and files."""
    return [
        *server_executable(),
        f"--port={settings.grpc_port}",
        f"--rest_api_port={settings.rest_port}",
        f"--model_config_file={models_config_path()}",
        f"--model_config_file_poll_wait_seconds={POLL_INTERVAL_S:.0f}",
        # Otherwise no server starts with a label in its list; labels that move need a loaded version all the same.
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={models_config_path().with_name('monitoring.config')}",
        # The default of 4 a core answers "exhausted" to the ninth of nine simultaneous callers on two cores.
        "--grpc_max_threads=64",
        # With the default of none, a version that cannot be loaded holds up every other load while it is tried again.
        "--num_load_threads=2",
        "--num_unload_threads=2",
    ]


def request_log_flags(environment: Mapping[str, str]) -> list[str]:
    """Flags of the embedded server that record requests, where ``CXR_REQUEST_LOG`` asks for it.

    Raises:
        ConfigurationError: It is not a share.
    """
    text = environment.get(REQUEST_LOG_VARIABLE, "")
    if not text:
        return []
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ConfigurationError(
            f"{REQUEST_LOG_VARIABLE}={text}: expected a share of the requests, more than 0 and at most 1; unset: none"
        )
    return [f"--request_log_folder={recorded_root()}", f"--request_log_share={share:g}"]


def prediction_log_flags(environment: Mapping[str, str]) -> list[str]:
    """Flags of the embedded server that log scores and image statistics, unless ``CXR_PREDICTION_LOG`` is ``off``.

    Raises:
        ConfigurationError: The variable, or one that bounds the log, cannot be understood.
    """
    bounds = bounds_of(environment)
    if bounds is None:
        return []
    return [
        f"--prediction_log_folder={predictions_root()}",
        f"--prediction_log_days={bounds.days}",
        f"--prediction_log_max_mib={bounds.max_bytes >> 20}",
    ]


def warnings_of_real_server(settings: StackSettings, environment: Mapping[str, str]) -> list[str]:
    """What a person must know where ``tensorflow_model_server`` is on ``PATH``; empty where the embedded one serves."""
    if is_embedded():
        return []
    server = server_executable()[0]
    warnings = [
        f"{server} has no flag for an address: it answers on ports {settings.grpc_port} and {settings.rest_port} of "
        "every interface of this machine, without a login, and takes new lists of models from everyone who reaches "
        "them. Close these ports in the firewall, or take it off PATH: the embedded server listens on loopback only"
    ]
    if share := environment.get(REQUEST_LOG_VARIABLE, ""):
        warnings.append(
            f"{REQUEST_LOG_VARIABLE}={share} records nothing with {server}, which can record no requests; the embedded "
            "server can"
        )
    return warnings


def is_embedded() -> bool:
    """Whether the server is the one of this repository."""
    return server_executable()[0] == sys.executable


def main() -> None:
    """Wait for a first version, then become the model server (the same process, so the supervisor sees one program)."""
    settings = StackSettings.load()
    write_monitoring_config()
    settle_all()
    for warning in warnings_of_real_server(settings, os.environ):
        print(f"WARNING: {warning}", flush=True)
    if not write_models_config():
        print(f"no model has a version under {settings.home / 'served'} yet; waiting for the first", flush=True)
        if is_embedded():
            # Loaded while there is nothing else to do, so that the first release need not wait for it.
            start_tensorflow()
            importlib.import_module("serving.server.server")
    while not (present := write_models_config()):
        time.sleep(POLL_INTERVAL_S)
    logs = [*request_log_flags(os.environ), *prediction_log_flags(os.environ)] if is_embedded() else []
    command = [*server_command(settings), *batching_flags(os.environ, is_embedded=is_embedded()), *logs]
    where = "loopback" if is_embedded() else "every interface"
    print(f"serving {', '.join(present)} on {where}: {' '.join(command)}", flush=True)
    if is_embedded():
        from serving.server.main import main as serve

        sys.exit(serve(command[len(server_executable()) :]))
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main()
