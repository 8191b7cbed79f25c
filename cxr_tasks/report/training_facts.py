"""What a model was trained with, in words: what its recipe and its training recorded, nothing that was only planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.report.material import ReportInputs

_POLICIES = {
    "zeros": "taken as negative",
    "ones": "taken as positive",
    "ignore": "left out of the loss",
    "multi_class": "a third class while training",
    "self_trained": "the probability of a first model",
    "smoothed_ones": "a soft label drawn from 0.55 to 0.85",
    "smoothed_zeros": "a soft label drawn from 0 to 0.3",
}
_LOSSES = {
    "weighted_bce": "cross-entropy",
    "focal": "focal",
    "asymmetric": "asymmetric",
    "auc_margin": "AUC margin",
}
_LOSS_NUMBERS = {
    "focal": ("gamma",),
    "asymmetric": ("gamma_positive", "gamma_negative", "clip"),
    "auc_margin": ("margin", "epoch_decay"),
}


def training_facts(inputs: ReportInputs) -> dict[str, str]:
    """Name to value, in the order to show. Of a recipe recorded by older code, what it does not say is left out."""
    train = inputs.recipe["train"]
    facts = {
        "Starting weights": _starting_weights(train, inputs.environment),
        "Phases": "; ".join(phase_lines(train)),
        "Batch": _batch(train),
        "Loss": _loss(train),
        "Class imbalance": str(train["imbalance"]).replace("_", " "),
        "Labels": _labels(train.get("labels"), inputs.statistics.get("train", {}), inputs.evaluation.findings),
        "Average of weights (EMA)": _average(train.get("ema_momentum")),
        "Mirror image at the answer (flip)": _flip(train.get("test_time_flip", False)),
        "Augmentation": _augmentation(train.get("augment", {})),
        "Epochs chosen by": _chosen_by(train),
        "Arithmetic": str(inputs.environment.get("precision", "")).replace("_", " "),
    }
    return {name: text for name, text in facts.items() if text}


def phase_lines(train: Mapping[str, Any]) -> list[str]:
    """One line for each phase with its own rate; the recipe's own numbers count only where it has no phases."""
    if train.get("epochs") == 0:
        return []
    phases = train.get("phases") or [
        {"name": "all", "epochs": train["epochs"], "learning_rate": train["learning_rate"], "unfrozen_blocks": 5,
         "warmup_epochs": train.get("warmup_epochs", 0), "lower_rate": 1.0, "batch_norm": "train"}
    ]  # fmt: skip
    return [_phase(number, phase) for number, phase in enumerate(phases, start=1)]


def _phase(number: int, phase: Mapping[str, Any]) -> str:
    blocks = phase.get("unfrozen_blocks", 5)
    learns = {0: "the head alone", 5: "all of the network"}.get(blocks, f"the head and {blocks} blocks below it")
    parts = [f"{phase['epochs']} epochs at most", f"peak learning rate {phase['learning_rate']:g}", f"{learns} learns"]
    if phase.get("lower_rate", 1.0) != 1.0 and blocks:
        parts.append(f"times {phase['lower_rate']:g} for each block further down")
    if phase.get("warmup_epochs"):
        parts.append(f"warm-up {phase['warmup_epochs']:g} epochs")
    if phase.get("batch_norm") == "frozen" and blocks:
        parts.append("statistics of normalisation kept")
    if not phase.get("augment", True):
        parts.append("no augmentation")
    return f"{number}. {phase['name']}: {', '.join(parts)}"


def _starting_weights(train: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    named = str(train.get("starting_weights", "none"))
    kept = environment.get("sha256 of train.starting_weights", "")
    told = {
        "none": "none: drawn at random",
        "imagenet": "ImageNet (published by Keras)",
        "phantoms": "learnt from drawn X-rays (phantoms)",
    }.get(named, named)
    return f"{told}, sha256 {kept[:12]}" if kept else told


def _batch(train: Mapping[str, Any]) -> str:
    steps = train.get("accumulate_steps", 1)
    together = f", gradients of {steps} batches averaged" if steps > 1 else ""
    sampling = " drawn class-aware" if train.get("sampling") == "class_aware" else ""
    decay = f"; weight decay {train['weight_decay']:g}" if "weight_decay" in train else ""
    return f"{train['batch_size']} images{sampling}{together}{decay}; seed {train['seed']}"


def _loss(train: Mapping[str, Any]) -> str:
    loss = train.get("loss")
    if not isinstance(loss, Mapping):
        return ""
    kind = str(loss.get("kind"))
    numbers = [f"{name.replace('_', ' ')} {loss[name]:g}" for name in _LOSS_NUMBERS.get(kind, ()) if name in loss]
    smoothing = train.get("label_smoothing")
    if smoothing:
        numbers.append(f"label smoothing {smoothing:g}")
    return ", ".join([_LOSSES.get(kind, kind), *numbers])


def _labels(labels: Mapping[str, Any] | None, statistics: Mapping[str, Any], findings: Sequence[str]) -> str:
    """What became of labels that are neither positive nor negative, told of those that there are."""
    if not labels:
        return ""
    counts = statistics.get("labels", {})
    n_of = {
        state: {finding: counts.get(finding, {}).get(state, 0) for finding in findings}
        for state in ("uncertain", "unmentioned")
    }
    parts = []
    if any(n_of["uncertain"].values()):
        by_finding = labels.get("uncertain_by_finding", {})
        groups: dict[str, list[str]] = {}
        for finding in (name for name in findings if n_of["uncertain"][name]):
            named = by_finding.get(finding, labels["uncertain"])
            policy = _POLICIES.get(named, named)
            if by_finding.get(finding) == "self_trained" and not labels.get("first_model"):
                policy = "left out of the loss, as there was no first model"
            groups.setdefault(policy, []).append(display_name(finding).lower())
        told = "; ".join(f"{', '.join(names)}: {policy}" for policy, names in groups.items())
        parts.append(f"uncertain ones ({sum(n_of['uncertain'].values())}): {told}")
    if any(n_of["unmentioned"].values()):
        policy = _POLICIES.get(labels["unmentioned"], labels["unmentioned"])
        parts.append(f"findings that are not mentioned ({sum(n_of['unmentioned'].values())}): {policy}")
    first = labels.get("first_model")
    if first:
        parts.append(f"first model: {first}")
    return "; ".join(parts) or "all positive or negative; no policy was needed"


def _average(momentum: float | None) -> str:
    return "none" if momentum is None else f"momentum {momentum:g}; the average was judged and kept"


def _flip(is_on: bool) -> str:
    return "yes: the mean of the image's and its mirror image's logits" if is_on else "no"


def _augmentation(augment: Mapping[str, Any]) -> str:
    spelt = {True: "on"}
    parts = [f"{key.replace('_', ' ')} {spelt.get(value, value)}" for key, value in augment.items() if value]
    return ", ".join(parts) or "none"


def _chosen_by(train: Mapping[str, Any]) -> str:
    views = train.get("stress_views", 0)
    stressed = f" and on {views} views under a simulated change of machine" if views else ""
    return f"AUROC on validation{stressed}"
