"""Airflow's scheduler, with the libraries that most tasks need imported before its workers are forked.

A task is a fork of a worker and a worker a fork of the scheduler, so what is imported here is there in every task
at no cost, in memory that all share. A task that finds nothing imported spends 3 s of processor time on MLflow and
6 s on Great Expectations, and two runs side by side have some thirty such tasks.

Only libraries, none of our own modules: a change to those is seen by the next task. And not TensorFlow: it does not
survive a fork once it has begun to work, so each task that needs it imports it itself.
"""

from __future__ import annotations

import importlib
import logging
import sys

#: In the order in which they are imported.
SHARED = (
    "numpy",
    "pyarrow.parquet",
    "pandas",
    "scipy.special",
    "sklearn.metrics",
    "mlflow",
    "mlflow.tracking",
    "great_expectations",
)


def import_shared() -> None:
    """Import ``SHARED`` into this process."""
    # It would log every expectation it knows.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for name in SHARED:
        importlib.import_module(name)


def become_airflow(*arguments: str) -> None:
    """Become Airflow's command ``arguments``, with ``SHARED`` imported; does not return before it ends."""
    import_shared()
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *arguments]
    airflow()


if __name__ == "__main__":
    become_airflow("scheduler", *sys.argv[1:])
