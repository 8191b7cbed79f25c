"""What a stage is asked to do: the typed parts of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """Which images, read by which source."""

    name: str
    source: str
    """A module of ``cxr_tasks.sources``."""
    vocabulary: str
    root_env: str | None = None
    """Environment variable with the data folder, used when no folder is given at the start of a run."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of this source only; the source checks them."""
    quarantine_bound: float = 0.05
    """Share of unusable images above which ingest fails."""
    part_size: int = 20_000
    """Images that one ingest task opens; a larger source is split into several tasks."""

    def __post_init__(self) -> None:
        _in_range("quarantine_bound", self.quarantine_bound, 0, 1)
        _in_range("part_size", self.part_size, 1, 10_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSpec:
    """How patients are dealt to splits where the source gives no official split."""

    salt: str
    validation: float
    """Share of the patients that are not in an official test split."""
    test: float = 0.0
    """Share of all patients; only used where the source has no official test split."""

    def __post_init__(self) -> None:
        _in_range("validation", self.validation, 0.01, 0.5)
        _in_range("test", self.test, 0, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSpec:
    """The one definition of pixels: greyscale, resized to a square of ``size_px``."""

    size_px: int = 128
    fit: Literal["stretch", "crop"] = "stretch"
    """``stretch`` keeps the whole picture; ``crop`` keeps the aspect and cuts the longer side around the centre."""

    def __post_init__(self) -> None:
        _in_range("size_px", self.size_px, 16, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSpec:
    """X-ray-safe augmentation, in the input pipeline, training only. 0 switches a part off.

    No vertical flip and no large rotation: a patient upside down is not an X-ray one meets. A horizontal
    flip moves the heart to the wrong side (dextrocardia), so it is off unless a recipe asks for it.
    """

    rotate_degrees: float = 0.0
    zoom: float = 0.0
    """Largest relative change of scale, each axis alike."""
    stretch: float = 0.0
    """Largest relative change of the aspect ratio."""
    shift: float = 0.0
    """Largest shift as a share of the side."""
    crop: float = 0.0
    """Largest share of each side cut away, at a random place; how tightly a chest is framed tells sources apart."""
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    """Largest absolute log of the gamma exponent."""
    tone: float = 0.0
    """Strength of a random increasing grey curve; 1 makes one quarter of the greys rise up to e^2 times another."""
    illumination: float = 0.0
    """Largest fall-off of exposure from the centre to an edge, as a share."""
    noise: float = 0.0
    """Largest standard deviation of Gaussian noise, on the [0, 1] scale."""
    blur: float = 0.0
    """Probability of a Gaussian blur of random width."""
    erase: float = 0.0
    """Probability that one rectangle is replaced by noise."""
    flip_horizontal: bool = False
    mix: float = 0.0
    """Largest share of another training image blended in, labels alike (mixup)."""

    def __post_init__(self) -> None:
        _in_range("rotate_degrees", self.rotate_degrees, 0, 45)
        for name in ("zoom", "stretch", "crop", "brightness", "contrast", "illumination", "blur", "erase"):
            _in_range(name, getattr(self, name), 0, 1)
        for name in ("shift", "noise", "mix"):
            _in_range(name, getattr(self, name), 0, 0.5)
        for name in ("gamma", "tone"):
            _in_range(name, getattr(self, name), 0, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How one candidate is trained."""

    network: Literal["residual_cnn"]
    network_options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    """Peak of a cosine schedule with linear warm-up."""
    warmup_epochs: float = 1.0
    weight_decay: float = 1e-4
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    imbalance: Literal["none", "class_weights"] = "class_weights"
    """``class_weights``: each class weighs the inverse of its frequency in the training split, per finding."""
    ema_momentum: float | None = None
    """Exponential moving average of the weights, used for validation and for the final model."""
    early_stopping_patience: int = 8
    """Epochs without a better validation score after which training ends."""
    stress_views: int = 0
    """Views of each validation image under a simulated change of machine and framing (``train/validation.py``).

    With any, epochs are compared by the mean of the AUROC on plain and on changed images: plain ones can be too easy.
    """
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    """``auto``: mixed bfloat16 where the processor or accelerator has bf16 units, else float32."""
    max_minutes: float | None = None
    """Training ends after the epoch in which this is passed; the best epoch so far is kept."""
    seed: int = 20261123
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def __post_init__(self) -> None:
        _in_range("epochs", self.epochs, 1, 10_000)
        _in_range("batch_size", self.batch_size, 1, 4096)
        _in_range("learning_rate", self.learning_rate, 1e-8, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """How a trained model is assessed."""

    confidence: float = 0.95
    target_sensitivity: float = 0.95
    served_operating_point: Literal["youden", "best_f1", "target_sensitivity"] = "target_sensitivity"
    """Which threshold, chosen on validation, makes the served ``decisions``."""
    min_positives: int = 5
    """Findings with fewer positives (or negatives) in a split are not assessable there."""
    bootstrap_samples: int = 2000
    """Resamples of patients behind the bootstrap intervals."""
    bootstrap_seed: int = 20261123

    def __post_init__(self) -> None:
        _in_range("bootstrap_samples", self.bootstrap_samples, 100, 1_000_000)
        _in_range("min_positives", self.min_positives, 2, 1_000_000)
        _in_range("confidence", self.confidence, 0.5, 0.999)
        _in_range("target_sensitivity", self.target_sensitivity, 0.5, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """What a candidate must show before it may serve."""

    auroc_floor: float = 0.9
    """The lower end of the interval of the test AUROC must reach this."""
    champion_margin: float = 0.005
    """How much worse than the champion, on the same rows, is still taken as equal.

    The lower end of the interval of the difference must stay above its negative (non-inferiority), so a small
    test set needs a wider margin; differences between seeds are about 0.003.
    """
    sensitivity_floor: float = 0.5
    """Least sensitivity of the served decision on test, per finding: a model that finds nearly nothing never serves."""
    specificity_floor: float = 0.0
    """Least specificity of the served decision on test, per finding; 0 asks for none."""
    max_not_assessable: int = 0
    """How many findings may have too few positives to be assessed."""

    def __post_init__(self) -> None:
        _in_range("sensitivity_floor", self.sensitivity_floor, 0.05, 1.0)
        _in_range("specificity_floor", self.specificity_floor, 0.0, 1.0)
        _in_range("max_not_assessable", self.max_not_assessable, 0, 100)
        _in_range("auroc_floor", self.auroc_floor, 0.5, 1.0)
        _in_range("champion_margin", self.champion_margin, 0.0, 0.2)


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name}: expected a value from {low} to {high}, found {value}")
