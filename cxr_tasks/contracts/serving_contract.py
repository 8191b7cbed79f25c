"""What travels with a model into the registry and from there into its served graph."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.specs import PixelSpec

FILE_NAME = "serving.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingDecision:
    """How one finding's logit becomes a probability and a decision.

    probability = sigmoid(a * logit + b) (Platt scaling, fitted on validation); decision = probability >= threshold.
    """

    finding: str
    a: float
    b: float
    threshold: float

    def __post_init__(self) -> None:
        if not self.a > 0:
            raise ConfigurationError(
                f"a of {self.finding}: expected more than 0, found {self.a}; it would turn scores over"
            )
        if not 0 < self.threshold < 1:
            raise ConfigurationError(
                f"threshold of {self.finding}: expected more than 0 and less than 1, found {self.threshold}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingContract:
    """Pixels, calibration, thresholds and names of one model version: all that its logits do not say."""

    model_name: str
    pixels: PixelSpec
    decisions: tuple[FindingDecision, ...]
    """One per model output, in the order of the logits."""
    dataset: str
    dataset_fingerprint: str
    recipe: str
    recipe_sha256: str
    prepare_version: int | None = None
    """Version of the preparation that stored the pixels it was trained on; None in contracts of before it was kept."""

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(one.finding for one in self.decisions)
