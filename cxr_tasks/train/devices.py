"""A recipe that was made for a GPU is not begun on a CPU unaware: it says how long that would take."""

from __future__ import annotations

import os

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.network_options import options_from
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.train_specs import PhaseSpec, TrainSpec
from cxr_tasks.installation.accelerators import why_no_gpu
from cxr_tasks.installation.processor import cpu_flags
from cxr_tasks.sources.base import about_source
from cxr_tasks.train.networks.precision import resolve_precision

#: Multiply-accumulates of a forward pass of DenseNet121 at 224 px (Huang et al., CVPR 2017, have 2.9e9 in table 2).
DENSENET_MACS, DENSENET_PX = 2.9e9, 224
#: Forward multiply-accumulates a second that one processor trains by: from the images per processor second that
#: ``precision.BF16_FLAGS`` tells of.
RATES = {
    ("densenet121", "float32"): 3.8 * DENSENET_MACS,
    ("densenet121", "mixed_bfloat16"): 6.6 * DENSENET_MACS,
    ("residual_cnn", "float32"): 61 * 1.36e8,
    ("residual_cnn", "mixed_bfloat16"): 76 * 1.36e8,
}
#: A forward pass is about a third of a training step.
FORWARD = 1 / 3


def require_device(recipe: Recipe, *, n_images: int | None = None, n_gpus: int | None = None) -> None:
    """``ConfigurationError`` where ``recipe`` is made for a GPU, there is none, and a person has not allowed a CPU.

    Args:
        n_images: To train on; None takes the whole of a published set.
        n_gpus: That TensorFlow finds; None goes by the system's files, before TensorFlow is there.
    """
    if recipe.train.made_for != "gpu" or recipe.train.allow_cpu or n_gpus:
        return
    why = why_no_gpu()
    if n_gpus is None and not why:
        return  # TensorFlow has the last word
    n_processors = len(os.sched_getaffinity(0))
    of = n_images or round(about_source(recipe.dataset.source).n_train * (1 - recipe.split.validation))
    hours = cpu_hours(recipe, of, n_processors)
    length = f"about {hours:.0f} hours" if hours >= 1 else "less than an hour"
    data = f"{of:,} images" if n_images else f"all {of:,} training images of the published set"
    takes = f"on the {n_processors} processors here {data} would take {length}" if of else "it would take long"
    raise ConfigurationError(
        f"recipe {recipe.name} is made for a GPU: expected one, found none "
        f"({why or 'TensorFlow finds none though a driver and libraries are there; its lines in the log say more'}); "
        f"{takes}, unless training ends early. Run it where a GPU is, take a smaller recipe, or allow it: "
        "cxr trigger --allow-cpu, 'Allow CPU' in the trigger form, or train.allow_cpu: true in the recipe"
    )


def cpu_hours(recipe: Recipe, n_images: int, n_processors: int) -> float:
    """Hours of all epochs on ``n_images`` training images without a GPU, as measured elsewhere: a rough figure."""
    spec = recipe.train
    precision = resolve_precision(spec.precision, cpu_flags=cpu_flags(), n_gpus=0)
    rate = RATES[spec.network, precision] * n_processors
    steps = sum(_passes(phase) for phase in _phases(spec))
    return n_images * steps * forward_macs(spec, recipe.pixels.size_px) / rate / 3600


def forward_macs(spec: TrainSpec, size_px: int) -> float:
    """Multiply-accumulates of one image's forward pass; of the residual CNN those of its convolutions."""
    if spec.network == "densenet121":
        return DENSENET_MACS * (size_px / DENSENET_PX) ** 2
    options = options_from(spec.network, spec.network_options)
    widths, side = options.widths, size_px / options.stem_stride
    macs, before = side**2 * 25 * widths[0], widths[0]
    for stage, width in enumerate(widths):
        area = (side / 2**stage) ** 2
        for _ in range(options.blocks):
            macs += area * (9 * before * width + 9 * width * width + (before != width) * before * width)
            before = width
    return macs


def _phases(spec: TrainSpec) -> tuple[PhaseSpec, ...]:
    """As ``phases.phases_of``, which imports Keras."""
    return spec.phases or (PhaseSpec(name="all", epochs=spec.epochs, learning_rate=spec.learning_rate),)


def _passes(phase: PhaseSpec) -> float:
    """Training steps' worth of work for each image: features of a frozen backbone are computed once."""
    if phase.unfrozen_blocks == 0 and phase.cache_features == "auto" and not phase.augment:
        return FORWARD
    return phase.epochs * (FORWARD + (1 - FORWARD) * phase.unfrozen_blocks / 5)
