"""Train, evaluate and gate one model: `cxr_train_binary` and `cxr_train_multilabel`."""

from __future__ import annotations

from airflow.sdk import TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from assets import CHALLENGER, FAMILIES, Family
from dag_defaults import airflow_tags, asked_for, recipe_asked_for, run_paths, tell_result, triggered_by
from dag_rules import limit, rules
from forms import training_params
from task_links import TaskLink, with_links

from cxr_tasks.stack.pools import GPU_QUEUE, TRAINING

_DOC = """Train a recipe's candidates, hold the best against the gate, and propose it when it passes.

Started by `prepared_dataset_{family}` with that dataset, or by hand on the newest dataset of the recipe. Publishes
`challenger`, which starts `cxr_promote`: a person decides whether the version shall serve.

**plan** checks recipe, dataset, starting weights and candidates before anything starts. **train** runs once for each
candidate and logs to MLflow epoch by epoch; killed, its retry goes on with the same MLflow run from the last epoch.
**choose** takes the candidate that is best on validation and leaves one table of all; a candidate that failed stands in
it with its reason, and the run goes on as long as one was trained.
**evaluate** writes predictions and metrics. **check_predictions** holds the table of predictions against its
expectations, so that no gate decides on a broken one. **gate** decides; a refused model is a result: the run ends
green, what follows is skipped, and the reasons stand in the gate's log and on the MLflow run. **register** makes a
version with alias `challenger`, and **propose** tells `cxr_promote` of it.
"""


