"""``models.config``, which the running model server reads again every second: generated from the serving states.

The real server checks labels before it loads anything, refuses a whole file that moves a label to a version which is
not loaded, and starts with labels only by ``--allow_version_labels_for_unavailable_models``. So whoever changes a
state first lets the new version load without a label, and moves the label when it is AVAILABLE
(``serving.release.switch``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.contracts.families import MODELS
from cxr_tasks.installation.storage.files import write_text
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.objects import Bucket, bucket_name
from cxr_tasks.installation.storage.paths import home, served_root
from serving.served.announced import announce
from serving.served.state import read_state
from serving.served.version_folders import versions_on_disk

LABELS = (STABLE, CANARY) = ("stable", "canary")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of ``models.config``."""

    name: str
    base_path: Path
    versions: tuple[int, ...]
    labels: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """The entry in protobuf's text format."""
        versions = " ".join(f"versions: {version}" for version in self.versions)
        labels = "".join(
            f'    version_labels {{ key: "{label}" value: {version} }}\n' for label, version in self.labels.items()
        )
        return (
            "  config {\n"
            f'    name: "{self.name}"\n'
            f'    base_path: "{self.base_path}"\n'
            '    model_platform: "tensorflow"\n'
            f"    model_version_policy {{ specific {{ {versions} }} }}\n"
            f"{labels}"
            "  }\n"
        )


def config_text(models: Iterable[ListedModel]) -> str:
    """``models.config`` of the model server, as text of its protocol buffer."""
    return f"model_config_list {{\n{''.join(model.text() for model in models)}}}\n"


_MODEL = re.compile(
    r'name: "(\w+)"\s+base_path: "([^"]*)".*?specific \{([^}]*)\} \}\n(.*?)^  \}', re.DOTALL | re.MULTILINE
)
_LABEL = re.compile(r'version_labels \{ key: "(\w+)" value: (\d+) \}')


def listed_in(text: str) -> tuple[ListedModel, ...]:
    """The models of a text that ``config_text`` made; of another one, those that look like it."""
    return tuple(
        ListedModel(
            name,
            Path(base),
            tuple(int(version) for version in re.findall(r"versions: (\d+)", versions)),
            {label: int(version) for label, version in _LABEL.findall(labels)},
        )
        for name, base, versions, labels in _MODEL.findall(text)
    )


def models_config_path() -> Path:
    """The file that the model server of this installation watches."""
    return home() / "stack" / "models.config"


def models_to_serve() -> tuple[ListedModel, ...]:
    """Models with a version that is to be loaded and lies on disk: for another the server would wait without end."""
    listed = []
    for name in MODELS:
        state = read_state(name)
        present = versions_on_disk(name)
        versions = tuple(version for version in state.loaded if version in present)
        labelled = {STABLE: state.stable, CANARY: state.canary}
        labels = {label: version for label, version in labelled.items() if version is not None and version in versions}
        if versions:
            listed.append(ListedModel(name, served_root() / name, versions, labels))
    return tuple(listed)


def write_models_config() -> tuple[str, ...]:
    """Write ``models.config`` for the states as they are now, and return the names of its models.

    A server that still waits for a first version starts by it, a running one follows within about a second. Nothing
    is written while there is no model, since an empty list would make a running server unload all it has. Servers that
    share no volume are told by way of the bucket, where there is one.
    """
    path = models_config_path()
    # Releases of two models write at the same time: the one who writes last must have read last.
    with file_lock(path.with_name(".models.config.lock"), what=path.name, purpose="writing it", wait_s=60):
        models = models_to_serve()
        text = config_text(models)
        if models and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            write_text(path, text)
        if bucket_name():
            announce(Bucket(), _to_announce())
    return tuple(model.name for model in models)


def _to_announce() -> list[tuple[str, Path, dict[int, str], dict[str, int]]]:
    """What is to be loaded, also what is not on disk any more: a model server elsewhere serves it from the bucket."""
    told = []
    for name in MODELS:
        state = read_state(name)
        versions = {version: state.content_of(version).export_sha256 for version in state.loaded}
        labelled = {STABLE: state.stable, CANARY: state.canary}
        told.append((name, served_root() / name, versions, {k: v for k, v in labelled.items() if v is not None}))
    return told
