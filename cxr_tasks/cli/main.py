"""``cxr``: what people do from a shell. Each command has ``--help`` with an example, and ``--json``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from cxr_tasks.contracts.errors import CxrError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A foreseen error is one line on stderr and exit code 1."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except CxrError as error:
        print(f"cxr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cxr: stopped; what was triggered goes on in Airflow", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr", description="Train, release and query chest X-ray models.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    trigger = _command(
        commands,
        "trigger",
        _trigger,
        "run a recipe through Airflow: dataset, training, gate, release, report",
        "cxr trigger kermany_cnn --data ~/chest_xray --wait",
    )
    trigger.add_argument("recipe", help="name of a recipe in cxr_tasks/recipes")
    trigger.add_argument("--data", metavar="DIR", help="folder with the images; default: the recipe's own")
    trigger.add_argument("--epochs", type=int, help="train at most this many epochs")
    trigger.add_argument("--gate-floor", type=float, help="floor of the gate instead of the recipe's")
    trigger.add_argument(
        "--wait", action="store_true", help="follow the run to its report; exit code 1 if a task fails"
    )
    trigger.add_argument("--json", action="store_true", help="print the outcome as JSON")

    predict = _command(
        commands, "predict", _predict, "ask the served model about image files", "cxr predict scan1.jpeg scan2.png"
    )
    predict.add_argument("files", nargs="+", metavar="FILE", help="JPEG or PNG files")
    predict.add_argument("--model", default="cxr_binary", help="served model (default: %(default)s)")
    predict.add_argument("--version", type=int, help="version; default: the newest served")
    predict.add_argument("--json", action="store_true", help="print the answers as JSON")

    models = _command(
        commands, "models", _models, "list registered versions, their aliases and what is served", "cxr models"
    )
    models.add_argument("--json", action="store_true", help="print the list as JSON")
    return parser


def _command(commands, name: str, run: Command, summary: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _trigger(options: argparse.Namespace) -> int:
    from cxr_tasks.cli.trigger import trigger_command

    return trigger_command(options)


def _predict(options: argparse.Namespace) -> int:
    from cxr_tasks.cli.predict import predict_command

    return predict_command(options)


def _models(options: argparse.Namespace) -> int:
    from cxr_tasks.cli.models import models_command

    return models_command(options)
