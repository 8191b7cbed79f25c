"""Buttons on a task's page in the UI."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink


class TaskLink(BaseOperatorLink):
    """A button on the task's page in the UI; the task pushes the address as an XCom under ``key``."""

    def __init__(self, label: str, key: str):
        self._label = label
        self._key = key

    @property
    def name(self) -> str:
        return self._label

    @property
    def xcom_key(self) -> str:
        # The very XCom that the task pushes: of a mapped task nothing else would be stored for the link.
        return self._key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return ti_key.xcom_pull(task_ids=ti_key.task_id, key=self._key, map_indexes=ti_key.map_index) or ""


def with_links(task_output: Any, *links: TaskLink) -> Any:
    """The output of a ``@task`` call, with buttons added to that task."""
    task_output.operator.operator_extra_links = tuple(links)
    return task_output
