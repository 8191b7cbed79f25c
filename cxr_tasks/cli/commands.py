"""The commands of ``cxr``: what each is for, and the module that holds its arguments and does it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """A command. Its module has ``add_<name>_arguments(parser)`` and, but for ``datasets``, ``<name>_command``."""

    name: str
    module: str
    """Below ``cxr_tasks.cli``; imported when the command is typed: all together would be waited for at each."""
    summary: str
    example: str


COMMANDS = (
    Command(
        "trigger",
        "trigger",
        "run a recipe through Airflow: dataset, training, gate, approval, release, report",
        "cxr trigger kermany_cnn --data ~/chest_xray --wait",
    ),
    Command(
        "follow",
        "follow_command",
        "take up again a run that goes on, to its report; exit code 1 if a task fails",
        "cxr follow cxr__20261129T061835_9f2c41d0",
    ),
    Command(
        "runs",
        "runs",
        "show what was asked for, by whom or what, and what came of it",
        "cxr runs --model cxr_binary --state failed",
    ),
    Command(
        "predict",
        "predict",
        "ask the served model about image files",
        "cxr predict scan1.jpeg scan2.png",
    ),
    Command(
        "score",
        "score",
        "score a folder or table of images of any size into Parquet and CSV; taken up again where it was broken off",
        "cxr score ~/archive --model cxr_multilabel --out ~/archive-scores",
    ),
    Command(
        "models",
        "models",
        "list registered versions, their aliases and what is served",
        "cxr models",
    ),
    Command(
        "evaluate",
        "evaluate",
        "measure a registered model on a dataset it was not trained on, over the findings that both know",
        "cxr evaluate cxr_multilabel champion --on chexpert@4a43e858",
    ),
    Command(
        "override",
        "override",
        "let a version serve that the gate did not pass; shown on the version for ever",
        'cxr override cxr_binary 4 --by "A. Okafor" --reason "champion lost with the old disk; compared by hand"',
    ),
    Command(
        "promote",
        "promote",
        "make a version champion; its release follows",
        'cxr promote cxr_binary 3 --reason "fewer missed effusions at the same alarm rate" --wait',
    ),
    Command(
        "rollback",
        "rollback",
        "let the version before the present one serve again: registry and model server together",
        'cxr rollback cxr_binary --reason "misses effusions on portable images"',
    ),
    Command(
        "canary",
        "canary",
        "serve a second version under label 'canary', or end that",
        "cxr canary cxr_binary 7   # and when it has been compared: cxr canary cxr_binary --end",
    ),
    Command(
        "compare",
        "compare",
        "send recorded requests to the version that serves and to the canary, and show what differs",
        "cxr compare cxr_binary --images ~/chest_xray/test",
    ),
    Command(
        "datasets",
        "datasets",
        "list, show and compare prepared datasets, and remove old versions",
        "cxr datasets list",
    ),
    Command(
        "reproduce",
        "reproduce",
        "train a registered version again from its recorded recipe and data, and compare the numbers",
        "cxr reproduce cxr_binary 3",
    ),
    Command(
        "feedback",
        "feedback",
        "take in labels of images that were served, and measure the version that serves on them",
        "cxr feedback labels.csv --model cxr_binary",
    ),
    Command(
        "prune",
        "prune",
        "show what is old and needed by nothing, and remove it with --yes",
        "cxr prune --yes",
    ),
    Command(
        "metrics",
        "metrics",
        "print what the platform tells of itself for Prometheus, or serve it with --listen",
        "cxr metrics --listen 9109",
    ),
    Command(
        "history",
        "history",
        "show who did what to a model's versions, and which one served when",
        "cxr history cxr_binary --at 2026-11-26T14:30",
    ),
    Command(
        "doctor",
        "doctor.doctor",
        "check the audit log, the stack, what serves, and the files and rights it needs; exit code 1 if any fails",
        "cxr doctor",
    ),
    Command(
        "backup",
        "backup",
        "write everything made at run time into one file; the stack may run",
        "CXR_BACKUP_PASSPHRASE=... cxr backup ~/cxr-2026-11-29.tar.gz",
    ),
    Command(
        "restore",
        "backup",
        "put a backup in place, here or under another CXR_HOME; the stack is down",
        "CXR_HOME=/new/disk/var cxr restore ~/cxr-2026-11-29.tar.gz",
    ),
)


def add_commands(parser: argparse.ArgumentParser, only: str | None = None) -> None:
    """Add all commands to ``parser``; their arguments too, of the one named ``only`` alone where one is named."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        made = add_parser(commands, command.name, None, command.summary, command.example)
        if only in (None, command.name):
            module = importlib.import_module(f"cxr_tasks.cli.{command.module}")
            made.set_defaults(run=getattr(module, f"{command.name}_command", None))
            getattr(module, f"add_{command.name}_arguments")(made)


def add_parser(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int] | None, summary: str, example: str
) -> argparse.ArgumentParser:
    """A parser for command ``name`` among ``commands`` (what ``add_subparsers`` gives), to add its arguments to."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser
