"""``cxr``: what people do from a shell. Each command has ``--help`` with an example, and ``--json``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cxr_tasks.cli.commands import add_commands
from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.plain_text import without_controls
from cxr_tasks.images.files_below import shown_path
from cxr_tasks.installation.folders import settle_user_home
from cxr_tasks.installation.storage.space import room_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A foreseen error is one line on stderr and exit code 1."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    options = build_parser(next((word for word in typed if not word.startswith("-")), "")).parse_args(typed)
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
    except OSError as error:
        # Of a path it is the caller's to mend; any other is a fault, whose traceback is wanted.
        if error.filename is None:
            raise
        print(without_controls(f"cxr: {shown_path(error.filename)}: {error.strerror or error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cxr: stopped; what was triggered goes on in Airflow", file=sys.stderr)
        return 130


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of ``cxr``; with the arguments of command ``only`` alone, where one is named."""
    parser = argparse.ArgumentParser(prog="cxr", description="Train, release and query chest X-ray models.")
    add_commands(parser, only)
    return parser
