"""How typical an image is of those that a model was trained on: the distance of its features, as a share in (0, 1).

The distance is Mahalanobis' under a normal distribution with few free directions (probabilistic PCA; Tipping & Bishop,
J. R. Stat. Soc. B 61:611-622, 1999): along the directions in which training varies most by its variance there, along
all others by their mean variance. With a full covariance it is the distance of Lee et al. (NeurIPS 2018); the other
directions, whose part ViM calls the residual (Wang et al., CVPR 2022), tell most of what a model has never seen.

Typicality is the share of validation's images that lie at least as far out. Beyond nine in ten of them it goes on as a
power of the distance (Pareto's tail) through the distance that 1 of 100 exceed, so that no picture has 0, and of two
pictures the stranger one has less, down to ``LEAST_TYPICALITY``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW, TypicalityFit

#: Directions kept, at most; see ``fit``.
MOST_DIRECTIONS = 64
#: Fewer images say too little of what is usual.
LEAST_TRAINING, LEAST_VALIDATION = 40, 30
#: Variances below this share of the largest are those of rounding.
LEAST_VARIANCE = 1e-7
#: Where the shares of ``TypicalityFit.usual`` end, and how many there are.
LAST_SHARE, N_SHARES = 0.9, 19
#: No distance is taken as smaller, and no typicality as nearer to 0 or 1.
LEAST_DISTANCE, LEAST_TYPICALITY, MOST_TYPICALITY = 1e-6, 1e-30, 1.0 - 1e-6


@dataclass(frozen=True, slots=True)
class Shape:
    """The arrays of a ``TypicalityFit``, float64."""

    centre: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    rest_variance: float

    @classmethod
    def of(cls, fit: TypicalityFit) -> Shape:
        """That of a fit as it travels with a version, unpacked: ``(c,)``, ``(c, k)`` and ``(k,)``, float."""
        return cls(
            _unpacked(fit.centre, (fit.n_features,)),
            _unpacked(fit.directions, (fit.n_features, fit.n_directions)),
            _unpacked(fit.variances, (fit.n_directions,)),
            fit.rest_variance,
        )

    def log_distances(self, features: np.ndarray) -> np.ndarray:
        """Logarithm of the distance of each row of ``features``, float ``(n, n_features)``."""
        away = np.asarray(features, np.float64) - self.centre
        along = away @ self.directions
        rest = np.maximum((away**2).sum(1) - (along**2).sum(1), 0.0)
        squared = (along**2 / self.variances).sum(1) + rest / self.rest_variance
        return 0.5 * np.log(np.maximum(squared, LEAST_DISTANCE**2))


def fit(training: np.ndarray, validation: np.ndarray) -> TypicalityFit:
    """What is usual, from features float ``(n, n_features)`` of training and validation images.

    Validation and not training tells what distance is usual: a network's features of images that it learnt from lie
    closer together than those of others of the same kind.

    Raises:
        UndefinedMetric: Too few images, features that are not finite, or features that do not differ.
    """
    for name, count, least in (
        ("training", training, LEAST_TRAINING),
        ("validation", validation, LEAST_VALIDATION),
    ):
        if len(count) < least:
            raise UndefinedMetric(f"typicality needs {least} {name} images, {len(count)} are there")
        if not np.isfinite(count).all():
            raise UndefinedMetric(f"features of {name} images are not all finite")
    shape = _shape(np.asarray(training, np.float64))
    usual = shape.log_distances(validation)
    shares = np.linspace(0.0, LAST_SHARE, N_SHARES)
    knots = _rising(np.quantile(usual, shares))
    # From 0.1 of the images at the last knot to 0.01 at their quantile: a tenth of them.
    reach = max(float(np.quantile(usual, 1.0 - UNUSUAL_BELOW)) - knots[-1], 1e-3)
    return TypicalityFit(
        n_training=len(training),
        n_validation=len(validation),
        n_features=training.shape[1],
        n_directions=len(shape.variances),
        centre=_packed(shape.centre),
        directions=_packed(shape.directions),
        variances=_packed(shape.variances),
        rest_variance=shape.rest_variance,
        usual=tuple(float(knot) for knot in knots),
        tail_power=float(np.log((1.0 - LAST_SHARE) / UNUSUAL_BELOW) / reach),
    )


def typicality(log_distances: np.ndarray, fitted: TypicalityFit) -> np.ndarray:
    """In (0, 1) for each of ``log_distances``, float ``(n,)``, falling with them; below ``UNUSUAL_BELOW`` an image is
    unusual."""
    shares = np.linspace(0.0, LAST_SHARE, len(fitted.usual))
    within = 1.0 - np.interp(log_distances, fitted.usual, shares)
    beyond = np.maximum(np.asarray(log_distances) - fitted.usual[-1], 0.0)
    return np.clip(within * np.exp(-fitted.tail_power * beyond), LEAST_TYPICALITY, MOST_TYPICALITY)


def _shape(training: np.ndarray) -> Shape:
    centre = training.mean(0)
    values, vectors = np.linalg.eigh(np.cov(training - centre, rowvar=False).reshape(2 * training.shape[1:]))
    values, vectors = values[::-1], vectors[:, ::-1]
    if not values[0] > 0.0:
        raise UndefinedMetric("features of all training images are the same")
    values = np.maximum(values, LEAST_VARIANCE * values[0])
    # A fifth as many directions as images: of more, the last ones are made by single images.
    kept = min(MOST_DIRECTIONS, len(values), max(1, len(training) // 5))
    rest = values[kept:]
    # As float32, which is what is served.
    centre, directions, variances = (
        array.astype(np.float32).astype(np.float64) for array in (centre, vectors[:, :kept], values[:kept])
    )
    return Shape(centre, directions, variances, float(rest.mean()) if len(rest) else 1.0)


def _rising(knots: np.ndarray) -> np.ndarray:
    """``knots`` with equal ones set a little apart."""
    return np.maximum.accumulate(knots) + 1e-6 * np.arange(len(knots))


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _unpacked(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """``ValueError`` where ``text`` holds another number of values than ``shape`` says."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64).reshape(shape)
