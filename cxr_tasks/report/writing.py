"""Write the report of one model version, and the list of all reports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.judgement import is_lowered
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.installation.storage.files import read_json, reference_to, write_json, write_text

if TYPE_CHECKING:
    from cxr_tasks.report.material import ReportInputs

log = logging.getLogger(__name__)

PAGE, FACTS = "index.html", "report.json"


def write_report(inputs: ReportInputs, out: Path) -> ArtifactRef:
    """Write ``index.html`` (one self-contained page) and ``report.json`` (its line in the index) into ``out``.

    Raises:
        DataDefect: The predictions or a picture are missing or broken.
    """
    from cxr_tasks.report.page.render import render_report

    page = render_report(inputs)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / PAGE, page)
    write_json(out / FACTS, _facts(inputs))
    log.info("report of %s version %d: %s (%d kB)", inputs.model_name, inputs.version, out / PAGE, len(page) // 1000)
    return reference_to(out / PAGE)


def _facts(inputs: ReportInputs) -> dict[str, Any]:
    auroc = record_of(inputs.evaluation.mean["test"], "auroc")
    return {
        "model_name": inputs.model_name,
        "version": inputs.version,
        "auroc": auroc.value,
        "lower": auroc.lower,
        "upper": auroc.upper,
        "n": auroc.n,
        "verdict": inputs.decision["verdict"] if inputs.decision else "UNKNOWN",
        "is_floor_lowered": is_lowered(inputs.decision.get("gate_floor")) if inputs.decision else False,
        "recipe": inputs.recipe["name"],
        "generated_at": inputs.generated_at.strftime("%Y-%m-%d %H:%M"),
    }


def write_index(reports_root: Path) -> Path:
    """Write ``index.html`` in ``reports_root``: all reports below it, per model the newest version first."""
    from cxr_tasks.report.pages import environment, stylesheet

    rows = []
    for path in reports_root.glob(f"*/*/{FACTS}"):
        if (path.parent / PAGE).is_file():
            address = (path.parent / PAGE).relative_to(reports_root).as_posix()
            rows.append({**read_json(path), "address": address})
    rows.sort(key=lambda row: (row["model_name"], -row["version"]))
    page = environment().get_template("index.html.j2").render(rows=rows, css=stylesheet())
    write_text(reports_root / PAGE, page)
    return reports_root / PAGE
