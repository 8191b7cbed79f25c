"""Airflow's Celery worker, with the libraries of most tasks imported before its processes are forked.

A module with nothing but the call of ``become_airflow`` under its guard: a process that a task starts afresh imports
the main program again, and ``airflow`` itself would then look for the database, whose address no task may see.
"""

from __future__ import annotations

import sys

from cxr_tasks.stack.servers.scheduler import become_airflow

if __name__ == "__main__":
    become_airflow("celery", "worker", *sys.argv[1:])
