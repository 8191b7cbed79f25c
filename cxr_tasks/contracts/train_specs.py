"""What training is asked to do: the typed parts of a recipe under ``train``, and ``search``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.network_options import options_from
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import in_range

#: Settings that a training did not have at first -> what held without them.
_CAME_LATER: dict[str, Any] = {"devices": "one"}
_NEVER = object()


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
        in_range("rotate_degrees", self.rotate_degrees, 0, 45)
        for name in ("zoom", "stretch", "crop", "brightness", "contrast", "illumination", "blur", "erase"):
            in_range(name, getattr(self, name), 0, 1)
        for name in ("shift", "noise", "mix"):
            in_range(name, getattr(self, name), 0, 0.5)
        for name in ("gamma", "tone"):
            in_range(name, getattr(self, name), 0, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec:
    """The loss on logits; unknown labels are masked in all of them."""

    kind: Literal["weighted_bce", "focal", "asymmetric", "auc_margin"] = "weighted_bce"
    gamma: float = 2.0
    """``focal``: exponent of the modulating factor (Lin et al., ICCV 2017)."""
    gamma_positive: float = 0.0
    gamma_negative: float = 4.0
    clip: float = 0.05
    """``asymmetric``: exponents, and the probability below which a negative weighs 0 (Ridnik et al., ICCV 2021)."""
    margin: float = 1.0
    """``auc_margin``: AUCM version 2 (Yuan et al., ICCV 2021), trained with its own optimiser: plain gradient steps,
    so learning rates are near 0.1. A finding learns from batches with both of its classes: sample ``class_aware``."""
    epoch_decay: float = 2e-3
    """``auc_margin``: pull towards the mean of the weights over the epoch before, at first the starting weights."""

    def __post_init__(self) -> None:
        for name in ("gamma", "gamma_positive", "gamma_negative"):
            in_range(name, getattr(self, name), 0, 10)
        in_range("clip", self.clip, 0, 0.5)
        in_range("margin", self.margin, 0.1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSpec:
    """One stretch of training: what of the network learns, for how long, how fast."""

    name: str
    epochs: int
    learning_rate: float
    """Peak of this phase's cosine schedule."""
    unfrozen_blocks: int = 5
    """Blocks of the backbone, counted from the top, that learn beside the head: 0 the head alone, 5 all of it."""
    lower_rate: float = 1.0
    """Factor on the learning rate per block further down; the head's is 1, the last block's is this."""
    batch_norm: Literal["train", "frozen"] = "train"
    """``frozen``: normalisation statistics of the backbone stay as they are, also in unfrozen blocks."""
    warmup_epochs: float = 0.0
    cache_features: Literal["auto", "never"] = "auto"
    """``auto``: features of a frozen backbone without augmentation are computed once, the head is trained on them."""
    augment: bool = True
    early_stopping_patience: int | None = None
    """Ends the phase, not the training; None: the phase runs to its end."""

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 1, 10_000)
        in_range("learning_rate", self.learning_rate, 1e-8, 10)
        in_range("unfrozen_blocks", self.unfrozen_blocks, 0, 5)
        in_range("lower_rate", self.lower_rate, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """The training on drawn X-rays that ``starting_weights: phantoms`` begins with (``train/phantom_weights.py``).

    Network, batches, augmentation and all that is not named here are those of the training itself.
    """

    n_images: int = 5000
    epochs: int = 12
    learning_rate: float = 1e-3
    seed: int = 20261123

    def __post_init__(self) -> None:
        in_range("phantoms.n_images", self.n_images, 100, 1_000_000)
        in_range("phantoms.epochs", self.epochs, 1, 10_000)
        in_range("phantoms.learning_rate", self.learning_rate, 1e-8, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """A space of settings in which a search proposes candidates."""

    n_candidates: int
    space: dict[str, Any]
    """Dotted name of a setting, as in a list of candidates -> a list of choices, or {low, high, log}."""
    stop_early: bool = True
    """End candidates whose validation score falls behind the others' at the same epoch."""
    seed: int = 20261123

    def __post_init__(self) -> None:
        in_range("n_candidates", self.n_candidates, 2, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How one candidate is trained."""

    network: Literal["residual_cnn", "densenet121"]
    starting_weights: str = "none"
    """``none``, ``imagenet``, ``phantoms`` (learnt from drawn X-rays first), ``models:/NAME/VERSION`` in the registry,
    or a Keras weights file (relative: from ``var/weights``)."""
    phantoms: PhantomSpec = field(default_factory=PhantomSpec)
    phases: tuple[PhaseSpec, ...] = ()
    """Empty: one phase of ``epochs`` in which all of the network learns. Else ``epochs``, ``learning_rate``,
    ``warmup_epochs`` and ``early_stopping_patience`` below are not used: each phase has its own."""
    labels: LabelSpec = field(default_factory=LabelSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    sampling: Literal["shuffled", "class_aware"] = "shuffled"
    """``class_aware``: images of rare findings come more often (square root of the inverse frequency)."""
    accumulate_steps: int = 1
    """Batches whose gradients are averaged for one update of the weights; an epoch ends with an update."""
    test_time_flip: bool = False
    """The model's answer is the mean of the image's and its mirror image's logits."""
    network_options: dict[str, Any] = field(default_factory=dict)
    epochs: int = 30
    """0: nothing learns. The version in ``starting_weights`` is taken as it is, and only what evaluation fits to
    validation, calibration and thresholds, is new."""
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
    """Views of each validation image under a simulated change of machine and framing (``train/loop/validation.py``).

    With any, epochs are compared by the mean of the AUROC on plain and on changed images: plain ones can be too easy.
    """
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    """``auto``: mixed bfloat16 where the processor or accelerator has bf16 units, else float32."""
    made_for: Literal["any", "gpu"] = "any"
    """``gpu``: on a CPU it would take days; refused there unless ``allow_cpu`` (``train/devices.py``)."""
    allow_cpu: bool = False
    """Train on a CPU all the same; a person's word for one run, or in a recipe's file for all of them."""
    devices: Literal["one", "all"] = "one"
    """``all``: the machine's GPUs share each batch of ``batch_size``, and do together what one would do with it. One at
    a time: do not let several candidates train at once on the same GPUs."""
    max_minutes: float | None = None
    """Training ends after the epoch in which this is passed; the best epoch so far is kept. What is reached then hangs
    on how busy the machine is: run, gate, report and card say that it happened. No shipped recipe sets it."""
    seed: int = 20261123
    augment: AugmentSpec = field(default_factory=AugmentSpec)

    def to_dict(self) -> dict[str, Any]:
        """Every setting, defaults included.

        One that came later stands there where it differs from what held before it: what does not use it keeps its hash,
        so a training under way when the code is upgraded goes on, and weights kept before are found.
        """
        told = plain(self)
        return {name: value for name, value in told.items() if _CAME_LATER.get(name, _NEVER) != value}

    @property
    def keeps_weights(self) -> bool:
        """Whether this is no training: a registered version's weights, to be calibrated anew."""
        return self.epochs == 0

    def __post_init__(self) -> None:
        options_from(self.network, self.network_options)
        if not self.keeps_weights:
            in_range("epochs", self.epochs, 1, 10_000)
        elif self.phases or not self.starting_weights.startswith("models:/"):
            raise ConfigurationError(
                "train.epochs: 0 takes a registered version as it is: expected starting_weights: models:/NAME/VERSION "
                f"and no phases, found {self.starting_weights!r} and {len(self.phases)} phases"
            )
        in_range("batch_size", self.batch_size, 1, 4096)
        in_range("learning_rate", self.learning_rate, 1e-8, 10)
        in_range("accumulate_steps", self.accumulate_steps, 1, 1024)
