"""The one message of an alarm, and the note that it was sent."""

from __future__ import annotations

from dataclasses import replace

from cxr_tasks.contracts.handoffs.afterwards import DriftReport
from cxr_tasks.contracts.shapes import build
from cxr_tasks.installation.notices import send
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.files import read_json, verified_path
from cxr_tasks.monitor.record import DRIFT_FILE, LookRecord, all_looks, read_state, write_state


def tell_of_alarm(report: DriftReport) -> int:
    """Tell the addresses of ``CXR_NOTIFY`` of a new episode: the three rows that are least due to chance, and where."""
    record = build(LookRecord, read_json(verified_path(report.drift)), DRIFT_FILE)
    lines = [
        f"{report.model_name} version {report.version}: what it is asked is no longer what it was made on, as of "
        f"{report.day} ({report.n_images} images of {record.window_days} days).",
        *(f"- {deviation.name}: {deviation.said}" for deviation in record.drifting[:3]),
        "A training is asked for." if report.retrain else "No training is started by this.",
        f"The page: {StackSettings.load().airflow_page}{report.address}",
    ]
    return send(f"Chest X-rays: {report.model_name} version {report.version} drifts", "\n".join(lines))


def keep_as_told(report: DriftReport) -> None:
    """Keep that the message of the episode that ``report`` began is sent: it is not sent again."""
    with all_looks():
        state = read_state(report.model_name, report.version, report.mlflow_run_id)
        episodes = [
            replace(episode, is_told=episode.is_told or episode.since == report.day) for episode in state.episodes
        ]
        write_state(replace(state, episodes=tuple(episodes)))
