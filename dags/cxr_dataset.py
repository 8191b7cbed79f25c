"""Ingest, validate and prepare one chest X-ray dataset.

Started by hand (form: recipe, data folder), by an event of the Asset `new_images_binary` whose extra may name
`recipe` and `data_folder`, or by the cron expression in `CXR_DATASET_BINARY_CRON`. Publishes
`prepared_dataset_binary`, which starts `cxr_train_binary` with the same recipe, epochs and gate floor.

**ingest** reads every image once; unusable ones go to `quarantine.csv` with a reason. **validate** holds the manifest
against the expectations; a critical failure stops here and the log names the rows. **prepare** writes the TFDS
dataset; the same input is not prepared twice.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from dag_defaults import (
    DEFAULT_ARGS,
    NEW_IMAGES_BINARY,
    PREPARED_BINARY,
    TaskLink,
    data_folder_param,
    on_asset_or_cron,
    request_of,
    run_paths,
    training_params,
    with_links,
)


@dag(
    dag_id="cxr_dataset_binary",
    schedule=on_asset_or_cron(NEW_IMAGES_BINARY, "CXR_DATASET_BINARY_CRON"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    params={**training_params(), "data_folder": data_folder_param()},
    tags=["cxr", "data", "binary"],
)
def cxr_dataset_binary():
    @task(multiple_outputs=False)
    def ingest() -> dict:
        from cxr_tasks.contracts.recipes import load_recipe
        from cxr_tasks.ingest.stage import ingest_source

        request = request_of(NEW_IMAGES_BINARY)
        recipe = load_recipe(request["recipe"])
        return ingest_source(recipe, request["data_folder"], run_paths()).to_payload()

    @task(multiple_outputs=False)
    def validate(ingested: dict) -> dict:
        from cxr_tasks.contracts.handoffs import IngestedStudies
        from cxr_tasks.contracts.recipes import load_recipe
        from cxr_tasks.report.addresses import run_page
        from cxr_tasks.validate.stage import validate_manifest

        recipe = load_recipe(request_of(NEW_IMAGES_BINARY)["recipe"])
        paths = run_paths()
        # Pushed first: the page is wanted most when the task fails.
        get_current_context()["ti"].xcom_push("data_docs_url", run_page(paths, "validate/data_docs/index.html"))
        return validate_manifest(IngestedStudies.from_payload(ingested), recipe, paths).to_payload()

    @task(multiple_outputs=False, outlets=[PREPARED_BINARY])
    def prepare(validated: dict) -> dict:
        from cxr_tasks.contracts.handoffs import ValidatedStudies
        from cxr_tasks.contracts.recipes import load_recipe
        from cxr_tasks.prepare.stage import prepare_dataset

        request = request_of(NEW_IMAGES_BINARY)
        prepared = prepare_dataset(
            ValidatedStudies.from_payload(validated), load_recipe(request["recipe"]), run_paths()
        ).to_payload()
        passed_on = {key: request[key] for key in ("recipe", "epochs", "gate_floor")}
        get_current_context()["outlet_events"][PREPARED_BINARY].extra = {**passed_on, "prepared": prepared}
        return prepared

    validated = with_links(validate(ingest()), TaskLink("Data Docs", "data_docs_url"))
    prepare(validated)


cxr_dataset_binary()
