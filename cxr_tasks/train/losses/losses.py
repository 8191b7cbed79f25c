"""The losses of a multi-label classifier with unknown labels, on logits, in float32.

In all of them a masked label is replaced before the loss and weighed 0 after it: masked only after it, the loss is
finite and every gradient NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.errors import chosen
from cxr_tasks.contracts.train_specs import LossSpec
from cxr_tasks.train.data.label_treatment import Targets
from cxr_tasks.train.losses.auc_margin import AucMargin


@dataclass(frozen=True, slots=True)
class ClassWeights:
    """What one positive and one negative label of each finding weigh: float32 ``(n_findings,)`` each."""

    positive: np.ndarray
    negative: np.ndarray


def weighs_classes(imbalance: str) -> bool:
    """Whether ``train.imbalance`` asks for weights; ``ConfigurationError`` where it is a word without a meaning."""
    return chosen({"none": False, "class_weights": True}, imbalance, "train.imbalance")


def class_weights(labels: np.ndarray, imbalance: str) -> ClassWeights:
    """Weights from the training labels (float ``(n_images, n_findings)``: 0, 1 or NaN for unknown).

    ``"class_weights"`` gives each class of a finding the same total weight, with mean 1 over the known labels;
    a finding with one class only weighs 1. ``"none"`` weighs everything 1. Soft labels are not counted.
    """
    ones = np.ones(labels.shape[1], np.float32)
    if not weighs_classes(imbalance):
        return ClassWeights(ones, ones)
    n_positive = np.sum(labels == 1, axis=0).astype(np.float64)
    n_negative = np.sum(labels == 0, axis=0).astype(np.float64)
    both = (n_positive > 0) & (n_negative > 0)
    half = (n_positive + n_negative) / 2
    positive = np.where(both, half / np.maximum(n_positive, 1), 1.0)
    negative = np.where(both, half / np.maximum(n_negative, 1), 1.0)
    return ClassWeights(positive.astype(np.float32), negative.astype(np.float32))


def three_class_weights(targets: Targets, imbalance: str) -> np.ndarray:
    """What a negative, a positive and an uncertain label weigh, float32 ``(n_findings, 3)``; as ``class_weights``."""
    classes = [targets.values == 0, targets.values == 1, targets.is_uncertain]
    counts = np.stack([np.sum(member, axis=0) for member in classes], axis=1).astype(np.float64)
    if not weighs_classes(imbalance):
        return np.ones(counts.shape, np.float32)
    even = counts.sum(axis=1, keepdims=True) / 3 / np.maximum(counts, 1)
    return np.where((counts > 0).all(axis=1, keepdims=True), even, 1.0).astype(np.float32)


def masked_bce(labels: tf.Tensor, logits: tf.Tensor, weights: ClassWeights, label_smoothing: float = 0.0) -> tf.Tensor:
    """Mean weighted binary cross-entropy over the known labels, float32 scalar; 0 where none is known.

    Args:
        labels: float ``(n, n_findings)`` in [0, 1] (in between after mixing), NaN for unknown.
        logits: float ``(n, n_findings)``.
        label_smoothing: s turns a label t into ``t (1 - s) + s / 2``.
    """
    terms, is_known = _two_way(_cross_entropy, labels, tf.cast(logits, tf.float32), weights, label_smoothing)
    return _mean_of_known(terms, is_known)


#: Target in [0, 1] and logits to the loss of each label, ``(n, n_findings)`` all.
TermsOf = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _two_way(
    terms_of: TermsOf, labels: tf.Tensor, logits: tf.Tensor, weights: ClassWeights, label_smoothing: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Weighted losses of labels with two classes, 0 where masked, and where they are known."""
    is_known = ~tf.math.is_nan(labels)
    target = tf.where(is_known, labels, 0.0)
    weight = tf.where(is_known, target * weights.positive + (1.0 - target) * weights.negative, 0.0)
    target = target * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return terms_of(target, logits) * weight, is_known


def _mean_of_known(terms: tf.Tensor, is_known: tf.Tensor, axis: int | None = None) -> tf.Tensor:
    n_known = tf.reduce_sum(tf.cast(is_known, tf.float32), axis=axis)
    return tf.reduce_sum(terms, axis=axis) / tf.maximum(n_known, 1.0)


def _cross_entropy(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)


