"""What Airflow's API tells of runs and events, as far as the list of requests reads it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class RunFacts(TypedDict):
    """What the API tells of a DAG run, as far as it is used here; a run in hand may lack what is not required."""

    dag_id: str
    dag_run_id: str
    state: str
    conf: dict[str, Any] | None
    """The form's fields."""
    note: NotRequired[str | None]
    end_date: NotRequired[str | None]
    """ISO 8601; None while it runs."""
    run_type: NotRequired[str]
    triggering_user_name: NotRequired[str | None]


class AssetEvent(TypedDict):
    """What the API tells of an event of an Asset; a source is missing where it came from outside."""

    id: int
    name: str
    """Of the Asset."""
    timestamp: str
    """ISO 8601."""
    extra: NotRequired[dict[str, Any] | None]
    """Whatever the sender said."""
    source_dag_id: NotRequired[str | None]
    source_task_id: NotRequired[str | None]
    source_run_id: NotRequired[str | None]
    source_map_index: NotRequired[int | None]
