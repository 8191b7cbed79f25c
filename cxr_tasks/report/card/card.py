"""The card of a model version: what it is for, what it was made from, how good it is, how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from cxr_tasks.contracts.labels import SPLITS, display_name
from cxr_tasks.datasets.split_facts import split_sentences
from cxr_tasks.report.card.blocks import NOTHING, Bullets, Card, Code, Grid, Section, Text
from cxr_tasks.report.card.failure_modes import failure_modes
from cxr_tasks.report.card.measures import calibration_blocks, metrics_blocks, points_blocks, subgroups_blocks
from cxr_tasks.report.material import ReportInputs
from cxr_tasks.report.page.gate import title_of, told_remarks
from cxr_tasks.report.page.render import verdict
from cxr_tasks.report.page.sections import DataRow, data_rows, facts
from cxr_tasks.report.views import left_out_sentence, view_rows
from cxr_tasks.sources.base import about_source


def card_of(inputs: ReportInputs, *, policy: str, environment: Mapping[str, Any]) -> Card:
    """The card; same inputs, same card.

    Args:
        policy: Name and version of the gate's policy; '' where the decision names none.
        environment: ``environment.json`` of the training.
    """
    return Card(
        title=f"Model card: {inputs.model_name}, version {inputs.version}",
        subtitle=(
            f"Made {inputs.generated_at:%Y-%m-%d %H:%M} UTC from recipe {inputs.recipe['name']} and data set "
            f"{inputs.recipe['dataset']['name']}. Research use only; not a medical device."
        ),
        sections=[
            Section("Intended use and limits", _use(inputs)),
            Section("Gate", _gate(inputs, policy)),
            Section("Metrics", metrics_blocks(inputs)),
            Section("Known failure modes", [Bullets(failure_modes(inputs.evaluation, _source(inputs)))]),
            Section("Data", _data(inputs)),
            Section("Operating points", points_blocks(inputs)),
            Section("Calibration", calibration_blocks(inputs)),
            Section("Subgroups", subgroups_blocks(inputs)),
            Section(
                "Training", [Grid("", ("What", "Value"), [[name, str(text)] for name, text in facts(inputs).items()])]
            ),
            Section("How to reproduce", _reproduction(inputs, environment)),
        ],
    )


def _source(inputs: ReportInputs) -> str:
    return str(inputs.recipe["dataset"]["source"])


def _use(inputs: ReportInputs) -> list[Any]:
    findings = [display_name(finding).lower() for finding in inputs.evaluation.findings]
    named = findings[0] if len(findings) == 1 else f"each of {len(findings)} findings ({', '.join(findings)})"
    population = about_source(_source(inputs)).limits[0]
    return [
        Text(
            f"Gives a frontal chest X-ray a probability of {named}, and a decision at an operating point chosen on "
            "validation. Meant for research: to compare methods, and to study how such a model behaves on known images."
        ),
        Text(population),
        Bullets(
            [
                "Not for diagnosis, treatment or triage of patients, alone or beside a reader.",
                "Not for other views, body parts, ages or kinds of images than those it was measured on.",
                "Not without a check of thresholds and calibration on images of the place where it is used.",
            ]
        ),
    ]


def _data(inputs: ReportInputs) -> list[Any]:
    about = about_source(_source(inputs))
    rows, head = data_rows(inputs), ["Split", "Images", "Patients"]
    names = list(rows[0].classes)
    if len(names) == 1:
        head += [f"{names[0]}: positive", "negative", "not known"]
        counted = [[row.split, *_counted(row), *_states(row.classes[names[0]])] for row in rows]
        tables = [Grid("Images and patients by split. A patient is in one split only.", head, counted)]
    else:
        tables = [
            Grid("Images and patients by split. A patient is in one split only.", head,
                 [[row.split, *_counted(row)] for row in rows]),
            Grid("Positive images by finding and split.", ["Finding", *(row.split for row in rows)],
                 [[name, *(_count(row.classes[name].get("positive")) for row in rows)] for name in names]),
        ]  # fmt: skip
    dealt = split_sentences(inputs.splits, inputs.recipe["split"])
    told = [Text(text) for text in (left_out_sentence(inputs.provenance), " ".join(dealt)) if text]
    return [Text(f"Origin: {about.origin}"), Text(f"Terms: {about.terms}"), *tables, *_views(inputs), *told]


def _views(inputs: ReportInputs) -> list[Any]:
    rows = view_rows(inputs.statistics)
    if not rows:
        return []
    counted = [[row["name"], *map(str, row["counts"])] for row in rows]
    return [Grid("Images by view and split.", ["View", *SPLITS], counted)]


def _counted(row: DataRow) -> list[str]:
    return [_count(row.n_images), _count(row.n_patients)]


def _states(counts: Mapping[str, Any]) -> list[str]:
    unknown = counts.get("uncertain", 0) + counts.get("unmentioned", 0)
    return [_count(counts.get("positive")), _count(counts.get("negative")), _count(unknown)]


def _count(number: int | None) -> str:
    return NOTHING if number is None else str(number)


def _gate(inputs: ReportInputs, policy: str) -> list[Any]:
    said = verdict(inputs)
    blocks: list[Any] = [Text(f"{said.title}. {said.sentence}")]
    if said.reasons:
        blocks.append(Bullets(said.reasons))
    if inputs.decision:
        asked = f"Policy {policy}." if policy else ""
        rows = [
            [
                str(rule["name"]).replace("_", " "),
                str(rule["outcome"]).replace("_", " ").lower(),
                _number(rule.get("value")),
                _range(rule.get("lower"), rule.get("upper")),
                _number(rule.get("bound")),
            ]
            for rule in inputs.decision["rules"]
        ]
        blocks.append(Grid(asked, ("Rule", "Outcome", "Found", "Interval", "Bound"), rows))
    remarks = [f"{title_of(remark)}: {remark.sentence}" for remark in told_remarks(inputs)]
    return [*blocks, Bullets(remarks)] if remarks else blocks


def _reproduction(inputs: ReportInputs, environment: Mapping[str, Any]) -> list[Any]:
    rows = {
        "Recipe": f"{inputs.recipe['name']}, sha256 {inputs.recipe_sha256}",
        "Data fingerprint": inputs.fingerprint,
        "Test rows": inputs.evaluation.rows_sha256,
        "MLflow run": inputs.evaluation.model.mlflow_run_id or "not recorded",
        **{str(name): str(value) for name, value in environment.items()},
    }
    return [
        Code(f"cxr reproduce {inputs.model_name} {inputs.version}"),
        Text(
            "On a CPU with the same software and seed every number comes out equal; elsewhere within the seeds' spread."
        ),
        Grid("", ("What", "Value"), [[name, text] for name, text in rows.items()]),
        Text("The recipe, with what was set when the run was started:"),
        Code(yaml.safe_dump(inputs.recipe, sort_keys=False, allow_unicode=True).rstrip()),
    ]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _range(lower: float | None, upper: float | None) -> str:
    return NOTHING if lower is None or upper is None else f"{lower:.4g} to {upper:.4g}"
