"""Put the registry's champions behind the model server.

Started by `champion` for the model that has a new one, or by hand. Publishes `served_model`, which starts
`cxr_report`.

**find** reads which versions bear alias `champion`. **export** writes a version's SavedModel. **check** loads that in a
model server process of its own and holds its answers against the registered model's. **publish** renames it to its
place, waits until the running server answers with it and sends a request; if anything fails the version is taken
away again, and what served before still serves.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task, task_group
from dag_defaults import CHAMPION, DEFAULT_ARGS, SERVED, champions_asked_for, model_param, run_paths


@dag(
    dag_id="cxr_release",
    schedule=[CHAMPION],
    catchup=False,
    # Two releases at once would race for the server's newest version.
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    params={"model": model_param()},
    tags=["cxr", "serving"],
)
def cxr_release():
    @task(multiple_outputs=False)
    def find() -> list:
        return champions_asked_for(CHAMPION)

    @task(multiple_outputs=False)
    def export(champion: dict) -> str:
        from cxr_tasks.contracts.handoffs import RegisteredModel
        from serving.release import export_version

        return str(export_version(RegisteredModel.from_payload(champion), run_paths()))

    @task(multiple_outputs=False)
    def check(champion: dict, exported: str) -> dict:
        from pathlib import Path

        from cxr_tasks.contracts.handoffs import RegisteredModel
        from cxr_tasks.contracts.shapes import plain
        from serving.release import check_version

        return plain(check_version(RegisteredModel.from_payload(champion), Path(exported), run_paths()))

    @task(multiple_outputs=False, outlets=[SERVED])
    def publish(champion: dict, exported: str, parity: dict) -> dict:
        from pathlib import Path

        from cxr_tasks.contracts.artifacts import ArtifactRef
        from cxr_tasks.contracts.handoffs import RegisteredModel
        from cxr_tasks.stack.settings import StackSettings
        from serving.release import publish_version

        released = publish_version(
            RegisteredModel.from_payload(champion), Path(exported), ArtifactRef(**parity), StackSettings.load()
        ).to_payload()
        get_current_context()["outlet_events"][SERVED].extra = {
            "model": released["model_name"],
            "version": released["version"],
        }
        return released

    @task_group(prefix_group_id=False)
    def release(champion: dict) -> None:
        exported = export(champion)
        publish(champion, exported, check(champion, exported))

    release.expand(champion=find())


cxr_release()
