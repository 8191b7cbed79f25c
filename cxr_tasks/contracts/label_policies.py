"""What training makes of labels that say neither yes nor no: the typed part of a recipe under ``train.labels``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from cxr_tasks.contracts.errors import ConfigurationError, nearest

Policy = Literal["zeros", "ones", "ignore", "multi_class", "self_trained", "smoothed_ones", "smoothed_zeros"]
#: What CheXpert's authors chose per finding on validation (Irvin et al., AAAI 2019, table 3); they compared no others.
CHEXPERT_POLICIES: dict[str, Policy] = {
    "atelectasis": "ones",
    "cardiomegaly": "multi_class",
    "consolidation": "self_trained",
    "edema": "ones",
    "pleural_effusion": "multi_class",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpec:
    """What training makes of labels that are neither positive nor negative."""

    uncertain: Policy = "ignore"
    """For findings that ``uncertain_by_finding`` does not name."""
    uncertain_by_finding: dict[str, Policy] = field(default_factory=lambda: dict(CHEXPERT_POLICIES))
    """``zeros``, ``ones``: taken as such. ``ignore``: masked in the loss. ``multi_class``: a class of its own beside
    positive and negative while training, p1 / (p0 + p1) at the output. ``self_trained``: the probability of
    ``first_model``; without one as ``ignore``, which is how that first model is trained. ``smoothed_ones``,
    ``smoothed_zeros``: a soft label drawn uniformly from [0.55, 0.85] or [0, 0.3]."""
    unmentioned: Literal["zeros", "ignore"] = "zeros"
    """Reports name what is there: not mentioned is taken as absent unless a recipe says otherwise."""
    first_model: str | None = None
    """``models:/NAME/VERSION`` in the registry, or a ``.keras`` file, whose probabilities ``self_trained`` takes."""


def check_policies(spec: LabelSpec, findings: Sequence[str]) -> None:
    """``ConfigurationError`` unless the policies of ``spec`` and the findings they are for are known.

    A default of ``CHEXPERT_POLICIES`` for a finding that this vocabulary lacks is passed over.
    """
    for finding, policy in spec.uncertain_by_finding.items():
        if policy not in get_args(Policy):
            raise ConfigurationError(
                f"train.labels.uncertain_by_finding.{finding}: {policy!r} is not known"
                f"{nearest(policy, get_args(Policy))}; known: {', '.join(get_args(Policy))}"
            )
        if finding not in findings and CHEXPERT_POLICIES.get(finding) != policy:
            raise ConfigurationError(
                f"train.labels.uncertain_by_finding: {finding!r} is no finding of this vocabulary"
                f"{nearest(finding, findings)}; its findings: {', '.join(findings)}"
            )
