"""The list of requests: what is to be done, and what came of it.

Whatever leads from one DAG to the next stands in a durable list: new images, a prepared dataset, a challenger, a moved
champion, a served version. A watcher in the triggerer takes in the events of the Assets every two seconds, those sent
from outside too, starts one run for each request, and notes the run's outcome in the list and on the run; once a
minute it looks for what a quick pass cannot see. The page [Requests](/cxr/requests) and `cxr runs` show the list.

No run of this DAG is needed for that. One that is started by hand makes a thorough pass at once and shows the list in
its log.
"""

from __future__ import annotations

from airflow.sdk import dag, task
from assets import REQUESTS
from dag_rules import rules

from cxr_tasks.stack.pools import SERVING


@dag(
    dag_id="cxr_requests",
    schedule=[REQUESTS],
    catchup=False,
    max_active_runs=1,
    **rules("release", pool=SERVING),
    doc_md=__doc__,
    tags=["cxr"],
)
def cxr_requests():
    @task(multiple_outputs=False)
    def sweep() -> dict:
        import logging

        from cxr_tasks.contracts.shapes import plain
        from cxr_tasks.installation.logins import LIST_USER
        from cxr_tasks.installation.settings import StackSettings
        from cxr_tasks.worklist.airflow_api import AirflowApi
        from cxr_tasks.worklist.store import Worklist
        from cxr_tasks.worklist.work_off import work_off

        worklist = Worklist()
        done = work_off(AirflowApi(StackSettings.load(), LIST_USER), worklist, thorough=True)
        for request in worklist.listing():
            logging.getLogger(__name__).info(
                "%d  %s of %s  %s  %s", request.number, request.kind, request.subject, request.state, request.outcome
            )
        return plain(done)

    sweep()


cxr_requests()
