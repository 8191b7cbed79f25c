"""Label states into training targets: what becomes of labels that are neither positive nor negative."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, chosen
from cxr_tasks.contracts.label_policies import LabelSpec, Policy, check_policies
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.datasets.targets import CODES, UNMENTIONED, evaluation_targets
from cxr_tasks.installation.storage.files import replaced_file

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit

#: Where soft labels are drawn from, uniformly (Pham et al., Neurocomputing 437:186-194, 2021).
SMOOTHED: dict[str, tuple[float, float]] = {"smoothed_ones": (0.55, 0.85), "smoothed_zeros": (0.0, 0.3)}
#: Policies by which an uncertain label stays unknown; ``self_trained`` without a first model.
LEFT_UNKNOWN = ("ignore", "self_trained")
#: Keeps these draws apart from those of the order of images and of augmentation, which start from the same seed.
_STREAM = 2


@dataclass(frozen=True, slots=True)
class Targets:
    """What training sees of each label."""

    values: np.ndarray
    """float32 ``(n, k)``: the probability of the finding, in [0, 1]; NaN where the label is masked in the loss."""
    is_uncertain: np.ndarray
    """bool ``(n, k)``: trained as a third class beside positive and negative; ``values`` is NaN there."""

    @classmethod
    def of_labels(cls, labels: np.ndarray) -> Targets:
        """Labels as they are, float ``(n, k)``: 0, 1 or NaN for masked."""
        return cls(np.asarray(labels, np.float32), np.zeros(labels.shape, bool))

    @property
    def has_third_class(self) -> np.ndarray:
        """bool ``(k,)``: findings with uncertain labels that are trained as a class of their own."""
        return np.any(self.is_uncertain, axis=0)


def policies_of(findings: Sequence[str], spec: LabelSpec) -> tuple[Policy, ...]:
    """The policy for uncertain labels of each of ``findings``.

    A default of ``CHEXPERT_POLICIES`` for a finding that this vocabulary lacks is passed over.

    Raises:
        ConfigurationError: The recipe names a finding or a policy that is not known.
    """
    check_policies(spec, findings)
    return tuple(spec.uncertain_by_finding.get(finding, spec.uncertain) for finding in findings)


def training_targets(
    states: np.ndarray, findings: Sequence[str], spec: LabelSpec, *, seed: int, soft: np.ndarray | None = None
) -> Targets:
    """Targets of the training images under the recipe's policies.

    Args:
        states: uint8 ``(n, k)``, codes in the order of ``LabelState``.
        seed: Of the draws of ``smoothed_*``; one label's draw follows from it, the row and the finding alone.
        soft: Probabilities of the first model for ``self_trained``, float ``(n, k)``, NaN where it has none; labels
            without one are masked.

    Raises:
        ConfigurationError: See ``policies_of``.
        DataDefect: A code, shape or probability is not what it should be.
    """
    policies = policies_of(findings, spec)
    _check(states, findings, soft)
    values = evaluation_targets(states, spec)
    is_uncertain = states == CODES[LabelState.UNCERTAIN]
    is_third_class = np.zeros(states.shape, bool)
    for place, (finding, policy) in enumerate(zip(findings, policies, strict=True)):
        rows = is_uncertain[:, place]
        if policy in ("zeros", "ones"):
            values[rows, place] = float(policy == "ones")
        elif policy in SMOOTHED:
            low, high = SMOOTHED[policy]
            values[rows, place] = (low + (high - low) * _draws(seed, finding, len(states)))[rows]
        elif policy == "self_trained" and soft is not None:
            values[rows, place] = soft[rows, place]
        elif policy == "multi_class":
            is_third_class[:, place] = rows
        elif policy not in LEFT_UNKNOWN:
            raise ConfigurationError(f"train.labels: nothing was made for the policy {policy!r} of {finding}")
    return Targets(values, is_third_class)


def split_targets(split: LoadedSplit, findings: Sequence[str], spec: LabelSpec, *, seed: int, folder: Path) -> Targets:
    """``training_targets`` of a training split, its uncertain labels scored by the first model where ``spec`` has one.

    The scores stay in ``folder``: a run that goes on after a kill trains on the same ones.
    """
    is_self_trained = np.array([policy == "self_trained" for policy in policies_of(findings, spec)])
    rows = ((split.states == CODES[LabelState.UNCERTAIN]) & is_self_trained).any(axis=1)
    if not spec.first_model or not rows.any():
        return training_targets(split.states, findings, spec, seed=seed)
    kept = folder / "soft_labels.npy"
    if not kept.exists():
        from cxr_tasks.train.data.first_model import soft_labels_of

        soft = soft_labels_of(spec.first_model, split, findings, folder / "first_model", rows=rows)
        with replaced_file(kept) as aside, open(aside, "wb") as stream:
            np.save(stream, soft, allow_pickle=False)
    return training_targets(split.states, findings, spec, seed=seed, soft=np.load(kept, allow_pickle=False))


def label_counts(
    states: np.ndarray, findings: Sequence[str], spec: LabelSpec, targets: Targets | None = None
) -> dict[str, dict[str, Any]]:
    """Per finding its policy and how many labels there are of each kind before and after it, as plain values.

    ``targets``: those in force; None counts as for a recipe without a first model.
    """
    if targets is None:
        targets = training_targets(states, findings, spec, seed=0)
    counts = {}
    for place, (finding, policy) in enumerate(zip(findings, policies_of(findings, spec), strict=True)):
        values, third = targets.values[:, place], targets.is_uncertain[:, place]
        after = {
            "positive": values == 1,
            "negative": values == 0,
            "soft": (values > 0) & (values < 1),
            "third_class": third,
            "masked": np.isnan(values) & ~third,
        }
        counts[finding] = {
            "policy": policy,
            "before": {str(state): int((states[:, place] == code).sum()) for state, code in CODES.items()},
            "after": {name: int(rows.sum()) for name, rows in after.items()},
        }
    return counts


def policy_table(states: np.ndarray, findings: Sequence[str], spec: LabelSpec, targets: Targets | None = None) -> str:
    """``label_counts`` as a table for the log, one line per finding."""
    counts = label_counts(states, findings, spec, targets)
    first = next(iter(counts.values()))
    head = ["finding", "uncertain as", *first["before"], "->", *(name.replace("_", " ") for name in first["after"])]
    rows = [
        [finding, told["policy"], *map(str, told["before"].values()), "->", *map(str, told["after"].values())]
        for finding, told in counts.items()
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in cells).rstrip()
        for cells in (list(enumerate(zip(row, widths, strict=True))) for row in [head, *rows])
    ]
    title = f"labels of {len(states)} training images; not mentioned is taken as {_unmentioned(spec)}"
    return "\n".join([title, *lines])


def _unmentioned(spec: LabelSpec) -> str:
    is_unknown = np.isnan(chosen(UNMENTIONED, spec.unmentioned, "train.labels.unmentioned"))
    return "unknown and masked" if is_unknown else "negative"


def _draws(seed: int, finding: str, n_images: int) -> np.ndarray:
    """Uniform in [0, 1), one per row; a row's draw is the same however many rows and findings there are."""
    return np.random.default_rng([seed, _STREAM, zlib.crc32(finding.encode())]).random(n_images)


def _check(states: np.ndarray, findings: Sequence[str], soft: np.ndarray | None) -> None:
    if states.ndim != 2 or states.shape[1] != len(findings):
        raise DataDefect(
            f"label states: expected one column for each of {len(findings)} findings, found {states.shape}"
        )
    if states.size and states.max() >= len(CODES):
        raise DataDefect(f"label states: expected codes 0 to {len(CODES) - 1}, found {states.max()}")
    if soft is None:
        return
    if soft.shape != states.shape:
        raise DataDefect(f"first model's probabilities: expected the shape {states.shape}, found {soft.shape}")
    if ((soft < 0) | (soft > 1)).any():
        raise DataDefect(
            f"first model's probabilities: expected 0 to 1 or NaN, found {np.nanmin(soft)} to {np.nanmax(soft)}"
        )
