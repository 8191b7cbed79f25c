"""What travels with a model into the registry and from there into its served graph."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.specs import PixelSpec

FILE_NAME = "serving.json"

#: Images less typical than this are called unusual: 1 of 100 of validation's.
UNUSUAL_BELOW = 0.01
#: Younger patients are children to ``TrainedOn``.
ADULT_YEARS = 18


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
class TypicalityFit:
    """How far the features of an image lie from those of training, and how far those of validation do.

    Formulas are in ``statistics.typicality``. Arrays are base64 of little-endian float32: a list of 70,000 numbers is
    nothing that a person reads.
    """

    n_training: int
    """Images that mean and variances were taken from."""
    n_validation: int
    """Images that tell what distance is usual."""
    n_features: int
    n_directions: int
    centre: str
    """``(n_features,)``: the mean of training."""
    directions: str
    """``(n_features, n_directions)``: in which training varies most; columns of length 1, at right angles."""
    variances: str
    """``(n_directions,)``: of training in these directions."""
    rest_variance: float
    """Of training in every other direction."""
    usual: tuple[float, ...]
    """Logarithms of distances, rising: shares of validation's images, evenly spaced from 0 to 0.9, lie below them."""
    tail_power: float
    """Beyond the last of ``usual`` the share that lies further out falls with this power of the distance."""

    def __post_init__(self) -> None:
        if len(self.usual) < 2 or any(b <= a for a, b in zip(self.usual, self.usual[1:], strict=False)):
            raise ConfigurationError(f"usual: expected rising numbers, at least 2, found {list(self.usual)}")
        for name in ("rest_variance", "tail_power"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}: expected more than 0, found {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """Whom the training images are of, as far as their source tells."""

    n_images: int
    n_age_known: int
    n_under_18: int
    n_view_known: int
    n_lateral: int


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
    typicality: TypicalityFit | None = None
    """None where it could not be fitted, and in contracts of before it was: such versions serve without it."""
    trained_on: TrainedOn | None = None
    """None in contracts of before it was kept."""

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(decision.finding for decision in self.decisions)
