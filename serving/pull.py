"""``python -m serving.pull --into DIR --server URL``: keep a model server's own folder as the installation's list says.

Beside each replica of a model server that shares no volume: fetches archives from the bucket, holds them against their
digests, publishes them by rename, and writes ``models.config`` only when all that it lists is there. TensorFlow's own
server reads no S3 since 2.7. A store that does not answer changes nothing: what serves goes on.

A release moves a label only when all replicas have loaded the version. One that was away meanwhile, with the list of
before on its disk, finds the label moved already, and its server would refuse the whole list for ever: a label may not
move to a version that is not loaded. So its puller first lists the new version beside what serves, and moves the label
when the server at URL has it (``listed_for``).
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError, DataDefect, ServiceUnavailable
from cxr_tasks.installation.storage.files import tree_sha256, write_text
from cxr_tasks.installation.storage.objects import Bucket
from serving.client.answers import AVAILABLE, RequestRefused
from serving.client.client import CxrClient
from serving.served.announced import LIST_KEY, from_list
from serving.served.models_config import ListedModel, config_text, listed_in

logger = logging.getLogger(__name__)

POLL_S = 1.0
#: Versions that are no longer listed stay for so long: the server unloads them first.
KEEP_S = 600.0
_MONITORING = 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n'


def pull(bucket: Bucket, into: Path, server: CxrClient | None = None) -> bool:
    """Bring ``into`` to the list of the bucket, or a step nearer to it; whether there is a list.

    Args:
        server: The one that serves from ``into``; without it, it is not asked what it has loaded.

    Raises:
        ServiceUnavailable: The store does not answer; ``models.config`` is as it was.
        DataDefect: An archive is not what the list says, or the list is none; likewise.
    """
    content = bucket.get(LIST_KEY)
    if content is None:
        return False
    models = from_list(content)
    for model in models:
        for version, digest in model.versions.items():
            _ensure(bucket, model.key(version), into / model.name / str(version), digest)
    listed = [
        ListedModel(model.name, into / model.name, tuple(sorted(model.versions)), model.labels) for model in models
    ]
    config = into / "models.config"
    present = config.read_text(encoding="utf-8") if config.is_file() else ""
    if server is not None:
        before = {model.name: model for model in listed_in(present)}
        listed = [listed_for(model, before.get(model.name), server) for model in listed]
    if models and present != config_text(listed):
        write_text(config, config_text(listed))
        config.chmod(0o644)
        logger.info("lists %s", ", ".join(f"{model.name} {list(model.versions)} {model.labels}" for model in listed))
    _prune(into, listed)
    return True


def listed_for(wanted: ListedModel, before: ListedModel | None, server: CxrClient) -> ListedModel:
    """``wanted``, or what ``server`` may be told instead while it has not loaded all of it.

    Then the versions of both are listed, and a label stays where it is until the server has the version it moves to.
    """
    if before is None or wanted == before:
        return wanted
    loaded = _loaded(server, wanted.name)
    on_disk = {version for version in before.versions if (wanted.base_path / str(version)).is_dir()}
    stays = {
        label: at
        for label, at in before.labels.items()
        if at in on_disk and wanted.labels.get(label, at) not in {at, *loaded}
    }
    if not stays:
        return wanted
    versions = tuple(sorted(on_disk | set(wanted.versions)))
    return ListedModel(wanted.name, wanted.base_path, versions, {**wanted.labels, **stays})


def _loaded(server: CxrClient, model: str) -> set[int]:
    """The versions that the server answers with; none where it does not answer."""
    try:
        return {version.version for version in server.versions(model) if version.state == AVAILABLE}
    except (RequestRefused, ServiceUnavailable):
        return set()


def _ensure(bucket: Bucket, key: str, folder: Path, digest: str) -> None:
    """The version in its place, whole; another content under the same number makes room for it."""
    note = folder.with_name(f".{folder.name}.sha256")
    if folder.is_dir() and note.is_file() and note.read_text().strip() == digest:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        bucket.fetch(key, aside / "version.tar")
        with tarfile.open(aside / "version.tar") as archive:
            # "data": no path out of the folder, no link, no device, no rights beyond reading and writing.
            archive.extractall(aside / "version", filter="data")
        actual = tree_sha256(aside / "version")
        if actual != digest:
            raise DataDefect(f"{key}: expected files with digest {digest[:12]}..., found {actual[:12]}...; not served")
        if folder.exists():
            os.rename(folder, aside / "former")
        os.rename(aside / "version", folder)
        write_text(note, digest + "\n")
    except tarfile.TarError as error:
        raise DataDefect(f"{key}: expected an archive of a version, found {error}; not served") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _prune(into: Path, models: Sequence[ListedModel]) -> None:
    """Remove versions that have not been listed for a while, and what a killed puller left half fetched."""
    for model in models:
        base = into / model.name
        for path in base.iterdir() if base.is_dir() else ():
            is_listed = path.name.isdecimal() and int(path.name) in model.versions
            is_half = path.is_dir() and path.name.startswith(".")
            if is_listed or not (path.name.isdecimal() or is_half):
                continue
            unlisted = base / f".{path.name}.unlisted"
            if not is_half and not unlisted.exists():
                unlisted.touch()
            elif is_half or time.time() - unlisted.stat().st_mtime > KEEP_S:
                shutil.rmtree(path, ignore_errors=True)
                unlisted.unlink(missing_ok=True)
        for version in model.versions:
            (base / f".{version}.unlisted").unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.pull", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, help="folder of the model server: versions, models.config")
    parser.add_argument("--server", help="REST address of that model server, such as http://127.0.0.1:8501")
    parser.add_argument("--once", action="store_true", help="bring it up to date and end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each look at the server
    try:
        into = options.into.absolute()
        into.mkdir(parents=True, exist_ok=True)
        write_text(into / "monitoring.config", _MONITORING)
        bucket = Bucket()
        server = CxrClient(options.server, patience_s=0) if options.server else None
    except CxrError as error:
        print(error, file=sys.stderr)
        return 1
    told = ""
    while True:
        try:
            is_there = pull(bucket, into, server)
            said = "" if is_there else "nothing is released yet; waiting"
        except CxrError as error:
            said = str(error)
        if said and said != told:
            logger.warning("%s", said)
        told = said
        if options.once:
            return 1 if said else 0
        time.sleep(POLL_S)


if __name__ == "__main__":
    sys.exit(main())
