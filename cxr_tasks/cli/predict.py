"""``cxr predict``: what the served model says of image files."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.images.dicom import DicomRefused, dicom_as_png, is_dicom
from cxr_tasks.installation.settings import StackSettings, client_environment
from serving.client.rest import RequestRefused, predict
from serving.served.agreement import disagreements

#: Larger files are not sent: the server's own limit for one message.
MAX_FILE_BYTES = 40 * 1024 * 1024


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="JPEG, PNG or DICOM files")
    parser.add_argument("--model", default="cxr_binary", help="served model (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="a version instead of a label")
    which.add_argument("--label", default="stable", help="stable or canary (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def predict_command(options: argparse.Namespace) -> int:
    """A row per file and finding; a file that cannot be answered gets one line and the others go on (exit code 1)."""
    settings = StackSettings.load()
    rows = [_ask(settings, options, Path(name)) for name in options.files]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print_rows(rows)
    _warn_of_registry(settings, options.model)
    return 1 if any(row["error"] for row in rows) else 0


def _warn_of_registry(settings: StackSettings, model: str) -> None:
    """On stderr, where the registry no longer agrees with what answered: the answers are of what serves."""
    if settings.record.is_file():
        os.environ.update(client_environment(settings))
        for one in disagreements((model,)):
            print(f"cxr: {one}", file=sys.stderr)


def _ask(settings: StackSettings, options: argparse.Namespace, path: Path) -> dict[str, Any]:
    try:
        image = _read(path)
        answer = predict(settings, options.model, image, options.version or options.label)
    except (OSError, RequestRefused, DicomRefused) as error:
        return {"file": str(path), "findings": [], "error": getattr(error, "strerror", None) or str(error), "note": ""}
    findings = [
        {"finding": finding, "probability": probability, "decision": decision}
        for finding, probability, decision in zip(answer.labels, answer.probabilities, answer.decisions, strict=True)
    ]
    return {"file": str(path), "findings": findings, "error": None, "note": answer.note}


def _read(path: Path) -> bytes:
    """The image as it is sent: the file as it is, a DICOM file as a PNG of its pixels and without its header."""
    size = path.stat().st_size
    if size == 0:
        raise OSError(None, f"{path}: expected an image, found an empty file")
    _check_size(path, size, "found")
    content = path.read_bytes()
    if not is_dicom(content):
        return content
    content = dicom_as_png(content)
    _check_size(path, len(content), "its pixels take")
    return content


def _check_size(path: Path, size: int, found: str) -> None:
    if size > MAX_FILE_BYTES:
        raise OSError(None, f"{path}: expected at most {MAX_FILE_BYTES >> 20} MiB, {found} {size >> 20} MiB")


def _print_rows(rows: list[dict[str, Any]]) -> None:
    console = PlainConsole()
    errors = PlainConsole(stderr=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("file")
    table.add_column("finding")
    table.add_column("probability", justify="right")
    table.add_column("decision")
    for row in rows:
        for one in row["findings"]:
            decision = "positive" if one["decision"] else "negative"
            table.add_row(Path(row["file"]).name, display_name(one["finding"]), f"{one['probability']:.3f}", decision)
        if row["note"]:
            errors.print(f"{row['file']}: {row['note']}", style="yellow", markup=False, soft_wrap=True)
        if row["error"]:
            errors.print(f"{row['file']}: {row['error']}", style="red", soft_wrap=True)
    if table.row_count:
        console.print(table)
        console.print("Research use only; not a medical device.", style="dim")