def training_dag(family: Family) -> None:
    """Define the training DAG of one family."""

    @dag(
        dag_id=f"cxr_train_{family.name}",
        schedule=None,
        catchup=False,
        max_active_runs=1,
        **rules("training", tasks="other", pool=TRAINING),
        doc_md=_DOC.format(family=family.name),
        params=training_params(family),
        tags=["cxr", "training", family.name],
    )
    def training():
        @task(multiple_outputs=False, inlets=[family.prepared])
        def plan() -> dict:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.datasets.latest import latest_dataset
            from cxr_tasks.registry.addresses import mlflow_run_page
            from cxr_tasks.train.stage import start_training

            request = asked_for()
            recipe = recipe_asked_for()
            prepared = request.get("prepared") or latest_dataset(recipe.dataset.name).to_payload()
            context = get_current_context()
            planned = start_training(
                PreparedDataset.from_payload(prepared),
                recipe,
                run_paths(),
                run_name=f"{recipe.name} {context['run_id']}",
                tags=airflow_tags(),
            )
            if planned.parent_run_id:
                context["ti"].xcom_push("mlflow_url", mlflow_run_page(planned.parent_run_id))
            return planned.to_payload()

        @task
        def candidates(plan: dict) -> list[int]:
            return [candidate["number"] for candidate in plan["candidates"]]

        # One at a time: two trainings on one machine share its cores and double its memory, and a search learns less.
        @task(
            multiple_outputs=False,
            max_active_tis_per_dagrun=1,
            map_index_template="{{ candidate_name }}",
            queue=GPU_QUEUE,
            **limit("training"),
        )
        def train(plan: dict, number: int) -> dict:
            from cxr_tasks.contracts.handoffs.training import TrainingPlan
            from cxr_tasks.registry.addresses import mlflow_run_page
            from cxr_tasks.train.stage import train_one

            context = get_current_context()
            context["candidate_name"] = f"candidate {number}"
            trained = train_one(TrainingPlan.from_payload(plan), number, run_paths())
            context["candidate_name"] = f"{number}: {trained.candidate_name}"
            context["ti"].xcom_push("mlflow_url", mlflow_run_page(trained.mlflow_run_id))
            return trained.to_payload()

        @task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def choose(plan: dict, trained: list) -> dict:
            from cxr_tasks.contracts.handoffs.training import TrainedModel, TrainingPlan
            from cxr_tasks.registry.addresses import mlflow_run_page
            from cxr_tasks.train.stage import dataset_for, recipe_of
            from cxr_tasks.train.winner import pick_winner

            planned = TrainingPlan.from_payload(plan)
            models = [TrainedModel.from_payload(payload) for payload in trained if payload is not None]
            winner = pick_winner(planned, models, run_paths())
            page = mlflow_run_page(planned.parent_run_id or winner.mlflow_run_id)
            get_current_context()["ti"].xcom_push("mlflow_url", page)
            return {
                "recipe": recipe_of(planned, winner).to_dict(),
                "prepared": dataset_for(planned, winner).to_payload(),
                "trained": winner.to_payload(),
            }

        @task(multiple_outputs=False, **limit("training"))
        def evaluate(chosen: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.contracts.handoffs.training import TrainedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.evaluate.stage import evaluate_model

            return evaluate_model(
                TrainedModel.from_payload(chosen["trained"]),
                PreparedDataset.from_payload(chosen["prepared"]),
                Recipe.from_dict(chosen["recipe"]),
                run_paths(),
                who=triggered_by(),
            ).to_payload()

        @task
        def check_predictions(chosen: dict, evaluated: dict) -> None:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.registry.addresses import run_page
            from cxr_tasks.validate.predictions import validate_predictions

            paths = run_paths()
            page = run_page(paths, "validate_predictions/data_docs/index.html")
            get_current_context()["ti"].xcom_push("data_docs_url", page)
            validate_predictions(
                EvaluatedModel.from_payload(evaluated),
                PreparedDataset.from_payload(chosen["prepared"]),
                Recipe.from_dict(chosen["recipe"]),
                paths,
            )

        @task(multiple_outputs=False, **limit("training"))
        def gate(chosen: dict, evaluated: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.evaluate.champion import champion_for_gate
            from cxr_tasks.gate.stage import gate_candidate
            from cxr_tasks.register.stage import record_decision

            recipe = Recipe.from_dict(chosen["recipe"])
            candidate = EvaluatedModel.from_payload(evaluated)
            paths = run_paths()
            champion = champion_for_gate(PreparedDataset.from_payload(chosen["prepared"]), recipe, paths)
            decision = gate_candidate(candidate, recipe, champion, paths)
            record_decision(decision, candidate.mlflow_run_id, triggered_by())
            return decision.to_payload()

        @task.short_circuit
        def passed(decision: dict) -> bool:
            import logging

            for reason in decision["reasons"]:
                logging.getLogger(__name__).warning("%s: %s", decision["verdict"], reason)
            if decision["verdict"] == "FAIL":
                tell_result("refused by its gate: " + "; ".join(decision["reasons"]))
            return decision["verdict"] != "FAIL"

        @task(multiple_outputs=False)
        def register(chosen: dict, evaluated: dict, decision: dict) -> dict:
            from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
            from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
            from cxr_tasks.contracts.handoffs.training import TrainedModel
            from cxr_tasks.contracts.recipes import Recipe
            from cxr_tasks.register.stage import register_candidate
            from cxr_tasks.report.card.stage import publish_card

            made_of = (
                TrainedModel.from_payload(chosen["trained"]),
                EvaluatedModel.from_payload(evaluated),
                GateDecision.from_payload(decision),
                PreparedDataset.from_payload(chosen["prepared"]),
                Recipe.from_dict(chosen["recipe"]),
                run_paths(),
            )
            registered = register_candidate(*made_of, triggered_by())
            publish_card(registered, *made_of)
            verdict = decision["verdict"]
            tell_result(f"version {registered.version} is registered, the gate says {verdict}")
            return registered.to_payload()

        @task(outlets=[CHALLENGER])
        def propose(registered: dict, decision: dict) -> None:
            if registered["alias"] != "challenger":
                raise AirflowSkipException(
                    f"version {registered['version']} was registered without an alias: the gate could not decide alone"
                )
            get_current_context()["outlet_events"][CHALLENGER].extra = {
                "model": family.model,
                "version": registered["version"],
                "mlflow_run_id": registered["mlflow_run_id"],
                # Judged anew, it is proposed anew; tried again, it is not.
                "decision_sha256": decision["decision"]["sha256"],
            }

        mlflow_run = TaskLink("MLflow run", "mlflow_url")
        planned = with_links(plan(), TaskLink("MLflow run of all", "mlflow_url"))
        trained = with_links(train.partial(plan=planned).expand(number=candidates(planned)), mlflow_run)
        chosen = with_links(choose(planned, trained), mlflow_run)
        evaluated = evaluate(chosen)
        checked = with_links(check_predictions(chosen, evaluated), TaskLink("Data Docs", "data_docs_url"))
        decision = gate(chosen, evaluated)
        checked >> decision
        registered = register(chosen, evaluated, decision)
        passed(decision) >> registered
        propose(registered, decision)

    training()


for family in FAMILIES:
    if family.recipes:
        training_dag(family)
