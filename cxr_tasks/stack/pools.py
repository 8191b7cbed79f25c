"""Airflow's pools: so many slots for what takes hours, and others that it can never take.

Each task of the platform belongs to one pool, and all pools together have as many slots as the executor runs at once:
a task that finds a free slot in its pool starts.
"""

from __future__ import annotations

import os

TRAINING, REPORTS, SERVING = "training", "reports", "serving"


def training_slots() -> int:
    """How many tasks of datasets and trainings run at once: one per core, 2 to 4."""
    return min(4, max(2, os.cpu_count() or 2))


def pools() -> dict[str, tuple[int, str]]:
    """Pool -> slots, and what they are for."""
    return {
        TRAINING: (training_slots(), "datasets and trainings: minutes to days"),
        REPORTS: (2, "reports, and what is prepared for a question: a minute or two"),
        SERVING: (3, "releases, rollbacks, questions and answers: at once, beside all others"),
    }


def parallel_tasks() -> int:
    """How many tasks run at once; a worker is forked for each when the scheduler starts."""
    return sum(slots for slots, _ in pools().values())