def _focal(gamma: float) -> TermsOf:
    """(1 - p_t)^gamma times cross-entropy; the class weights are its alpha (Lin et al., ICCV 2017).

    A soft target takes its share of either class' loss. With gamma 0 it is cross-entropy.
    """

    def terms(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        # log(1 - p) = -softplus(z): powers of p by way of it stay differentiable where p is 0 in float32.
        log_p, log_q = -tf.math.softplus(-logits), -tf.math.softplus(logits)
        return -target * tf.exp(gamma * log_q) * log_p - (1.0 - target) * tf.exp(gamma * log_p) * log_q

    return terms


def _asymmetric(gamma_positive: float, gamma_negative: float, clip: float) -> TermsOf:
    """Positives (1 - p)^gamma+ (-log p), negatives q^gamma- (-log(1 - q)) with q = max(p - clip, 0).

    The gradient is the formula's own, through the powers as well. Source: Ridnik et al., ICCV 2021.
    """

    def terms(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        log_p, log_q = -tf.math.softplus(-logits), -tf.math.softplus(logits)
        of_positive = -tf.exp(gamma_positive * log_q) * log_p
        if clip == 0:
            of_negative = -tf.exp(gamma_negative * log_p) * log_q
        else:
            shifted = tf.sigmoid(logits) - clip
            # Replaced before the power, whose slope at 0 is infinite for exponents below 1.
            inside = tf.where(shifted > 0, shifted, 0.5)
            of_negative = tf.where(shifted > 0, -tf.pow(inside, gamma_negative) * tf.math.log1p(-inside), 0.0)
        return target * of_positive + (1.0 - target) * of_negative

    return terms


def _three_way(
    values: tf.Tensor, uncertain: tf.Tensor, logits: tf.Tensor, uncertain_logits: tf.Tensor, weights: np.ndarray,
    label_smoothing: float,
) -> tuple[tf.Tensor, tf.Tensor]:  # fmt: skip
    """Weighted cross-entropy over (negative, positive, uncertain) with logits (0, z, u), and where labels are known.

    Args:
        values: float ``(n, n_findings)``: the share of "positive"; NaN is masked, unless the label is uncertain.
        uncertain: float, same shape: the share of "uncertain".
        weights: ``three_class_weights``.
    """
    is_uncertain = uncertain > 0
    is_known = is_uncertain | ~tf.math.is_nan(values)
    positive = tf.where(tf.math.is_nan(values), 0.0, values)
    target = tf.stack([1.0 - positive - uncertain, positive, uncertain], axis=-1)
    weight = tf.where(is_known, tf.reduce_sum(target * weights, axis=-1), 0.0)
    target = target * (1.0 - label_smoothing) + label_smoothing / 3
    three = tf.stack([tf.zeros_like(logits), logits, uncertain_logits], axis=-1)
    return weight * -tf.reduce_sum(target * tf.nn.log_softmax(three), axis=-1), is_known


class Loss:
    """The loss of a batch, by the recipe.

    Findings with a third class ("uncertain") take three-way cross-entropy, whatever the kind; the others the kind's
    loss. All kinds but ``auc_margin`` are the mean over the known labels of the batch; ``auc_margin`` is the mean over
    findings, where one without both classes in the batch counts 0, and three-way findings count with their mean.
    """

    def __init__(self, spec: LossSpec, targets: Targets, imbalance: str, label_smoothing: float):
        self._smoothing = label_smoothing
        self._weights = class_weights(targets.values, imbalance)
        self._third = targets.has_third_class
        self._third_weights = three_class_weights(targets, imbalance)
        n_findings = targets.values.shape[1]
        self._auc_margin = AucMargin(n_findings, spec.margin) if spec.kind == "auc_margin" else None
        terms: dict[str, TermsOf] = {
            "weighted_bce": _cross_entropy,
            "focal": _focal(spec.gamma),
            "asymmetric": _asymmetric(spec.gamma_positive, spec.gamma_negative, spec.clip),
            "auc_margin": _cross_entropy,  # of findings with a third class; the others take ``AucMargin``
        }
        self._terms_of = chosen(terms, spec.kind, "train.loss.kind")

    @property
    def variables(self) -> list[keras.Variable]:
        """Learnt beside the network: a, b and alpha of ``auc_margin``, else none. Part of a run's state."""
        return self._auc_margin.variables if self._auc_margin else []

    @property
    def needs_uncertain_logits(self) -> bool:
        return bool(self._third.any())

    def __call__(
        self, values: tf.Tensor, is_uncertain: tf.Tensor, logits: tf.Tensor, uncertain_logits: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The loss, float32 scalar; 0 with gradients of 0 where all labels are masked.

        Args:
            values: float32 ``(n, n_findings)`` in [0, 1], NaN for masked (as in ``Targets``).
            is_uncertain: bool, or the share of "uncertain" after mixing, same shape.
            logits: Of "positive" over "negative", ``(n, n_findings)``.
            uncertain_logits: Of "uncertain" over "negative"; needed where a finding has a third class.

        Raises:
            ValueError: ``uncertain_logits`` are needed and missing.
        """
        logits = tf.cast(logits, tf.float32)
        three = self._three_way(values, is_uncertain, logits, uncertain_logits) if self.needs_uncertain_logits else None
        if self._auc_margin is not None:
            losses = self._auc_margin.finding_losses(values, logits, self._smoothing)
            return tf.reduce_mean(losses if three is None else tf.where(self._third, _mean_of_known(*three, 0), losses))
        terms, is_known = _two_way(self._terms_of, values, logits, self._weights, self._smoothing)
        if three is not None:
            terms, is_known = (tf.where(self._third, *pair) for pair in zip(three, (terms, is_known), strict=True))
        return _mean_of_known(terms, is_known)

    def _three_way(
        self, values: tf.Tensor, is_uncertain: tf.Tensor, logits: tf.Tensor, uncertain_logits: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if uncertain_logits is None:
            raise ValueError("expected logits of 'uncertain' for findings with a third class, found none")
        return _three_way(
            values,
            tf.cast(is_uncertain, tf.float32),
            logits,
            tf.cast(uncertain_logits, tf.float32),
            self._third_weights,
            self._smoothing,
        )


def make_loss(spec: LossSpec, targets: Targets, imbalance: str, label_smoothing: float) -> Loss:
    """The loss that ``spec`` names, with class weights from the training ``targets``."""
    return Loss(spec, targets, imbalance, label_smoothing)
