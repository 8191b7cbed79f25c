"""Calls of Airflow's REST API: logged in, made again where that does no harm, refused with Airflow's reason."""

from __future__ import annotations

import time
from typing import Any

import requests

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.logins import Login

TIMEOUT_S = 30
#: The API server may be busy for a moment while tasks use all cores.
ATTEMPTS = 4


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


class AirflowCalls:
    """A session with the API server at ``url``; logged in with the first call, and anew when the token has run out."""

    def __init__(self, url: str, login: Login):
        self.url = url
        self._login = login
        self._session = requests.Session()
        # Loopback only: a proxy from the environment must not see the login.
        self._session.trust_env = False

    def pages(self, path: str, name: str) -> list[Any]:
        """All entries of the list ``name`` that the API gives a hundred at a time; ``path`` holds a query already."""
        entries: list[Any] = []
        while True:
            page = self.call("GET", f"{path}&limit=100&offset={len(entries)}")[name]
            entries += page
            if len(page) < 100:
                return entries

    def call(
        self, method: str, path: str, *, missing_is_none: bool = False, repeatable: bool = False, **options: Any
    ) -> Any:
        """The JSON of one call's answer, which is made again where no answer came and that does no harm.

        Args:
            path: Below ``/api/v2``, with its query.
            missing_is_none: Give None where Airflow knows no such thing (404), instead of ``Refused``.
            repeatable: A POST that may be made again though the first may have been done.
            options: As of ``requests.Session.request``.

        Raises:
            Refused: The same call would be refused again (400, 404, 409, 422).
            AirflowFailed: Any other answer that is none.
            ServiceUnavailable: No answer came, or the login is not taken.
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
