"""Which software is at work here: the commit of this checkout and the versions of the packages that results hang on."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import subprocess

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

log = logging.getLogger(__name__)

PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "mlflow", "apache-airflow", "numpy", "scikit-learn")


def installed_packages() -> dict[str, str]:
    """Python and ``PACKAGES``, name to version."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_commit() -> str | None:
    """Commit of this checkout; None where it is no checkout or git is absent."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("the commit is not known: %s", error)
        return None
    return done.stdout.strip() or None
