"""Put the registry's champions behind the model server.

Started by `champion` for the model that has a new one, or by hand. Publishes `served_model`, which starts
`cxr_report`.

**find** reads which versions bear alias `champion` and whether they may serve: the gate's verdict is PASS, or somebody
overrode it. **prepare** writes a version's SavedModel, loads it in a model server process of its own, and holds its
answers against the registered model's and its speed against the version that serves now; what was prepared before is
found done. **publish** renames it to its place, waits until the running server has it loaded, moves label `stable` to
it and sends requests; if anything fails the version is taken away again, and what served before still serves.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task, task_group
from assets import CHAMPION, SERVED
from dag_defaults import asked_for, champions_asked_for, run_paths, tell_result, triggered_by
from dag_rules import rules
from forms import model_param

from cxr_tasks.stack.pools import SERVING


@dag(
    dag_id="cxr_release",
    schedule=None,
    catchup=False,
    # Two releases of one model wait for each other; one at a time keeps them in the order of the champions.
    max_active_runs=1,
    **rules("release", pool=SERVING),
    doc_md=__doc__,
    params={"model": model_param()},
    tags=["cxr", "serving"],
)
def cxr_release():
    @task(multiple_outputs=False, inlets=[CHAMPION])
    def find() -> list:
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from serving.release.take_up import take_up

        champions = [RegisteredModel.from_payload(model) for model in champions_asked_for()]
        asked = asked_for().get("version")
        if asked is not None and (now := champions[0].version) != asked:
            # That one has a request of its own.
            tell_result(f"not released: version {now} is champion by now, not {asked}")
            return []
        return [champion.to_payload() for champion in take_up(champions, triggered_by())]

    @task(multiple_outputs=False)
    def prepare(champion: dict) -> dict:
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from serving.release.stage import prepare_release

        prepare_release(RegisteredModel.from_payload(champion), run_paths())
        return champion

    @task(multiple_outputs=False, outlets=[SERVED])
    def publish(champion: dict) -> dict:
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from cxr_tasks.installation.settings import StackSettings
        from serving.release.stage import publish_version

        released = publish_version(
            RegisteredModel.from_payload(champion), StackSettings.load(), triggered_by()
        ).to_payload()
        get_current_context()["outlet_events"][SERVED].extra = {
            "model": released["model_name"],
            "version": released["version"],
            "mlflow_run_id": released["mlflow_run_id"],
        }
        tell_result(f"version {released['version']} serves")
        return released

    @task_group(prefix_group_id=False)
    def release(champion: dict) -> None:
        publish(prepare(champion))

    release.expand(champion=find())


cxr_release()
