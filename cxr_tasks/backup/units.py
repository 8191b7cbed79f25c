"""What lies in the run-time folder: what of it must stay, what is made again, what may go; and what a backup holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Stays = Literal["must stay", "is made again", "may go"]
#: Which option of ``cxr backup`` leaves a unit out; empty: none does.
Choice = Literal["", "datasets", "runs", "bucket"]

SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Unit:
    """One file or folder below the run-time folder, kept or replaced as a whole."""

    path: str
    what: str
    stays: Stays
    in_backup: bool = True
    is_database: bool = False
    choice: Choice = ""


UNITS = (
    # Databases first: what they refer to is written before they refer to it, so it is there when it is copied after.
    Unit("mlflow/mlflow.db", "runs, metrics and the registry", "must stay", is_database=True),
    Unit("mlflow/basic_auth.db", "MLflow's logins", "must stay", is_database=True),
    Unit("airflow/airflow.db", "Airflow's runs, approvals and schedules", "must stay", is_database=True),
    Unit("worklist/requests.db", "what was asked for, and what became of it", "must stay", is_database=True),
    Unit("airflow/migrated-by.txt", "the version of Airflow that its database fits", "is made again"),
    Unit("mlflow/artifacts", "models, metrics, predictions and cards", "must stay"),
    Unit("audit", "the audit log", "must stay"),
    Unit("served", "what serves, and what a rollback goes back to", "must stay"),
    Unit("exports", "versions made ready to serve", "is made again"),
    Unit("reports", "report pages; also on the MLflow runs", "is made again"),
    Unit("evaluations", "models on other datasets", "is made again"),
    Unit("predictions", "what was served: scores and statistics of images, no pixels", "must stay"),
    Unit("feedback", "labels that came later, of images that were served", "must stay"),
    Unit("feedback_images", "images of patients whose labels came back", "may go", in_backup=False),
    Unit("monitor", "pages of what was seen of served models", "is made again"),
    Unit("scores", "tables of what served versions said of folders of images", "must stay"),
    Unit("comparisons", "canaries beside what served", "is made again"),
    Unit("ingest", "which images were seen before", "is made again", choice="datasets"),
    Unit("datasets", "prepared images, and which patient is in which split", "must stay", choice="datasets"),
    Unit("runs", "tables and pages of each run; those of finished runs may go", "may go", choice="runs"),
    Unit(SECRETS, "logins, and the key of patient and study ids", "must stay", in_backup=False),
    Unit("lineage", "what each task read and wrote, as it was told to others", "may go", in_backup=False),
    Unit("requests", "recorded requests: images of patients", "may go", in_backup=False),
    Unit("weights", "starting weights, fetched again", "is made again", in_backup=False),
    Unit("synthetic", "drawn images", "is made again", in_backup=False),
    Unit("fetched", "data folders of a store, fetched again", "is made again", in_backup=False),
    Unit("chexpert_tfds", "unpacked images of a TFDS dataset", "is made again", in_backup=False),
    Unit("shared", "static files that pages of all runs share", "is made again", in_backup=False),
    Unit("stack", "configuration and logs of the programs", "may go", in_backup=False),
    Unit("airflow/logs", "logs of tasks", "may go", in_backup=False),
    Unit("user", "home of a user who has none", "may go", in_backup=False),
    Unit("backups", "databases as they were before each upgrade", "may go", in_backup=False),
)


#: Made at a restore; never part of a backup.
ASIDE = "replaced-"


def present_units(folder: Path) -> list[Unit]:
    """The units that are in the run-time folder, in the order to copy them; what no unit knows is one of its own."""
    known = [unit for unit in UNITS if (folder / unit.path).exists()]
    tops = {unit.path.partition("/")[0] for unit in UNITS}
    others = [
        Unit(path.name, "not known to this version", "must stay")
        for path in sorted(folder.iterdir() if folder.is_dir() else [])
        if path.name not in tops and not path.name.startswith((".", ASIDE))
    ]
    return [*known, *others]
