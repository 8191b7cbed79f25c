"""Ingest, validate and prepare one chest X-ray dataset: `cxr_dataset_binary` and `cxr_dataset_multilabel`."""

from __future__ import annotations

from dataclasses import replace

from airflow.sdk import dag, get_current_context, task
from assets import FAMILIES, Family
from dag_defaults import OF_DATASET, OF_TRAINING, asked_for, on_cron, recipe_asked_for, run_paths, tell_result
from dag_rules import rules
from forms import data_folder_param, training_params
from task_links import TaskLink, with_links

from cxr_tasks.stack.pools import TRAINING

_DOC = """Ingest, validate and prepare one chest X-ray dataset.

Started by hand (form: recipe, data folder), by an event of the Asset `new_images_{family}` whose extra may name
`recipe` and `data_folder`, or by the cron expression in `CXR_DATASET_{FAMILY}_CRON`. Publishes
`prepared_dataset_{family}` with the recipe, epochs and gate floor asked for.

**list_images** sees that the training that follows has all it needs, reads the source's tables and cuts its images
into parts. **inspect** opens each image of a part once,
unless it is known from an earlier run and unchanged; parts run side by side. **collect** makes the manifest; what
cannot be used stands in the quarantine table with a reason. **validate** holds the manifest against the
expectations; a critical failure stops here and the log names the rows. **prepare** writes the TFDS dataset; the same
input is not prepared twice. **verify** reads back what was stored and makes it the newest dataset of its name.
"""

DATA_FOLDER = "Or in a store: s3://bucket/folder. Empty: the recipe's own."


def dataset_dag(family: Family) -> None:
    """Define the dataset DAG of one family."""

    @dag(
        dag_id=f"cxr_dataset_{family.name}",
        schedule=on_cron(f"CXR_DATASET_{family.name.upper()}_CRON"),
        catchup=False,
        max_active_runs=1,
        **rules("data", pool=TRAINING),
        doc_md=_DOC.format(family=family.name, FAMILY=family.name.upper()),
        params={**training_params(family), "data_folder": data_folder_param(DATA_FOLDER)},
        tags=["cxr", "data", family.name],
    )
    def dataset():
        @task(multiple_outputs=False, inlets=[family.new_images])
        def list_images() -> list:
            from cxr_tasks.ingest.stage import collect_parts
            from cxr_tasks.ingest.stage import list_images as list_source
            from cxr_tasks.train.candidates.checks import check_training

            request = asked_for()
            # The training that follows: hours of work on the data would be for nothing if it cannot begin.
            check_training(recipe_asked_for())
            plan = list_source(recipe_asked_for(OF_DATASET), request["data_folder"], run_paths())
            if not plan.parts:
                # No task would be mapped, and the run would end green without a word of what was refused.
                collect_parts(recipe_asked_for(OF_DATASET), plan, [], run_paths())
            return [{"plan": plan.to_payload(), "part": part} for part in range(len(plan.parts))]

        @task(multiple_outputs=False, map_index_template="part {{ task.op_kwargs['part']['part'] }}")
        def inspect(part: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import IngestPlan
            from cxr_tasks.ingest.stage import inspect_part

            recipe = recipe_asked_for(OF_DATASET)
            return inspect_part(recipe, IngestPlan.from_payload(part["plan"]), part["part"], run_paths()).to_payload()

        @task(multiple_outputs=False)
        def collect(listed: list, inspected: list) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import IngestPlan, InspectedPart
            from cxr_tasks.ingest.stage import collect_parts
            from cxr_tasks.registry.addresses import run_page

            recipe = recipe_asked_for(OF_DATASET)
            paths = run_paths()
            # Pushed first: the table is wanted most when there is too much in it.
            get_current_context()["ti"].xcom_push("quarantine_url", run_page(paths, "ingest/quarantine.csv"))
            parts = [InspectedPart.from_payload(part) for part in inspected]
            return collect_parts(recipe, IngestPlan.from_payload(listed[0]["plan"]), parts, paths).to_payload()

        @task(multiple_outputs=False)
        def validate(ingested: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import IngestedStudies
            from cxr_tasks.registry.addresses import run_page
            from cxr_tasks.validate.stage import validate_manifest

            recipe = recipe_asked_for(OF_DATASET)
            paths = run_paths()
            # Pushed first: the page is wanted most when the task fails.
            get_current_context()["ti"].xcom_push("data_docs_url", run_page(paths, "validate/data_docs/index.html"))
            return validate_manifest(IngestedStudies.from_payload(ingested), recipe, paths).to_payload()

        @task(multiple_outputs=False)
        def prepare(validated: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
            from cxr_tasks.prepare.stage import prepare_dataset
            from cxr_tasks.registry.addresses import dataset_page
            from cxr_tasks.train.candidates.candidates import datasets_needed

            recipe = recipe_asked_for(OF_DATASET)
            studies, paths = ValidatedStudies.from_payload(validated), run_paths()
            # Candidates of other resolutions need datasets of their own; the recipe's own comes last and goes on.
            for pixels in datasets_needed(recipe)[1:]:
                prepare_dataset(studies, replace(recipe, pixels=pixels), paths)
            prepared = prepare_dataset(studies, recipe, paths)
            get_current_context()["ti"].xcom_push("overview_url", dataset_page(prepared.dataset, prepared.fingerprint))
            return prepared.to_payload()

        @task(multiple_outputs=False, outlets=[family.prepared])
        def verify(prepared: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.datasets.latest import publish_latest
            from cxr_tasks.registry.addresses import run_page
            from cxr_tasks.validate.prepared import validate_prepared

            request = asked_for()
            paths = run_paths()
            page = run_page(paths, "validate_prepared/data_docs/index.html")
            get_current_context()["ti"].xcom_push("data_docs_url", page)
            dataset = PreparedDataset.from_payload(prepared)
            validate_prepared(dataset, recipe_asked_for(OF_DATASET), paths)
            publish_latest(dataset)
            tell_result(f"dataset {dataset.dataset} {dataset.fingerprint[:16]} is prepared")
            passed_on = {key: request.get(key) for key in ("recipe", *OF_TRAINING, *OF_DATASET)}
            get_current_context()["outlet_events"][family.prepared].extra = {**passed_on, "prepared": prepared}
            return prepared

        data_docs = TaskLink("Data Docs", "data_docs_url")
        listed = list_images()
        ingested = with_links(collect(listed, inspect.expand(part=listed)), TaskLink("Quarantine", "quarantine_url"))
        validated = with_links(validate(ingested), data_docs)
        prepared = with_links(prepare(validated), TaskLink("Overview", "overview_url"))
        with_links(verify(prepared), data_docs)

    dataset()


for family in FAMILIES:
    if family.recipes:
        dataset_dag(family)
