"""What the DAGs are: tasks and their order, Assets, pools, buttons, hours; written out, so that a change is seen."""

from __future__ import annotations

_DATASET = {
    "list_images": ["collect", "inspect"],
    "inspect": ["collect"],
    "collect": ["validate"],
    "validate": ["prepare"],
    "prepare": ["verify"],
    "verify": [],
}
_TRAIN = {
    "plan": ["candidates", "choose", "train"],
    "candidates": ["train"],
    "train": ["choose"],
    "choose": ["check_predictions", "evaluate", "gate", "register"],
    "evaluate": ["check_predictions", "gate", "register"],
    "check_predictions": ["gate"],
    "gate": ["passed", "propose", "register"],
    "passed": ["register"],
    "register": ["propose"],
    "propose": [],
}
#: DAG -> task -> tasks that follow it.
EDGES = {
    "cxr_dataset_binary": _DATASET,
    "cxr_dataset_multilabel": _DATASET,
    "cxr_train_binary": _TRAIN,
    "cxr_train_multilabel": _TRAIN,
    "cxr_promote": {
        "find": ["evidence", "prepare", "report"],
        "report": ["evidence"],
        "prepare": ["evidence"],
        "evidence": ["approve", "settle"],
        "approve": ["settle"],
        "settle": [],
    },
    "cxr_release": {"find": ["prepare"], "prepare": ["publish"], "publish": []},
    "cxr_rollback": {"roll_back": []},
    "cxr_compare": {"compare": []},
    "cxr_score": {"plan": ["collect", "shares"], "shares": ["score"], "score": ["collect"], "collect": []},
    "cxr_report": {"find": ["report"], "report": []},
    "cxr_requests": {"sweep": []},
    "cxr_monitor": {"find": ["look"], "look": ["alarm"], "alarm": []},
    "cxr_feedback": {"take": ["is_asked", "recalibrate"], "is_asked": ["recalibrate"], "recalibrate": []},
    "cxr_prune": {"prune": []},
}
#: DAG -> Assets whose events lead to a run of it by the list of requests, Assets it publishes.
ASSETS = {
    "cxr_dataset_binary": (["new_images_binary"], ["prepared_dataset_binary"]),
    "cxr_dataset_multilabel": (["new_images_multilabel"], ["prepared_dataset_multilabel"]),
    "cxr_train_binary": (["prepared_dataset_binary"], ["challenger"]),
    "cxr_train_multilabel": (["prepared_dataset_multilabel"], ["challenger"]),
    "cxr_promote": (["challenger"], []),
    "cxr_release": (["champion"], ["served_model"]),
    "cxr_rollback": ([], []),
    "cxr_compare": ([], []),
    "cxr_score": ([], []),
    "cxr_report": (["served_model"], ["report"]),
    "cxr_requests": ([], []),
    "cxr_monitor": ([], ["drifted"]),
    "cxr_feedback": ([], ["miscalibrated"]),
    "cxr_prune": ([], []),
}
#: DAG -> the pools its tasks take slots of. Where trainings fill theirs, the others stay free.
POOLS = {
    "cxr_dataset_binary": ["training"],
    "cxr_dataset_multilabel": ["training"],
    "cxr_train_binary": ["training"],
    "cxr_train_multilabel": ["training"],
    "cxr_promote": ["reports", "serving"],
    "cxr_release": ["serving"],
    "cxr_rollback": ["serving"],
    "cxr_compare": ["reports"],
    "cxr_score": ["reports"],
    "cxr_report": ["reports"],
    "cxr_requests": ["serving"],
    "cxr_monitor": ["reports"],
    "cxr_feedback": ["reports"],
    "cxr_prune": ["reports"],
}
_DATASET_LINKS = {
    "collect": {"Quarantine": "quarantine_url"},
    "validate": {"Data Docs": "data_docs_url"},
    "prepare": {"Overview": "overview_url"},
    "verify": {"Data Docs": "data_docs_url"},
}
_TRAIN_LINKS = {
    "plan": {"MLflow run of all": "mlflow_url"},
    "train": {"MLflow run": "mlflow_url"},
    "choose": {"MLflow run": "mlflow_url"},
    "check_predictions": {"Data Docs": "data_docs_url"},
}
#: DAG -> task -> its buttons in the UI, each with the XCom that its address is read from. Other DAGs have none.
LINKS = {
    "cxr_dataset_binary": _DATASET_LINKS,
    "cxr_dataset_multilabel": _DATASET_LINKS,
    "cxr_train_binary": _TRAIN_LINKS,
    "cxr_train_multilabel": _TRAIN_LINKS,
    "cxr_promote": {"report": {"Report": "report_url"}},
    "cxr_report": {"report": {"Report": "report_url", "MLflow run": "mlflow_url"}},
    "cxr_monitor": {"look": {"Monitoring": "monitor_url", "MLflow run": "mlflow_url"}},
}
#: DAG -> tasks that Airflow runs several times side by side. Other DAGs have none.
MAPPED = {
    "cxr_dataset_binary": ["inspect"],
    "cxr_dataset_multilabel": ["inspect"],
    "cxr_train_binary": ["train"],
    "cxr_train_multilabel": ["train"],
    "cxr_report": ["report"],
    "cxr_score": ["score"],
    "cxr_monitor": ["alarm", "look"],
}
#: DAG -> hours after which a run is ended: with CXR_TRAINING_HOURS=10 and CXR_APPROVAL_HOURS=24, all else as usual.
RUN_HOURS = {
    "cxr_dataset_binary": 96,
    "cxr_dataset_multilabel": 96,
    "cxr_train_binary": 120,
    "cxr_train_multilabel": 120,
    "cxr_promote": 40,
    "cxr_release": 4,
    "cxr_rollback": 4,
    "cxr_compare": 16,
    "cxr_score": 96,
    "cxr_report": 16,
    "cxr_monitor": 16,
    "cxr_feedback": 16,
    "cxr_prune": 16,
    "cxr_requests": 4,
}
#: DAG -> hours after which each of its tasks is ended, unless TASK_HOURS has others.
USUAL_HOURS = {
    "cxr_dataset_binary": 24,
    "cxr_dataset_multilabel": 24,
    "cxr_score": 24,
    "cxr_release": 1,
    "cxr_rollback": 1,
    "cxr_requests": 1,
}
TASK_HOURS = {("cxr_train", task): 10 for task in ("train", "evaluate", "gate")}
#: Started by a person for its own sake, no part of a chain that is followed.
BY_HAND = {"cxr_rollback", "cxr_compare", "cxr_requests", "cxr_score", "cxr_monitor", "cxr_feedback", "cxr_prune"}
