"""The server process of the infra check: one version alone, and later, beside it, the version that serves now."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.installation.storage.files import write_text
from serving.check.server_process import RunningServer, configured_server
from serving.served.models_config import ListedModel, config_text
from serving.served.state import read_state
from serving.served.version_folders import version_folder

#: Name of the version that serves now, on the check's server.
FORMER = "former"


@dataclass(frozen=True, slots=True)
class CheckServer:
    """A server that was started for ``version`` of ``model_name`` in ``base_path``."""

    model_name: str
    version: int
    base_path: Path
    former: int | None
    """The version that serves now; None where there is none, or it is the same one."""
    config: Path
    process: RunningServer

    def list_former(self) -> None:
        """Have the version that serves now loaded too, under the name ``FORMER``.

        Not from the start: where it cannot be loaded, that is not the new version's fault, and ends the real server.
        """
        if self.former is not None:
            former = ListedModel(FORMER, version_folder(self.model_name, self.former).parent, (self.former,))
            write_text(self.config, config_text([_alone(self.model_name, self.base_path, self.version), former]))


@contextlib.contextmanager
def check_process(model_name: str, version: int, base_path: Path, work: Path) -> Iterator[CheckServer]:
    """A server for ``base_path/version``, which may be written later: the server waits for it."""
    config = work / "check.config"
    write_text(config, config_text([_alone(model_name, base_path, version)]))
    serving = read_state(model_name).stable
    is_other = serving is not None and serving != version and version_folder(model_name, serving).is_dir()
    with configured_server(config, work / "check_server.log") as process:
        yield CheckServer(model_name, version, base_path, serving if is_other else None, config, process)


def _alone(model_name: str, base_path: Path, version: int) -> ListedModel:
    return ListedModel(model_name, base_path, (version,))
