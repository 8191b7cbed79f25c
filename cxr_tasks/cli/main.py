"""``cxr``: what people do from a shell. Each command has ``--help`` with an example, and ``--json``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cxr_tasks.cli.backup_commands import add_backup_commands
from cxr_tasks.cli.commands import add_command, lazily
from cxr_tasks.cli.serving_commands import add_serving_commands
from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.contracts.space import room_for
from cxr_tasks.stack.folders import settle_user_home
from cxr_tasks.worklist.request import KINDS, STATES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A foreseen error is one line on stderr and exit code 1."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    # What a command leaves under the run-time folder is for its owner, whatever the shell's mask.
    os.umask(0o077)
    try:
        settle_user_home(os.environ)
        with room_for("this command"):
            code = options.run(options)
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # Whoever reads has seen enough, as 'head' has; Python would complain again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CxrError as error:
        print(without_controls(f"cxr: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cxr: stopped; what was triggered goes on in Airflow", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr", description="Train, release and query chest X-ray models.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    trigger = add_command(
        commands,
        "trigger",
        lazily("trigger"),
        "run a recipe through Airflow: dataset, training, gate, approval, release, report",
        "cxr trigger kermany_cnn --data ~/chest_xray --wait",
    )
    trigger.add_argument("recipe", help="name of a recipe in cxr_tasks/recipes")
    trigger.add_argument("--data", metavar="DIR", help="folder with the images; default: the recipe's own")
    trigger.add_argument("--epochs", type=int, help="train at most this many epochs")
    trigger.add_argument(
        "--allow-cpu", action="store_true", help="train a recipe made for a GPU on a CPU all the same; it takes days"
    )
    trigger.add_argument("--gate-floor", type=float, help="floor of the mean AUROC instead of the policy's; recorded")
    trigger.add_argument(
        "--approve",
        metavar="REASON",
        help="with --wait: approve the version when asked, as the generated administrator; without it a person is "
        "waited for, and the page to answer on is shown",
    )
    trigger.add_argument(
        "--wait", action="store_true", help="follow the run to its report; exit code 1 if a task fails"
    )
    trigger.add_argument("--json", action="store_true", help="print the outcome as JSON")
    _add_runs(commands)

    predict = add_command(
        commands,
        "predict",
        lazily("predict"),
        "ask the served model about image files",
        "cxr predict scan1.jpeg scan2.png",
    )
    predict.add_argument("files", nargs="+", metavar="FILE", help="JPEG, PNG or DICOM files")
    predict.add_argument("--model", default="cxr_binary", help="served model (default: %(default)s)")
    which = predict.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="a version instead of a label")
    which.add_argument("--label", default="stable", help="stable or canary (default: %(default)s)")
    predict.add_argument("--json", action="store_true", help="print the answers as JSON")

    models = add_command(
        commands, "models", lazily("models"), "list registered versions, their aliases and what is served", "cxr models"
    )
    models.add_argument("--json", action="store_true", help="print the list as JSON")

    evaluate = add_command(
        commands,
        "evaluate",
        lazily("evaluate"),
        "measure a registered model on a dataset it was not trained on, over the findings that both know",
        "cxr evaluate cxr_multilabel champion --on chexpert@4a43e858",
    )
    evaluate.add_argument("model", help="name in the registry")
    evaluate.add_argument("version", help="number or alias")
    evaluate.add_argument(
        "--on", required=True, metavar="DATASET[@FINGERPRINT]", help="a prepared dataset ('cxr datasets list')"
    )
    evaluate.add_argument("--split", default="test", help="test or validation (default: %(default)s)")
    evaluate.add_argument("--json", action="store_true", help="print the outcome as JSON")
    _add_override(commands)
    _add_promote(commands)
    _add_datasets(commands)
    _add_reproduce(commands)
    _add_audit(commands)
    add_serving_commands(commands)
    add_backup_commands(commands)
    return parser


def _add_runs(commands) -> None:
    follow = add_command(
        commands,
        "follow",
        lazily("follow_command", "follow_command"),
        "take up again a run that goes on, to its report; exit code 1 if a task fails",
        "cxr follow cxr__20261129T061835_9f2c41d0",
    )
    # Not "run": under that name stands the command itself.
    follow.add_argument("named", metavar="RUN", help="number in 'cxr runs', run id, or address of the run in the UI")
    follow.add_argument("--approve", metavar="REASON", help="approve the version when asked, as 'cxr trigger' does")

    runs = add_command(
        commands,
        "runs",
        lazily("runs"),
        "show what was asked for, by whom or what, and what came of it",
        "cxr runs --model cxr_binary --state failed",
    )
    runs.add_argument("--model", metavar="MODEL", help="only requests about this model")
    runs.add_argument("--kind", choices=KINDS, help="only requests of this kind")
    runs.add_argument("--state", choices=STATES, action="append", help="only requests in this state; may be repeated")
    runs.add_argument("--limit", type=int, default=50, help="at most so many, the newest (default: %(default)s)")
    for one in (follow, runs):
        one.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_override(commands) -> None:
    override = add_command(
        commands,
        "override",
        lazily("override"),
        "let a version serve that the gate did not pass; shown on the version for ever",
        'cxr override cxr_binary 4 --by "A. Okafor" --reason "champion lost with the old disk; compared by hand"',
    )
    override.add_argument("model", help="name in the registry")
    override.add_argument("version", type=int, help="number of the version")
    override.add_argument("--by", required=True, metavar="NAME", help="the person who answers for it")
    override.add_argument("--reason", required=True, metavar="TEXT", help="why it may serve nevertheless")
    override.add_argument("--json", action="store_true", help="print the override as JSON")


def _add_promote(commands) -> None:
    promote = add_command(
        commands,
        "promote",
        lazily("promote"),
        "make a version champion; its release follows",
        'cxr promote cxr_binary 3 --reason "fewer missed effusions at the same alarm rate" --wait',
    )
    promote.add_argument("model", help="name in the registry")
    promote.add_argument("version", type=int, help="number of the version")
    promote.add_argument("--reason", required=True, metavar="TEXT", help="why it shall serve; kept in the audit log")
    promote.add_argument("--by", metavar="NAME", help="who decided; default: the login name of this shell")
    promote.add_argument("--wait", action="store_true", help="until it serves; exit code 1 if its release fails")
    promote.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_datasets(commands) -> None:
    datasets = add_command(
        commands,
        "datasets",
        lazily("datasets", "list_command"),
        "list, show and compare prepared datasets, and remove old versions",
        "cxr datasets list",
    )
    actions = datasets.add_subparsers(title="commands", metavar="COMMAND", required=True)

    listed = add_command(
        actions, "list", lazily("datasets", "list_command"), "list all versions", "cxr datasets list nih"
    )
    listed.add_argument("name", nargs="?", help="name of a dataset; default: all")

    shown = add_command(
        actions,
        "show",
        lazily("datasets", "show_command"),
        "show what a version holds",
        "cxr datasets show nih@4a43e858",
    )
    shown.add_argument("version", metavar="NAME[@FINGERPRINT]", help="first digits will do; default: the newest")

    compared = add_command(
        actions,
        "diff",
        lazily("datasets", "diff_command"),
        "count patients, images and labels that are in, out or changed",
        "cxr datasets diff nih@4a43e858 nih --json   # with the image ids",
    )
    compared.add_argument("one", metavar="NAME[@FINGERPRINT]", help="the version before")
    compared.add_argument("other", metavar="NAME[@FINGERPRINT]", help="the version after")

    pruned = add_command(
        actions,
        "prune",
        lazily("datasets", "prune_command"),
        "remove old versions; never the newest, nor one that a registered model was trained on",
        "cxr datasets prune nih --keep 3 --yes",
    )
    pruned.add_argument("name", help="name of a dataset")
    pruned.add_argument("--keep", type=int, default=3, help="so many of the newest stay (default: %(default)s)")
    pruned.add_argument("--yes", action="store_true", help="remove them; without it they are only shown")
    pruned.add_argument("--force", action="store_true", help="also those that a registered model was trained on")
    for one in (listed, shown, compared, pruned):
        one.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_reproduce(commands) -> None:
    reproduce = add_command(
        commands,
        "reproduce",
        lazily("reproduce"),
        "train a registered version again from its recorded recipe and data, and compare the numbers",
        "cxr reproduce cxr_binary 3",
    )
    reproduce.add_argument("model", help="name in the registry")
    reproduce.add_argument("version", type=int)
    reproduce.add_argument(
        "--tolerance", type=float, help="difference of an AUROC that still counts as the same model (default: 0.005)"
    )
    reproduce.add_argument("--json", action="store_true", help="print the comparison as JSON")


def _add_audit(commands) -> None:
    history = add_command(
        commands,
        "history",
        lazily("history"),
        "show who did what to a model's versions, and which one served when",
        "cxr history cxr_binary --at 2026-11-26T14:30",
    )
    history.add_argument("model", help="name in the registry")
    history.add_argument("--at", metavar="TIME", help="say which version served then; UTC where it names no zone")

    doctor = add_command(
        commands,
        "doctor",
        lazily("doctor"),
        "check the audit log, the stack, what serves, and the files and rights it needs; exit code 1 if any fails",
        "cxr doctor",
    )
    for one in (history, doctor):
        one.add_argument("--json", action="store_true", help="print the outcome as JSON")
