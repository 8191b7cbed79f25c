"""Inputs of a report, built without a trained model."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.evaluation.evaluation import Baseline, Evaluation, ModelFacts
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.records import logit_column, target_column
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.explain.chosen_images import KINDS
from cxr_tasks.explain.overlays import overlay_png
from cxr_tasks.explain.stage import Example, Explanations
from cxr_tasks.gate.stage import gate_candidate
from cxr_tasks.installation.storage.files import read_json, reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.report.material import ReportInputs

PATIENT = "person1042"
SPEC = EvaluateSpec(bootstrap_samples=100)


@functools.lru_cache(maxsize=8)
def assessed(findings: tuple[str, ...], separation: float, n: int, rare: str | None) -> tuple[pd.DataFrame, Evaluation]:
    """``rare`` names a finding that is left with two positives per split."""
    table = predictions(findings, separation, n)
    if rare:
        table[target_column(rare)] = np.where(table.groupby("split").cumcount() < 2, 1.0, 0.0)
    return table, assess(table, findings, SPEC)


def predictions(findings: tuple[str, ...], separation: float, n: int) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    parts = []
    for split in ("validation", "test"):
        part = pd.DataFrame(
            {
                "image_id": [f"{split}/PNEUMONIA/{PATIENT}_bacteria_{i}.jpeg" for i in range(n)],
                "patient_key": [f"{split[0]}{i // 2:015d}" for i in range(n)],
                "split": split,
                "source": "kermany",
                "view": rng.choice(["ap", "pa"], n),
                "sex": "unknown",
                "age_years": np.nan,
            }
        )
        for finding in findings:
            target = (rng.random(n) < 0.6).astype(float)
            part[target_column(finding)] = target
            part[logit_column(finding)] = rng.normal(size=n) + separation * target
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def baselines(findings: tuple[str, ...]) -> tuple[Baseline, ...]:
    records = tuple(
        MetricRecord(
            name="auroc", finding=finding, split=split, value=0.8, lower=0.75, upper=0.85, n=200, n_positive=120,
            method="DeLong 95 %",
        )
        for finding in findings
        for split in ("validation", "test")
    )  # fmt: skip
    ridge = "Ridge regression on 32 x 32 pixels, fitted on train"
    return (Baseline(name="ridge_32px", description=ridge, metrics=records),)


def examples(folder: Path, finding: str) -> tuple[Example, ...]:
    made = []
    for number, kind in enumerate(KINDS, start=1):
        path = folder / f"example-{number}.png"
        path.write_bytes(overlay_png(np.full((32, 32), 90, np.uint8), np.full((32, 32), number / 4)))
        made.append(
            Example(
                number=number, key=f"{number:08x}", finding=finding, kind=kind, why="most confident", probability=0.9,
                threshold=0.5, is_positive=number in (1, 3), is_called=number in (1, 2), heat_is_empty=number == 4,
                has_box=False, picture=str(path),
            )
        )  # fmt: skip
    return tuple(made)


def statistics(findings: tuple[str, ...], n: int) -> dict[str, Any]:
    labels = {one: {"positive": 120, "negative": 80, "uncertain": 0, "unmentioned": 0} for one in findings}
    split = {"n_images": n, "n_patients": n // 2, "labels": labels, "sub_label": {"": 80, "bacteria": 70, "virus": 50}}
    return dict.fromkeys(("train", "validation", "test"), split)


@pytest.fixture
def make_inputs(tmp_path: Path) -> Callable[..., ReportInputs]:
    """Valid inputs; a test overrides the one thing it is about."""

    def make(
        *,
        findings: tuple[str, ...] = ("pneumonia",),
        separation: float = 3.0,
        n: int = 200,
        rare: str | None = None,
        **changed: Any,
    ) -> ReportInputs:
        table, evaluation = assessed(findings, separation, n, rare)
        recipe = dataclasses.replace(load_recipe("kermany_cnn"), evaluate=SPEC)
        evaluation = dataclasses.replace(
            evaluation, baselines=baselines(findings), model=ModelFacts(n_parameters=123456, mlflow_run_id="ab" * 16)
        )
        table.to_parquet(tmp_path / "predictions.parquet", index=False)
        write_json(tmp_path / "metrics.json", evaluation.to_json())
        evaluated = EvaluatedModel(
            model_name="cxr_binary", mlflow_run_id="ab" * 16, test_auroc=None, test_auroc_lower=None,
            test_auroc_upper=None, predictions=reference_to(tmp_path / "predictions.parquet"),
            metrics=reference_to(tmp_path / "metrics.json"),
        )  # fmt: skip
        decision = gate_candidate(evaluated, recipe, None, RunPaths(tmp_path / "run"))
        given = {
            "model_name": "cxr_binary",
            "version": 3,
            "generated_at": datetime(2026, 11, 23, 15, 0),
            "evaluation": evaluation,
            "predictions": tmp_path / "predictions.parquet",
            "recipe": recipe.to_dict(),
            "recipe_sha256": recipe.sha256,
            "statistics": statistics(findings, n),
            "fingerprint": "0123456789abcdef" * 4,
            "history": [{"epoch": i, "loss": 1 / i, "val_loss": 1.2 / i, "val_auroc": 1 - 0.3 / i} for i in (1, 2, 3)],
            "best_epoch": 3,
            "train_seconds": 90.0,
            "decision": read_json(Path(decision.decision.uri)),
            "explanations": Explanations(examples=examples(tmp_path, findings[0]), localisation={}, map_cells=(8, 8)),
            "links": {"MLflow run": "http://127.0.0.1:5000/#/experiments/1/runs/x"},
            "packages": {"tensorflow": "2.21.0"},
            "git_commit": "0123abc",
        }
        return ReportInputs(**{**given, **changed})

    return make


@pytest.fixture
def few_resamples(monkeypatch):
    """The bands of the curves are tested by themselves; here they need not be smooth."""
    monkeypatch.setattr("cxr_tasks.report.page.render.BAND_SAMPLES", 20)
