"""The numbers of an evaluation, read from where it left them."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.installation.storage.files import read_json, verified_path


def read_evaluation(evaluated: EvaluatedModel) -> Evaluation:
    """The numbers that the handoff refers to.

    Raises:
        DataDefect: The file is missing or was changed since, or does not hold an evaluation.
    """
    return read_evaluation_file(verified_path(evaluated.metrics))


def read_evaluation_file(path: Path) -> Evaluation:
    """The numbers in a ``metrics.json`` of this or of a former format; ``DataDefect`` names what is wrong with it."""
    return Evaluation.from_json(read_json(path), str(path))
