"""Where files made at run time live: under ``var/`` of the checkout, or ``CXR_HOME``."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[3]


def home() -> Path:
    """The root of everything made at run time: ``$CXR_HOME``, else ``var/`` beside the code."""
    return Path(os.environ.get("CXR_HOME") or PROJECT_ROOT / "var").absolute()


def datasets_root() -> Path:
    """Prepared datasets, as ``<name>/<fingerprint>/``."""
    return home() / "datasets"


def served_root() -> Path:
    """What the model server watches: ``<model>/<version>/``."""
    return home() / "served"


def recorded_root() -> Path:
    """Requests that the model server took down, as ``<model>/*.tfrecord``: images of patients, for the owner only."""
    return home() / "requests"


def reports_root() -> Path:
    """Finished reports, as ``<model>/<version>/index.html``."""
    return home() / "reports"


def evaluations_root() -> Path:
    """Models on datasets they were not trained on, as ``<model>/<version>/<dataset>-<fingerprint>/``."""
    return home() / "evaluations"


def scores_root() -> Path:
    """Scored folders of images, as ``<model>/v<version>-<digest>/``: for the owner only."""
    return home() / "scores"


def monitor_root() -> Path:
    """What was seen of served models, as ``<model>/<version>-<run>/<day>/index.html``."""
    return home() / "monitor"


def report_path(model_name: str, version: int) -> Path:
    """The page of one version, also before it is written."""
    return reports_root() / model_name / str(version) / "index.html"


def secrets_root(of: Path | None = None) -> Path:
    """Generated logins and keys, readable by the owner only: in the run-time folder (``of``), else ``$CXR_SECRETS``."""
    return Path(os.environ.get("CXR_SECRETS") or (of or home()) / "secrets").absolute()


def audit_log() -> Path:
    """The log of every registration, verdict, approval and release; readable by the owner only."""
    return home() / "audit" / "log.jsonl"


#: Folders of the run-time folder whose files are referred to by path from tables, runs and databases.
REFERRED = (
    "runs",
    "datasets",
    "exports",
    "served",
    "reports",
    "evaluations",
    "scores",
    "synthetic",
    "chexpert_tfds",
    "weights",
)


def relocated(path: Path | str) -> Path:
    """``path``, or what it is called now where it lay below the run-time folder of a former place.

    A checkout that was moved, another disk, a restored backup: what was written down then begins with another folder,
    and goes on as it does here. A path below today's run-time folder, or to which there is nothing here, stays.
    """
    path = Path(path)
    if path.is_relative_to(home()):
        return path
    for place in range(len(path.parts) - 1, 0, -1):
        if path.parts[place] in REFERRED and (here := home().joinpath(*path.parts[place:])).exists():
            return here
    return path


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The folder of one run; stages write under it and nowhere else before they publish."""

    root: Path

    @classmethod
    def for_run(cls, dag_name: str, run_name: str) -> RunPaths:
        """The folder of the run ``run_name`` of a DAG; run ids hold ``:`` and ``+``, folder names must not.

        A short hash keeps two run ids apart that differ only in replaced characters.
        """
        readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{dag_name}__{run_name}").strip("._")[:120]
        digest = hashlib.sha256(f"{dag_name}\0{run_name}".encode()).hexdigest()[:8]
        return cls(home() / "runs" / f"{readable}-{digest}")

    def stage(self, name: str) -> Path:
        """The folder of stage ``name`` in this run, made if absent."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def inside(root: Path, candidate: Path) -> bool:
    """Whether ``candidate``, with links followed, lies in ``root``."""
    return candidate.resolve().is_relative_to(root.resolve())
