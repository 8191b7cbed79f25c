"""``cxr predict``: what served models say of image files."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cxr_tasks.cli.predict_asked import AskedImage, AskedImages
from cxr_tasks.cli.predict_cautions import cautions_of
from cxr_tasks.cli.predict_show import Progress, Row, printer_of
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.images.files_below import shown_path
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import inside
from cxr_tasks.worklist.request import version_number
from serving.client import Answer, CxrClient, ImageRefused, NotServed, Refused
from serving.client.notes import notes_asked_for

NOT_ALL_ANSWERED, NO_SERVER, NOT_SERVED = 1, 3, 4
EXIT_CODES = (
    f"exit codes: 0 every file has its answer; {NOT_ALL_ANSWERED} some have none, each is told on stderr;\n"
    f"2 wrong usage; {NO_SERVER} no model server answers; {NOT_SERVED} it does not serve that model, version or label"
)


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE|FOLDER|-",
        help="JPEG, PNG, BMP or DICOM files, folders of them, or - for the bytes of one image on stdin",
    )
    parser.add_argument(
        "--model",
        action="append",
        dest="models",
        metavar="NAME",
        help="served model; given again: several (default: cxr_binary)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, metavar="N", help="a version instead of a label")
    which.add_argument("--label", default="stable", help="stable or canary (default: %(default)s)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the answers as JSON")
    form.add_argument("--csv", action="store_true", help="print the answers as CSV, a line for each file and finding")
    parser.add_argument(
        "--explain",
        metavar="DIR",
        help="write a picture with the heat map of each positive finding, or of the most probable one, into DIR",
    )
    parser.add_argument(
        "--dicom",
        metavar="DIR",
        help="for DICOM files: write a structured report (TID 1500) and pictures with heat maps into DIR, for the same "
        "study; they bear the patient's name as the file does",
    )
    parser.add_argument(
        "--server", metavar="ADDRESS", help="another model server: host:port, or http://host:port for REST"
    )
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, EXIT_CODES)))


def predict_command(options: argparse.Namespace) -> int:
    """A row per file, model and finding; a file that cannot be answered gets one line and the others go on."""
    at = version_or_label(options)
    settings = StackSettings.load()
    require_named(options, "explain", "dicom")
    _require_apart(options)
    models = tuple(dict.fromkeys(options.models or ["cxr_binary"]))
    asked = AskedImages(options.files)
    with (
        notes_asked_for(os.environ) or contextlib.nullcontext() as notes,
        CxrClient(options.server or settings.grpc_address, notes=notes) as client,
    ):
        try:
            is_complete = _print_all(_rows(client, options, models, at, asked), options, asked)
        except (NotServed, ServiceUnavailable) as error:
            print(without_controls(f"cxr: {error}"), file=sys.stderr)
            return NOT_SERVED if isinstance(error, NotServed) else NO_SERVER
    for line in asked.remarks():
        print(without_controls(f"cxr: {line}"), file=sys.stderr)
    if not options.server:
        _warn_of_registry(settings, models)
    return 0 if is_complete and asked.all_found else NOT_ALL_ANSWERED


def version_or_label(options: argparse.Namespace) -> int | str:
    """What ``--version`` and ``--label`` ask for; ``ConfigurationError`` where the version can be none."""
    if options.version is None:
        return str(options.label)
    if version_number(options.version) is None:
        raise ConfigurationError(f"--version: expected the number of a version, from 1, found {options.version}")
    return int(options.version)


def require_named(options: argparse.Namespace, *names: str) -> None:
    """``ConfigurationError`` where an option is there without a value, as of a variable that a script did not set."""
    for name in names:
        if getattr(options, name) == "":
            raise ConfigurationError(f"--{name}: expected a folder, found an empty name")


def _require_apart(options: argparse.Namespace) -> None:
    """``ConfigurationError`` where results would lie among the images, and be taken for images the next time."""
    for name in ("explain", "dicom"):
        folder = Path(getattr(options, name) or os.devnull).expanduser()
        for asked in map(Path, options.files):
            if asked.is_dir() and inside(asked, folder) and not folder.is_file():
                raise ConfigurationError(
                    f"--{name}: expected a folder outside {shown_path(asked)}, whose images are asked for, found one "
                    "in it; its files would be asked for as images too"
                )


def _print_all(rows: Iterator[Row], options: argparse.Namespace, asked: AskedImages) -> bool:
    """Whether every row has its answer. Nothing is printed before the first: a missing server is told alone."""
    first = next(rows, None)
    if first is None:
        return True
    is_complete, versions = True, dict[str, set[int]]()
    with Progress(is_shown=asked.has_folder) as progress, printer_of(options) as printer:
        for row in itertools.chain([first], rows):
            progress.clear()
            printer.add(row)
            progress.add()
            is_complete &= isinstance(row.answer, Answer)
            if isinstance(row.answer, Answer) and row.answer.version is not None:
                versions.setdefault(row.model, set()).add(row.answer.version)
    for model, several in versions.items():
        if len(several) > 1:
            told = " and ".join(map(str, sorted(several)))
            print(
                f"cxr: {model}: versions {told} answered, as what serves changed meanwhile; their "
                "probabilities are not to be compared, --version asks one of them",
                file=sys.stderr,
            )
    return is_complete


def _rows(
    client: CxrClient, options: argparse.Namespace, models: tuple[str, ...], at: int | str, asked: AskedImages
) -> Iterator[Row]:
    # Each model takes the images from a stream of its own; the streams are never more than some requests apart.
    images, *streams = itertools.tee(asked.images(), len(models) + 1)
    answers = [
        client.predict_many(model, (image.image for image in stream), at=at)
        for model, stream in zip(models, streams, strict=True)
    ]
    for image, *answers_of_image in zip(images, *answers, strict=True):
        for model, answer in zip(models, answers_of_image, strict=True):
            # Another server's versions are not those in the folders of this machine.
            known = () if options.server else cautions_of(model, answer, image.image)
            row = Row(image.name, model, answer, cautions=known)
            if (options.explain or options.dicom) and isinstance(answer, Answer):
                row = _with_files(client, row, image, at, options)
            yield row


def _with_files(client: CxrClient, row: Row, asked: AskedImage, at: int | str, options: argparse.Namespace) -> Row:
    """``row`` with the files that were asked for; refused where one of them cannot be made."""
    from cxr_tasks.explain.dicom.results import write_dicom
    from cxr_tasks.explain.single import write_overlays

    version = getattr(row.answer, "version", None)
    files: tuple[str, ...] = ()
    try:
        explained = client.explain(row.model, asked.image, at=at if version is None else version)
        if options.explain:
            folder = Path(options.explain).expanduser()
            files += write_overlays(explained, row.model, asked.name, asked.image, folder)
        if options.dicom:
            files += write_dicom(explained, row.model, asked.image, Path(options.dicom).expanduser())
    except (ImageRefused, DataDefect) as error:
        return replace(row, answer=Refused(str(error)), files=files)
    return replace(row, files=files)


def _warn_of_registry(settings: StackSettings, models: tuple[str, ...]) -> None:
    """On stderr, where the registry no longer agrees with what answered: the answers are of what serves."""
    from serving.served.agreement import disagreements

    if settings.record.is_file():
        os.environ.update(client_environment(settings))
        for disagreement in disagreements(models):
            print(f"cxr: {disagreement}", file=sys.stderr)
