"""The picture of the README, drawn: ``python -m tests.house.picture`` writes it anew, a test holds it to the code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tests.house.imports import ROOT

PATH = ROOT / "cxr_tasks" / "way_of_the_data.svg"


@dataclass(frozen=True, slots=True)
class Step:
    """A step on the way: its name, the folder that does it, what it hands on."""

    name: str
    folder: str
    gives: str


#: DAG -> its steps, in the order in which X-rays become a served model.
WAY: dict[str, tuple[Step, ...]] = {
    "cxr_dataset_*": (
        Step("ingest", "cxr_tasks/ingest", "manifest"),
        Step("validate", "cxr_tasks/validate", "Data Docs"),
        Step("prepare", "cxr_tasks/prepare", "TFDS dataset"),
    ),
    "cxr_train_*": (
        Step("train", "cxr_tasks/train", "MLflow run"),
        Step("evaluate", "cxr_tasks/evaluate", "metrics"),
        Step("gate", "cxr_tasks/gate", "verdict"),
        Step("register", "cxr_tasks/register", "a version"),
    ),
    "cxr_promote": (Step("approve", "cxr_tasks/registry/approve", "alias champion"),),
    "cxr_release": (Step("release", "serving/release", "TF Serving"),),
    "cxr_report": (
        Step("explain", "cxr_tasks/explain", "Grad-CAM"),
        Step("report", "cxr_tasks/report", "page, card"),
    ),
    "cxr_monitor": (Step("monitor", "cxr_tasks/monitor", "drift, alarm"),),
}
WIDTH, STEP, TOP, HEIGHT = 92, 100, 44, 46

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2933 }
  .dag { font-size: 12px; fill: #52606d } .gives { font-size: 11px; fill: #52606d }
  .step { fill: #e3edf7; stroke: #3a6ea5 } .room { fill: none; stroke: #9fb3c8; stroke-dasharray: 4 3 }
  .way { stroke: #3a6ea5; fill: none; marker-end: url(#tip) } marker path { fill: #3a6ea5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .dag, .gives { fill: #9aa5b1 }
    .step { fill: #1d3a5a; stroke: #7fb2e5 } .room { stroke: #52606d }
    .way { stroke: #7fb2e5 } marker path { fill: #7fb2e5 }
  }
"""


def draw() -> str:
    """The picture as SVG text; its size follows the steps."""
    parts: list[str] = []
    x = 10
    for dag, steps in WAY.items():
        parts.append(f'<rect class="room" x="{x - 4}" y="22" width="{STEP * len(steps) - 2}" height="104" rx="8"/>')
        parts.append(f'<text class="dag" x="{x + 2}" y="16">{escape(dag)}</text>')
        for step in steps:
            parts.append(f'<rect class="step" x="{x}" y="{TOP}" width="{WIDTH - 2}" height="{HEIGHT}" rx="6"/>')
            middle = x + WIDTH // 2 - 1
            parts.append(f'<text x="{middle}" y="{TOP + 28}" text-anchor="middle">{escape(step.name)}</text>')
            parts.append(
                f'<text class="gives" x="{middle}" y="{TOP + 68}" text-anchor="middle">{escape(step.gives)}</text>'
            )
            if x > 10:
                parts.append(f'<path class="way" d="M{x - 10} {TOP + HEIGHT // 2}h6"/>')
            x += STEP
        x += 8
    width, height = x, 136
    tip = '<marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>From X-rays to a served model and its report: DAGs, their steps, and what each hands on</title>",
            f"<style>{STYLE}</style>",
            f'<defs>{tip}<path d="M0 0L6 3L0 6z"/></marker></defs>',
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(PATH).write_text(draw(), encoding="utf-8")
