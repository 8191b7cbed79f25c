"""Jobs: the folder of one scoring, found again where it was left unfinished."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, CxrError, DataDefect
from cxr_tasks.contracts.handoffs.afterwards import ScorePlan
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.images.files_below import shown_path
from cxr_tasks.installation.storage.files import published_folder, read_json, write_json
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import scores_root
from cxr_tasks.installation.storage.space import room_for
from cxr_tasks.score.listing import listed_files, write_parts
from cxr_tasks.score.request import ScoreRequest
from serving.client import CxrClient
from serving.served.state import read_state

PLAN, PARTS, DONE = "plan.json", "parts", "summary.json"
#: What a plan may leave out and still be readable: problems of folders are told, not each file that is no image.
MOST_PROBLEMS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something below a folder that could not be looked into."""

    file: str
    reason: str


def plan_scoring(request: ScoreRequest) -> ScorePlan:
    """The job that scores ``request``: an unfinished one for the same images and version, or a new one.

    On disk: ``parts/NNNNN.list`` and ``plan.json`` in the job's folder. The list is made once: images that come into
    the folder later are those of another job.

    Raises:
        NotServed: The server has no such model, version or label.
        ServiceUnavailable: It does not answer, or somebody else plans a job for the same model.
        DataDefect: There is nothing to score, or a table cannot be read.
        ConfigurationError: ``out`` is there and holds something else.
    """
    with CxrClient(request.address) as client:
        version = client.version_at(request.model, request.at)
    fingerprint = _fingerprint(request.model, version)
    base = request.out or _usual_folder(request, version, fingerprint)
    lock = scores_root() / request.model / f".{hashlib.sha256(str(base).encode()).hexdigest()[:16]}.lock"
    with file_lock(lock, what=f"scoring into {base}", purpose="a scoring is planned", wait_s=600):
        folder = base
        if request.out is None:
            # A finished job stays as it is; the next one for the same images stands beside it.
            number = 1
            while folder.exists() and (request.is_new or is_done(folder)):
                number += 1
                folder = base.with_name(f"{base.name}-{number}")
        elif folder.exists() and (request.is_new or not (folder / PLAN).is_file()):
            raise ConfigurationError(f"{folder}: expected no such folder yet, or an unfinished scoring, found another")
        return (
            _resumed(folder, request, version, fingerprint)
            if folder.exists()
            else _made(folder, request, version, fingerprint)
        )


def is_done(folder: Path) -> bool:
    """Whether a job's tables are written."""
    return (folder / DONE).is_file()


def _made(folder: Path, request: ScoreRequest, version: int, fingerprint: str) -> ScorePlan:
    problems: list[Problem] = []

    def note(path: Path, reason: str) -> None:
        if reason != "no image" and len(problems) < MOST_PROBLEMS:
            problems.append(Problem(file=shown_path(path), reason=reason))

    with room_for("listing the images to score", folder=folder.parent), published_folder(folder) as aside:
        (aside / PARTS).mkdir()
        n_images, n_parts = write_parts(listed_files(request.source, note), aside / PARTS)
        if not n_images:
            told = "".join(f"; {problem.file}: {problem.reason}" for problem in problems[:3])
            raise DataDefect(f"{shown_path(request.source)}: expected image files, found none{told}")
        plan = ScorePlan(
            folder=str(folder),
            source=str(request.source),
            model_name=request.model,
            version=version,
            fingerprint=fingerprint,
            address=request.address,
            n_images=n_images,
            n_parts=n_parts,
            problems=tuple(f"{problem.file}: {problem.reason}" for problem in problems),
        )
        write_json(aside / PLAN, plain(plan))
    return plan


def _resumed(folder: Path, request: ScoreRequest, version: int, fingerprint: str) -> ScorePlan:
    plan = build(ScorePlan, read_json(folder / PLAN), str(folder / PLAN))
    asked = (str(request.source), request.model, version, fingerprint)
    began = (plan.source, plan.model_name, plan.version, plan.fingerprint)
    if asked != began:
        raise ConfigurationError(
            f"{folder}: expected to go on with {request.source} and {request.model} version {version}, found a scoring "
            f"of {plan.source} by {plan.model_name} version {plan.version} ({plan.fingerprint[:12] or 'unknown'}); "
            "choose another folder"
        )
    # Another address of the same server is no other scoring.
    return replace(plan, folder=str(folder), address=request.address)


def _usual_folder(request: ScoreRequest, version: int, fingerprint: str) -> Path:
    told = f"{request.source}\0{fingerprint}".encode("utf-8", "surrogateescape")
    name = f"v{version}-{hashlib.sha256(told).hexdigest()[:12]}"
    return scores_root() / request.model / name


def _fingerprint(model: str, version: int) -> str:
    """sha256 of the SavedModel that serves under that number; '' where this installation knows of none."""
    try:
        return read_state(model).content_of(version).export_sha256
    except CxrError:
        return ""
