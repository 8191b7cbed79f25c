"""Train, evaluate and gate one model: `cxr_train_binary` and `cxr_train_multilabel`."""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from dag_defaults import (
    CHAMPION,
    DEFAULT_ARGS,
    FAMILIES,
    Family,
    TaskLink,
    airflow_tags,
    request_of,
    run_paths,
    training_params,
    with_links,
)

_DOC = """Train one candidate, evaluate it, hold it against the gate; register and promote it when it passes.

Started by `prepared_dataset_{family}` with that dataset, or by hand on the newest dataset of the recipe. Publishes
`champion`, which starts `cxr_release`.

**train** logs to MLflow epoch by epoch; killed, its retry goes on with the same MLflow run from the last epoch.
**evaluate** writes predictions and metrics. **check_predictions** holds the table of predictions against its
expectations, so that no gate decides on a broken one. **gate** decides; a refused model is a result: the run ends
green, what follows is skipped, and the reasons stand in the gate's log and on the MLflow run. **register** makes a
version with alias `challenger`; **promote** gives it alias `champion`.
"""


def training_dag(family: Family) -> None:
    """Define the training DAG of one family."""

    @dag(
        dag_id=f"cxr_train_{family.name}",
        schedule=[family.prepared],
        catchup=False,
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        doc_md=_DOC.format(family=family.name),
        params=training_params(family),
        tags=["cxr", "training", family.name],
    )
    def training():
        @task(multiple_outputs=False)
        def plan() -> dict:
            from cxr_tasks.contracts.recipes import load_recipe
            from cxr_tasks.prepare.latest import latest_dataset

            request = request_of(family.prepared)
            recipe = load_recipe(request["recipe"])
            prepared = request.get("prepared") or latest_dataset(recipe.dataset.name).to_payload()
            recipe = recipe.with_overrides(epochs=request["epochs"], gate_floor=request["gate_floor"])
            return {"recipe": recipe.to_dict(), "prepared": prepared}

        @task(multiple_outputs=False)
        def train(plan: dict) -> dict:
            from cxr_tasks.contracts.handoffs import PreparedDataset
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.report.addresses import mlflow_run_page
            from cxr_tasks.train.stage import train_candidate

            recipe = Recipe.from_dict(plan["recipe"])
            context = get_current_context()
            trained = train_candidate(
                PreparedDataset.from_payload(plan["prepared"]),
                recipe,
                run_paths(),
                run_name=f"{recipe.name} {context['run_id']}",
                tags=airflow_tags(),
            )
            context["ti"].xcom_push("mlflow_url", mlflow_run_page(trained.mlflow_run_id))
            return trained.to_payload()

        @task(multiple_outputs=False)
        def evaluate(plan: dict, trained: dict) -> dict:
            from cxr_tasks.contracts.handoffs import PreparedDataset, TrainedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.evaluate.stage import evaluate_model

            return evaluate_model(
                TrainedModel.from_payload(trained),
                PreparedDataset.from_payload(plan["prepared"]),
                Recipe.from_dict(plan["recipe"]),
                run_paths(),
            ).to_payload()

        @task
        def check_predictions(plan: dict, evaluated: dict) -> None:
            from cxr_tasks.contracts.handoffs import EvaluatedModel, PreparedDataset
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.report.addresses import run_page
            from cxr_tasks.validate.predictions import validate_predictions

            paths = run_paths()
            page = run_page(paths, "validate_predictions/data_docs/index.html")
            get_current_context()["ti"].xcom_push("data_docs_url", page)
            validate_predictions(
                EvaluatedModel.from_payload(evaluated),
                PreparedDataset.from_payload(plan["prepared"]),
                Recipe.from_dict(plan["recipe"]),
                paths,
            )

        @task(multiple_outputs=False)
        def gate(plan: dict, evaluated: dict) -> dict:
            from cxr_tasks.champion import champion_for_gate
            from cxr_tasks.contracts.handoffs import EvaluatedModel, PreparedDataset
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.gate import gate_candidate
            from cxr_tasks.registry.stage import record_decision

            recipe = Recipe.from_dict(plan["recipe"])
            candidate = EvaluatedModel.from_payload(evaluated)
            paths = run_paths()
            champion = champion_for_gate(PreparedDataset.from_payload(plan["prepared"]), recipe, paths)
            decision = gate_candidate(candidate, recipe, champion, paths)
            record_decision(decision, candidate.mlflow_run_id)
            return decision.to_payload()

        @task.short_circuit
        def passed(decision: dict) -> bool:
            import logging

            for reason in decision["reasons"]:
                logging.getLogger(__name__).warning("refused: %s", reason)
            return decision["verdict"] == "PASS"

        @task(multiple_outputs=False)
        def register(plan: dict, trained: dict, evaluated: dict, decision: dict) -> dict:
            from cxr_tasks.contracts.handoffs import EvaluatedModel, GateDecision, PreparedDataset, TrainedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.registry.stage import register_candidate

            return register_candidate(
                TrainedModel.from_payload(trained),
                EvaluatedModel.from_payload(evaluated),
                GateDecision.from_payload(decision),
                PreparedDataset.from_payload(plan["prepared"]),
                Recipe.from_dict(plan["recipe"]),
                run_paths(),
            ).to_payload()

        @task(multiple_outputs=False, outlets=[CHAMPION])
        def promote(registered: dict) -> dict:
            from cxr_tasks.contracts.handoffs import RegisteredModel
            from cxr_tasks.registry.stage import promote as make_champion

            champion = make_champion(RegisteredModel.from_payload(registered)).to_payload()
            get_current_context()["outlet_events"][CHAMPION].extra = {
                "model": family.model,
                "version": champion["version"],
            }
            return champion

        planned = plan()
        trained = with_links(train(planned), TaskLink("MLflow run", "mlflow_url"))
        evaluated = evaluate(planned, trained)
        checked = with_links(check_predictions(planned, evaluated), TaskLink("Data Docs", "data_docs_url"))
        decision = gate(planned, evaluated)
        checked >> decision
        registered = register(planned, trained, evaluated, decision)
        passed(decision) >> registered
        promote(registered)

    training()


for one in FAMILIES:
    if one.recipes:
        training_dag(one)
