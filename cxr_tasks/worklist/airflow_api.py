"""Airflow's REST API, as far as the platform needs it: start a run, watch its tasks, answer a question."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.logins import airflow_login
from cxr_tasks.installation.settings import StackSettings, require_up

TIMEOUT_S = 30
#: The API server may be busy for a moment while tasks use all cores.
ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class TaskRun:
    """One task of one DAG run as the API shows it."""

    dag_id: str
    run_id: str
    task_id: str
    state: str
    """``none`` while nothing has happened yet."""
    try_number: int
    seconds: float | None
    """Run time of the last try; None before it started."""
    map_index: int = -1
    """Which instance of a mapped task; -1 where the task is not mapped, or not yet."""
    n_done: int = 0
    n_mapped: int = 1
    """How many instances there are, and how many have ended well."""


@dataclass(frozen=True, slots=True)
class DagRun:
    dag_id: str
    run_id: str
    state: str


class Refused(ConfigurationError):
    """Airflow refuses a call that comes again with the same refusal; ``status`` is HTTP's."""

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status


class AirflowFailed(ServiceUnavailable):
    """Airflow answers, and fails over a call or does not let this login make it; ``status`` is HTTP's."""

    def __init__(self, text: str, status: int):
        super().__init__(text)
        self.status = status


class AirflowApi:
    """A session with the API server of the running stack, logged in with the generated login."""

    def __init__(self, settings: StackSettings, user: str = "admin"):
        require_up(settings)
        self.url = settings.airflow_url
        self._login = airflow_login(settings.secrets, user)
        self._session = requests.Session()
        # Loopback only: a proxy from the environment must not see the login.
        self._session.trust_env = False

    def trigger(self, dag_id: str, conf: dict[str, Any], run_id: str = "", note: str = "") -> DagRun:
        """Start a run of ``dag_id``, once: a call that is made again with the same ``run_id`` finds the run it made.

        Args:
            run_id: Of the run; without it one is made up, which no other call makes up.
            note: Shown on the run.

        Raises:
            Refused: Airflow refuses ``conf``, with its reason, or knows a run with this id and another ``conf``.
        """
        run_id = run_id or f"cxr__{datetime.now(UTC):%Y%m%dT%H%M%S}_{secrets.token_hex(4)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "note": note or None}
        try:
            answer = self._call("POST", f"/dags/{dag_id}/dagRuns", repeatable=True, json=body)
        except Refused as error:
            if error.status != 409:
                raise
            # The answer to an earlier call was lost.
            answer = self._call("GET", _run(dag_id, run_id))
            if answer["conf"] != conf:
                raise
        return DagRun(dag_id, answer["dag_run_id"], answer["state"])

    def wait_for_dags(self, dag_ids: tuple[str, ...], limit_s: float) -> None:
        """Until Airflow has parsed all of ``dag_ids``; ``ServiceUnavailable`` names those it has not in time."""
        end = time.monotonic() + limit_s
        while True:
            known = {one["dag_id"] for one in self._call("GET", "/dags?limit=100")["dags"]}
            missing = [name for name in dag_ids if name not in known]
            if not missing:
                return
            if time.monotonic() > end:
                broken = self._call("GET", "/importErrors")["import_errors"]
                detail = "; ".join(f"{one['filename']}: {one['stack_trace'].splitlines()[-1]}" for one in broken)
                raise ServiceUnavailable(
                    f"Airflow at {self.url}: expected the DAGs {', '.join(missing)}, found none in {limit_s:.0f} s. "
                    f"{detail or 'No DAG file has an import error.'}"
                )
            time.sleep(1)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        answer = self._call("GET", _run(dag_id, run_id))
        return DagRun(dag_id, run_id, answer["state"])

    def runs_changed_since(self, moment: datetime) -> list[dict[str, Any]]:
        """The runs of all DAGs that have begun, gone on or ended since ``moment``, as the API tells of them."""
        return self._pages(f"/dags/~/dagRuns?updated_at_gte={quote(moment.isoformat())}&order_by=id", "dag_runs")

    def run_facts(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        """All that the API tells of a run; None where there is none."""
        return self._call("GET", _run(dag_id, run_id), missing_is_none=True)

    def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Put a note on a run, in place of the one that it has."""
        self._call("PATCH", f"{_run(dag_id, run_id)}?update_mask=note", json={"note": text[:1000]})

    def asset_events_since(self, moment: datetime) -> list[dict[str, Any]]:
        """The events of all Assets from ``moment`` on, oldest first, as the API tells of them."""
        asked = f"timestamp_gte={quote(moment.isoformat())}&order_by=timestamp"
        return self._pages(f"/assets/events?{asked}", "asset_events")

    def ensure_pool(self, name: str, n_slots: int, description: str) -> None:
        """Make a pool, or give it as many slots as it shall have."""
        wanted = {"slots": n_slots, "description": description, "include_deferred": False}
        present = self._call("GET", f"/pools/{name}", missing_is_none=True)
        if present is None:
            self._call("POST", "/pools", json={"name": name, **wanted})
        elif any(present[key] != value for key, value in wanted.items()):
            mask = "&".join(f"update_mask={key}" for key in wanted)
            self._call("PATCH", f"/pools/{name}?{mask}", json=wanted)

    def tasks(self, run: DagRun) -> list[TaskRun]:
        """The tasks of a run, in no promised order."""
        answer = self._call("GET", f"{_run(run.dag_id, run.run_id)}/taskInstances?limit=1000")
        return [
            TaskRun(
                run.dag_id,
                run.run_id,
                one["task_id"],
                one["state"] or "none",
                one["try_number"] or 0,
                one["duration"],
                one["map_index"],
            )
            for one in answer["task_instances"]
        ]

    def pid_of(self, task: TaskRun) -> int | None:
        """Process id of a running task, on the machine that runs it."""
        return self._call("GET", _instance(task))["pid"]

    def answer(self, question: TaskRun, choice: str, inputs: dict[str, str]) -> None:
        """Answer a task that waits for a person; ``ServiceUnavailable`` where this login may not."""
        place = f"{_unmapped(question)}/{question.map_index}"
        self._call("PATCH", f"{place}/hitlDetails", json={"chosen_options": [choice], "params_input": inputs})

    def question(self, question: TaskRun) -> dict[str, Any]:
        """What Airflow itself keeps of a task that asks a person: the question, and who answered with which login."""
        return self._call("GET", f"{_unmapped(question)}/{question.map_index}/hitlDetails")

    def waiting(self, dag_id: str) -> list[TaskRun]:
        """The tasks of ``dag_id``, of all its runs, that wait for a person now; at most 1000."""
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns/~/taskInstances?state=awaiting_input&limit=1000")
        return [
            TaskRun(
                dag_id,
                one["dag_run_id"],
                one["task_id"],
                one["state"],
                one["try_number"] or 0,
                one["duration"],
                one["map_index"],
            )
            for one in answer["task_instances"]
        ]

    def end_question(self, question: TaskRun, because: str) -> None:
        """End a task that waits for a person, without an answer; what follows it goes on. The reason is its note."""
        body = {"new_state": "skipped", "note": because[:1000]}
        self._call("PATCH", f"{_unmapped(question)}/{question.map_index}", json=body)

    def xcom(self, task: TaskRun, key: str = "return_value") -> Any:
        """What a task handed on; None where it handed on nothing."""
        path = f"{_unmapped(task)}/xcomEntries/{key}?deserialize=false&stringify=false&map_index={task.map_index}"
        answer = self._call("GET", path, missing_is_none=True)
        return None if answer is None else answer["value"]

    def error_of(self, task: TaskRun) -> str:
        """The last error in a task's log, as ``Class: message``; a hint where the log holds none."""
        path = f"{_unmapped(task)}/logs/{task.try_number}?map_index={task.map_index}"
        answer = self._call("GET", path, headers={"Accept": "application/json"}, missing_is_none=True)
        lines = [one for one in (answer or {}).get("content", []) if isinstance(one, dict)]
        for line in reversed(lines):
            for detail in reversed(line.get("error_detail") or []):
                return f"{detail['exc_type']}: {detail['exc_value']}"
        for line in reversed(lines):
            if line.get("level") in {"error", "critical"}:
                return str(line.get("event"))
        return "the log names no error; the process may have been killed"

    def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        """All entries of a list that the API gives a hundred at a time."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", f"{path}&limit=100&offset={len(entries)}")[name]
            entries += page
            if len(page) < 100:
                return entries

    def _call(
        self, method: str, path: str, *, missing_is_none: bool = False, repeatable: bool = False, **options: Any
    ) -> Any:
        """One call, made again where no answer came and that does no harm.

        Args:
            repeatable: A POST that may be made again though the first may have been done.
        """
        may_repeat = repeatable or method != "POST"
        for attempt in range(ATTEMPTS):
            try:
                if "Authorization" not in self._session.headers:
                    self._log_in()
                answer = self._session.request(method, f"{self.url}/api/v2{path}", timeout=TIMEOUT_S, **options)
            except (requests.ConnectionError, requests.Timeout) as error:
                if attempt + 1 == ATTEMPTS or (not may_repeat and isinstance(error, requests.Timeout)):
                    raise ServiceUnavailable(
                        f"Airflow at {self.url}: expected an answer, found {type(error).__name__}; see 'make status'"
                    ) from None
                time.sleep(2**attempt)
                continue
            if answer.status_code == 401 and attempt == 0:
                # The token has run out.
                del self._session.headers["Authorization"]
                continue
            if answer.status_code == 404 and missing_is_none:
                return None
            if answer.status_code >= 500 and (method == "GET" or repeatable) and attempt + 1 < ATTEMPTS:
                time.sleep(2**attempt)
                continue
            if not answer.ok:
                raise _refusal(self.url, method, path, answer)
            return answer.json() if answer.content else None
        raise ServiceUnavailable(
            f"Airflow at {self.url}: expected an answer to {method} {path}, found none; see 'make status'"
        )

    def _log_in(self) -> None:
        answer = self._session.post(
            f"{self.url}/auth/token",
            json={"username": self._login.username, "password": self._login.password},
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            raise ServiceUnavailable(
                f"Airflow at {self.url}: expected to log in, found {answer.status_code}; see 'make status'"
            )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _instance(task: TaskRun) -> str:
    return _unmapped(task) if task.map_index < 0 else f"{_unmapped(task)}/{task.map_index}"


def _unmapped(task: TaskRun) -> str:
    return f"/dags/{task.dag_id}/dagRuns/{quote(task.run_id, safe='')}/taskInstances/{task.task_id}"


def _refusal(url: str, method: str, path: str, answer: requests.Response) -> Exception:
    try:
        detail = answer.json().get("detail", answer.text)
    except ValueError:
        detail = answer.text
    call = f"{method} {path.split('?', maxsplit=1)[0]}"
    text = f"Airflow at {url}: {call} was refused with {answer.status_code}: {str(detail)[:500]}"
    if answer.status_code in (400, 404, 409, 422):
        return Refused(text, answer.status_code)
    return AirflowFailed(text, answer.status_code)
