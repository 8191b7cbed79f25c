"""How well the model tells what it was not trained for, as rows and sentences of a report."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import STRANGE_PICTURES, by_name


def typicality_section(evaluation: Evaluation) -> dict[str, Any]:
    """``missing`` (why there is nothing, else ''), ``usual`` (a record), ``rows`` (name, auroc and share) and the
    numbers of images it was fitted on."""
    measured = evaluation.typicality
    if measured is None:
        return {"missing": "This version was evaluated before typicality was measured, and is served without it."}
    if not measured.records:
        return {"missing": f"Not measured: {measured.reason}. The version is served without it."}
    records = by_name(measured.records)
    rows = [
        {"name": f"{words[0].upper()}{words[1:]}", "auroc": records[kind], "share": records[f"unusual_{kind}"]}
        for kind, words in STRANGE_PICTURES.items()
        if kind in records
    ]
    return {
        "missing": "",
        "usual": records["unusual_test"],
        "rows": rows,
        "n_training": measured.n_training,
        "n_validation": measured.n_validation,
    }
