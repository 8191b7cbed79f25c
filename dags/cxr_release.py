"""Put the registry's champion behind the model server.

Started by `champion_cxr_binary`, or by hand. Publishes `served_cxr_binary`, which starts `cxr_report`.

**find** reads which version bears alias `champion`. **export** writes its SavedModel. **check** loads that in a
model server process of its own and holds its answers against the registered model's. **publish** renames it to its
place, waits until the running server answers with it and sends a request; if anything fails the version is taken
away again, and what served before still serves.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from dag_defaults import BINARY, DEFAULT_ARGS, model_param, request_of, run_paths


@dag(
    dag_id="cxr_release",
    schedule=[BINARY.champion],
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
    def find() -> dict:
        from serving.release import champion_of

        return champion_of(request_of(BINARY.champion)["model"]).to_payload()

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

    @task(multiple_outputs=False, outlets=[BINARY.served])
    def publish(champion: dict, exported: str, parity: dict) -> dict:
        from pathlib import Path

        from cxr_tasks.contracts.artifacts import ArtifactRef
        from cxr_tasks.contracts.handoffs import RegisteredModel
        from cxr_tasks.stack.settings import StackSettings
        from serving.release import publish_version

        released = publish_version(
            RegisteredModel.from_payload(champion), Path(exported), ArtifactRef(**parity), StackSettings.load()
        ).to_payload()
        get_current_context()["outlet_events"][BINARY.served].extra = {
            "model": released["model_name"],
            "version": released["version"],
        }
        return released

    champion = find()
    exported = export(champion)
    publish(champion, exported, check(champion, exported))


cxr_release()
