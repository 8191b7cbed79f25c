"""Airflow's pools: so many slots for what takes hours, and others that it can never take.

Each task of the platform belongs to one pool, and all pools together have as many slots as the executor runs at once:
a task that finds a free slot in its pool starts.
"""

from __future__ import annotations

import os

TRAINING, REPORTS, SERVING = "training", "reports", "serving"


#: Pool -> the queue of its tasks, which the workers of several machines listen to by name; one machine has no use for
#: it. A release never waits behind a training, and a training can be given machines of its own.
QUEUES = {TRAINING: "cpu", REPORTS: "cpu", SERVING: "release"}
#: The queue of what uses a GPU where there is one.
GPU_QUEUE = "gpu"


def training_slots() -> int:
    """How many tasks of datasets and trainings run at once: ``CXR_CLUSTER_SLOTS``, else one per core, 2 to 4."""
    if told := os.environ.get("CXR_CLUSTER_SLOTS"):
        return int(told)
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
