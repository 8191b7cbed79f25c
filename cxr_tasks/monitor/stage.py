"""Stage monitor: what a version served in the last days, held against what it was registered on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.handoffs.afterwards import DriftReport
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.storage.files import reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths, monitor_root
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.monitor.alarm import keep_as_told, tell_of_alarm
from cxr_tasks.monitor.estimate import Estimate, estimates
from cxr_tasks.monitor.looks import LOOKS_A_YEAR, WINDOW_DAYS, Look, after, look
from cxr_tasks.monitor.record import (
    DRIFT_FILE,
    LookLine,
    LookRecord,
    Promise,
    State,
    all_looks,
    read_state,
    version_folder,
    write_state,
)
from cxr_tasks.monitor.retraining import is_due
from cxr_tasks.monitor.window import Served, served_rows
from cxr_tasks.predictions.columns import decision_column, probability_column
from cxr_tasks.registry.addresses import monitor_page

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.monitor.reference import Reference

log = logging.getLogger(__name__)

FORMAT = 1
#: Folder of a look's file and page on the version's MLflow run.
ARTIFACT_FOLDER = "monitor"


@room_for("looking at what was served", 16 * MIB)
def monitor_model(
    registered: RegisteredModel,
    paths: RunPaths,
    day: date,
    window_days: int = WINDOW_DAYS,
    reference_version: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> DriftReport:
    """Look at what ``registered`` served up to the end of ``day``; page, ``drift.json``, MLflow metrics, alarm.

    A look with another window or reference than the usual ones, at a day that was looked at before, or at one that is
    not over, is for reading only: it raises no alarm, as the chance of a false one is shared out among the daily looks.
    An alarm whose message was not sent, as MLflow did not answer or the task was killed, is raised when the day is
    looked at again.

    Raises:
        DataDefect: A file of the version's run or dataset is missing or not what it was.
        NoSuchVersion: The registry has no such version.
    """
    from cxr_tasks.monitor.reference import load_reference

    work = paths.stage(f"monitor/{registered.model_name}")
    number = reference_version or registered.version
    reference, _ = load_reference(registered.model_name, number, work)
    report = look_at(registered, reference, number, day, window_days, _recipe_of(registered), environment)
    _log_to_mlflow(report)
    if report.is_new_episode:
        tell_of_alarm(report)
        keep_as_told(report)
    write_json(work / "drift_report.json", report.to_payload())
    return report


def look_at(
    registered: RegisteredModel,
    reference: Reference,
    reference_version: int,
    day: date,
    window_days: int,
    recipe: str,
    environment: Mapping[str, str],
) -> DriftReport:
    """The look itself, from the prediction log to page and ``drift.json``; without MLflow."""
    from cxr_tasks.monitor.page import write_pages

    model, version, run_id = registered.model_name, registered.version, registered.mlflow_run_id
    since = _serves_since(model, run_id)

    def served_from(first: date) -> Served:
        return served_rows(model, version, first, day, since)

    with all_looks():
        state, today = read_state(model, version, run_id), datetime.now(UTC).date().isoformat()
        is_usual = window_days == WINDOW_DAYS and reference_version == version
        is_regular = is_usual and state.last_regular_day(today) < day.isoformat() < today
        looked = look(reference, lambda first: served_from(first).rows, day, window_days)
        record = _record(registered, reference, looked, recipe, reference_version, is_regular, served_from)
        folder = version_folder(model, version, run_id) / _name(record, window_days)
        write_json(folder / DRIFT_FILE, plain(record))
        state, is_new = _after(state, record, looked, folder.relative_to(monitor_root()).as_posix())
        is_asked_for = state.retrained_on == day.isoformat()
        retrain = is_new and (is_asked_for or is_due(environment, model, day, state.retrained_on))
        if retrain:
            state = replace(state, retrained_on=day.isoformat())
        write_state(state)
        page = write_pages(record, state, folder)
    return DriftReport(
        model_name=model, version=version, mlflow_run_id=run_id, recipe=recipe, day=record.day, verdict=record.verdict,
        n_images=record.n_images, is_new_episode=is_new, retrain=retrain,
        names=tuple(deviation.name for deviation in record.drifting),
        address=monitor_page(page.relative_to(monitor_root()).as_posix()),
        drift=reference_to(folder / DRIFT_FILE), page=reference_to(page),
    )  # fmt: skip


def _record(
    registered: RegisteredModel,
    reference: Reference,
    looked: Look,
    recipe: str,
    reference_version: int,
    is_regular: bool,
    served_from: Callable[[date], Served],
) -> LookRecord:
    n_days, drift = looked.told
    served = served_from(looked.day - timedelta(days=n_days - 1))
    return LookRecord(
        format=FORMAT, model_name=registered.model_name, version=registered.version,
        mlflow_run_id=registered.mlflow_run_id, recipe=recipe, day=looked.day.isoformat(), window_days=n_days,
        reference_version=reference_version, is_regular=is_regular, verdict=drift.verdict, reason=drift.reason,
        n_images=drift.n_images, n_again=served.n_again, n_lost=served.n_lost, alpha=drift.alpha, rows=drift.rows,
        promises=() if drift.reason else tuple(_promises(reference, served.rows)),
        has_statistics=reference.has_statistics,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _promises(reference: Reference, served: pd.DataFrame) -> list[Promise]:
    promises = []
    for finding in reference.findings:
        probability = served[probability_column(finding)].to_numpy(float)
        known = ~np.isnan(probability)
        is_called = served[decision_column(finding)].to_numpy(bool)[known]
        for estimate in (
            estimates(probability[known], is_called) if known.any() else [Estimate(name="auroc", value=None)]
        ):
            record = reference.promised.get(finding, {}).get(estimate.name)
            promised = Promise(
                finding=finding, name=estimate.name, promised=None, promised_lower=None, promised_upper=None,
                promised_n=0, estimate=estimate,
            )  # fmt: skip
            if record is not None:
                promised = replace(
                    promised, promised=record.value, promised_lower=record.lower, promised_upper=record.upper,
                    promised_n=record.n,
                )  # fmt: skip
            promises.append(promised)
    return promises


def _after(state: State, record: LookRecord, looked: Look, folder: str) -> tuple[State, bool]:
    """The state after a look, and whether the look raised an alarm."""
    aurocs = [
        promise.estimate.value
        for promise in record.promises
        if promise.name == "auroc" and promise.estimate.value is not None
    ]
    line = LookLine(
        day=record.day, folder=folder, verdict=record.verdict, n_images=record.n_images,
        largest_psi=record.largest_psi, names=tuple(deviation.name for deviation in record.drifting),
        is_regular=record.is_regular, auroc=sum(aurocs) / len(aurocs) if aurocs else None,
    )  # fmt: skip
    # A look again at a day that counted stays one that counted: its chance is spent.
    again = next((look for look in state.looks if look.folder == folder), None)
    line = replace(line, is_regular=line.is_regular or bool(again and again.is_regular))
    looks = [look for look in state.looks if look.folder != folder] + [line]
    looks.sort(key=lambda look: (look.day, look.folder))
    state = replace(state, looks=tuple(looks[-4 * LOOKS_A_YEAR :]))
    last = state.episodes[-1] if state.episodes else None
    if not record.is_regular:
        return state, line.is_regular and last is not None and last.since == record.day and not last.is_told
    episode, is_new = after(last, looked)
    if episode is None or episode == last:
        return state, False
    before = state.episodes if is_new else state.episodes[:-1]
    return replace(state, episodes=(*before, episode)), is_new


def _name(record: LookRecord, window_days: int) -> str:
    parts = [record.day]
    if window_days != WINDOW_DAYS:
        parts.append(f"{window_days}-days")
    if record.reference_version != record.version:
        parts.append(f"against-{record.reference_version}")
    return "_".join(parts)


def _serves_since(model: str, run_id: str) -> datetime | None:
    """When this very version first served; None where the audit log does not say."""
    from cxr_tasks.registry.audit import trail
    from cxr_tasks.registry.history import spells

    entries = [entry for entry in trail.entries() if entry.model == model]
    return min((spell.since for spell in spells(entries) if spell.mlflow_run_id == run_id), default=None)


def _recipe_of(registered: RegisteredModel) -> str:
    from cxr_tasks.registry.versions import version_tags

    return version_tags(registered.model_name, registered.version).get("recipe.name", "")


def _log_to_mlflow(report: DriftReport) -> None:
    """The numbers of a daily look on the version's run, at the day's number, so that MLflow charts the trend."""
    from cxr_tasks.contracts.shapes import build
    from cxr_tasks.installation.storage.files import read_json, verified_path
    from cxr_tasks.registry import tracking
    from cxr_tasks.registry.run_log import RunLog

    record = build(LookRecord, read_json(verified_path(report.drift)), DRIFT_FILE)
    if not record.is_regular:
        return
    values: dict[str, float] = {"monitor_images": record.n_images, "monitor_drifting": len(record.drifting)}
    if not record.reason:
        values["monitor_largest_psi"] = record.largest_psi
        for row in record.rows:
            if row.kind == "decision":
                values[f"monitor_share_called_{row.finding}"] = float(row.now.rstrip("%")) / 100
        for promise in record.promises:
            if promise.estimate.value is not None:
                values[f"monitor_estimated_{promise.name}_{promise.finding}"] = promise.estimate.value
    with tracking.outside_failures("MLflow"):
        run = RunLog(tracking.client(), report.mlflow_run_id)
        run.metrics(values, step=date.fromisoformat(report.day).toordinal())
