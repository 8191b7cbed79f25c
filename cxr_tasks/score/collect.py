"""The parts of a job as one table, in Parquet for programs and in CSV for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.afterwards import ScoredBatch, ScorePlan
from cxr_tasks.contracts.plain_text import write_spreadsheet
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.images.files_below import shown_path
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import reference_to, replaced_file, write_json
from cxr_tasks.installation.storage.space import room_for
from cxr_tasks.score.jobs import DONE, PARTS
from cxr_tasks.score.part import FileAnswer, read_answers

PARQUET, CSV = "scores.parquet", "scores.csv"
ROWS_AT_A_TIME = 5000


@dataclass(slots=True)
class _Counts:
    n_rows: int = 0
    n_refused: int = 0
    n_unusual: int = 0
    n_positive: dict[str, int] = field(default_factory=dict)


def collect_scores(plan: ScorePlan) -> ScoredBatch:
    """Write ``scores.parquet``, ``scores.csv`` and ``summary.json`` into the job's folder; a row for each image.

    Columns: ``file``, ``model``, ``version``, ``fingerprint`` (sha256 of the served SavedModel; '' if unknown),
    ``probability_<finding>`` (float, calibrated, in [0, 1]), ``decision_<finding>`` (bool), ``typicality`` (float),
    ``is_unusual`` (bool), ``note`` and ``error`` ('' where there is an answer). What an image has no answer to is null.

    Raises:
        DataDefect: A part is not scored to its end.
    """
    folder = Path(plan.folder)
    findings = _findings(plan)
    counts = _Counts(n_positive=dict.fromkeys(findings, 0))
    with room_for("writing the scores", folder=folder):
        _write_parquet(plan, findings, folder / PARQUET, counts)
        if counts.n_rows != plan.n_images:
            remove_file(folder / PARQUET)
            raise DataDefect(
                f"{folder}: expected the answers to {plan.n_images} images, found {counts.n_rows}; go on with its parts"
            )
        with replaced_file(folder / CSV) as aside, open(aside, "w", newline="", encoding="utf-8") as stream:
            columns = list(_row(plan, findings, {"file": ""}))
            write_spreadsheet(stream, columns, (_cells(row.values()) for row in _rows(plan, findings)))
        batch = ScoredBatch(
            model_name=plan.model_name,
            version=plan.version,
            fingerprint=plan.fingerprint,
            parquet=reference_to(folder / PARQUET),
            csv=reference_to(folder / CSV),
            n_images=plan.n_images,
            n_answered=plan.n_images - counts.n_refused,
            n_refused=counts.n_refused,
            n_unusual=counts.n_unusual,
            n_positive=counts.n_positive,
            problems=plan.problems,
        )
        write_json(folder / DONE, plain(batch))
    return batch


def _findings(plan: ScorePlan) -> tuple[str, ...]:
    """Of the first answer; none where nothing was answered."""
    for part in range(plan.n_parts):
        for said in read_answers(Path(plan.folder) / PARTS, part):
            if "labels" in said:
                return tuple(said["labels"])
    return ()


def _rows(plan: ScorePlan, findings: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for part in range(plan.n_parts):
        for said in read_answers(Path(plan.folder) / PARTS, part):
            yield _row(plan, findings, said)


def _row(plan: ScorePlan, findings: tuple[str, ...], said: FileAnswer) -> dict[str, Any]:
    nothing = [None] * len(findings)
    probabilities = zip(findings, said.get("probabilities", nothing), strict=True)
    decisions = zip(findings, said.get("decisions", nothing), strict=True)
    return {
        "file": shown_path(said["file"]),
        "model": plan.model_name,
        "version": plan.version,
        "fingerprint": plan.fingerprint,
        **{f"probability_{finding}": value for finding, value in probabilities},
        **{f"decision_{finding}": value for finding, value in decisions},
        "typicality": said.get("typicality"),
        "is_unusual": said.get("is_unusual"),
        "note": said.get("note", ""),
        "error": said.get("error", ""),
    }


def _write_parquet(plan: ScorePlan, findings: tuple[str, ...], path: Path, counts: _Counts) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("file", pa.string()),
            ("model", pa.dictionary(pa.int32(), pa.string())),
            ("version", pa.int64()),
            ("fingerprint", pa.dictionary(pa.int32(), pa.string())),
            *((f"probability_{finding}", pa.float32()) for finding in findings),
            *((f"decision_{finding}", pa.bool_()) for finding in findings),
            ("typicality", pa.float32()),
            ("is_unusual", pa.bool_()),
            ("note", pa.string()),
            ("error", pa.string()),
        ]
    )
    with replaced_file(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in _rows(plan, findings):
            _count(counts, findings, row)
            batch.append(row)
            if len(batch) == ROWS_AT_A_TIME:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        writer.write_table(pa.Table.from_pylist(batch, schema))


def _count(counts: _Counts, findings: tuple[str, ...], row: dict[str, Any]) -> None:
    counts.n_rows += 1
    counts.n_refused += bool(row["error"])
    counts.n_unusual += bool(row["is_unusual"])
    for finding in findings:
        counts.n_positive[finding] += bool(row[f"decision_{finding}"])


def _cells(values: Any) -> Iterator[object]:
    return ("" if value is None else str(value) if isinstance(value, bool) else value for value in values)
