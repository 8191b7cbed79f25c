"""Stable and canary asked for the same images, and what differs: shadow traffic after the fact."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect, ReleaseRefused
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.files import reference_to, write_json
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.statistics.intervals import Interval
from serving.client import Answer, CxrClient, ImageRefused
from serving.compare.differences import FindingDifference, finding_difference
from serving.served.models_config import CANARY, STABLE
from serving.served.state import read_state

log = logging.getLogger(__name__)

AT_A_TIME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the two versions said of the same images; all of it is in the JSON file beside it."""

    model_name: str
    stable: int
    canary: int
    source: str
    made_at: str
    n_images: int
    """Sent to both."""
    n_refused_by_both: int
    n_refused_by_stable_only: int
    n_refused_by_canary_only: int
    findings: tuple[FindingDifference, ...]

    @property
    def title(self) -> str:
        refused = (
            f"refused by both {self.n_refused_by_both}, by {self.stable} alone {self.n_refused_by_stable_only}, "
            f"by {self.canary} alone {self.n_refused_by_canary_only}"
        )
        return (
            f"{self.model_name}: canary {self.canary} less stable {self.stable}, {self.n_images} images of "
            f"{self.source} ({refused})"
        )


def compare(model_name: str, settings: StackSettings, images: list[bytes], source: str) -> Comparison:
    """Send ``images`` to labels ``stable`` and ``canary`` of the running server.

    Raises:
        ReleaseRefused: There is no canary, or one of the versions changed meanwhile.
        DataDefect: No image was answered by both, or they speak of other findings.
        ServiceUnavailable: The model server does not answer.
    """
    state = read_state(model_name)
    if state.stable is None or state.canary is None:
        raise ReleaseRefused(
            f"{model_name}: expected a canary beside the version that serves, found none; start one: "
            f"cxr canary {model_name} VERSION"
        )
    with CxrClient(settings.grpc_address) as client, ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(
            pool.map(lambda image: tuple(_ask(client, model_name, image, at) for at in (STABLE, CANARY)), images)
        )
    after = read_state(model_name)
    if (after.stable, after.canary) != (state.stable, state.canary):
        raise ReleaseRefused(f"{model_name}: expected the versions to stay the same meanwhile, found {after}")
    both = [(stable, canary) for stable, canary in answers if stable is not None and canary is not None]
    if not both:
        raise DataDefect(f"{model_name}: expected answers of both versions to some of {len(images)} images, found none")
    return Comparison(
        model_name=model_name,
        stable=state.stable,
        canary=state.canary,
        source=source,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        n_images=len(images),
        n_refused_by_both=sum(stable is None and canary is None for stable, canary in answers),
        n_refused_by_stable_only=sum(stable is None and canary is not None for stable, canary in answers),
        n_refused_by_canary_only=sum(stable is not None and canary is None for stable, canary in answers),
        findings=differences(both),
    )


def differences(answers: list[tuple[Answer, Answer]]) -> tuple[FindingDifference, ...]:
    """Per finding, from pairs of the stable and the canary version's answer; ``DataDefect`` where findings differ."""
    named = {answer.labels for pair in answers for answer in pair}
    if len(named) != 1:
        raise DataDefect(f"expected the same findings of both versions, found {sorted(named)}")
    probabilities = np.array([[answer.probabilities for answer in pair] for pair in answers])
    decisions = np.array([[answer.decisions for answer in pair] for pair in answers])
    stable, canary = 0, 1
    return tuple(
        finding_difference(
            finding,
            probabilities[:, stable, place],
            probabilities[:, canary, place],
            decisions[:, stable, place],
            decisions[:, canary, place],
        )
        for place, finding in enumerate(named.pop())
    )


@room_for("writing the comparison", MIB)
def write_comparison(comparison: Comparison) -> ArtifactRef:
    """The comparison as JSON under ``var/comparisons``."""
    stamp = comparison.made_at.replace(":", "").replace("+0000", "Z")
    name = f"{comparison.stable}-{comparison.canary}-{stamp}.json"
    path = home() / "comparisons" / comparison.model_name / name
    write_json(path, plain(comparison))
    return reference_to(path)


def table(comparison: Comparison) -> list[dict[str, str]]:
    """A row per finding, as people read it."""
    return [
        {
            "finding": finding.finding,
            "n": str(finding.n),
            "mean difference (95 %)": _shown(finding.mean_difference, "+.4f"),
            "mean absolute (95 %)": _shown(finding.mean_absolute_difference, ".4f"),
            "largest": f"{finding.largest_absolute_difference:.4f}",
            "decisions changed (95 %)": _shown(finding.changed_decisions, ".1%"),
            "to positive / negative": f"{finding.n_to_positive} / {finding.n_to_negative}",
        }
        for finding in comparison.findings
    ]


def log_table(comparison: Comparison) -> None:
    """The table as lines of the log."""
    log.info("%s", comparison.title)
    for row in table(comparison):
        log.info("%s", "  ".join(f"{column}: {text}" for column, text in row.items()))


def _shown(interval: Interval, form: str) -> str:
    return f"{interval.value:{form}} ({interval.lower:{form}} to {interval.upper:{form}})"


def _ask(client: CxrClient, model_name: str, image: bytes, at: str) -> Answer | None:
    """The answer; None where the server cannot read the image."""
    try:
        return client.predict(model_name, image, at=at)
    except ImageRefused as error:
        log.info("an image was refused at label %s: %s", at, error)
        return None
