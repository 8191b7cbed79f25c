"""Policies of the gate: one YAML file per model, what a candidate must show before it may serve.

``default`` holds what is asked on any data; a section under ``datasets``, named as the recipe's dataset, says what is
asked differently there. A section is laid over the default key by key; ``null`` drops a metric. A file's ``version``
is raised with every change of what it asks; its sha256 stands in every decision. ``promotion`` says by whom a version
may be brought to serve (see ``contracts.promotion_specs``).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cxr_tasks.contracts.decision_file import DecisionFile
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.gate_specs import Bound, GateSpec
from cxr_tasks.contracts.promotion_specs import PromotionSpec
from cxr_tasks.contracts.shapes import build, plain

POLICIES_FOLDER = Path(__file__).resolve().parents[1] / "policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy file as it was read."""

    name: str
    version: int
    sha256: str
    """Of the file."""
    default: GateSpec
    datasets: dict[str, GateSpec]
    promotion: PromotionSpec = field(default_factory=PromotionSpec)

    def section_for(self, dataset: str) -> tuple[str, GateSpec]:
        """The name of the section that counts for ``dataset``, and what it asks."""
        return (dataset, self.datasets[dataset]) if dataset in self.datasets else ("default", self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PolicyFile:
    """The keys of a policy file; what its sections hold is known once they are laid over the default."""

    version: int
    default: dict[str, Any]
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    promotion: PromotionSpec = field(default_factory=PromotionSpec)


def load_policy(model_name: str, folder: Path = POLICIES_FOLDER) -> Policy:
    """The policy of ``model_name``, checked whole.

    Raises:
        ConfigurationError: No such file, broken YAML, or a key, metric, finding or value that is not right; file and
            key are named, and the nearest right one.
    """
    path = folder / f"{model_name}.yaml"
    try:
        content = path.read_bytes()
        mapping = yaml.safe_load(content)
    except OSError as error:
        raise ConfigurationError(f"{path}: expected a policy of the gate, found {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: expected YAML, found {error}") from None
    read = build(_PolicyFile, mapping, path.name)
    if read.version < 1:
        raise ConfigurationError(f"{path.name}: version: expected 1 or more, found {read.version}")
    sections = {f"datasets.{name}": _laid_over(read.default, changes) for name, changes in read.datasets.items()}
    built = {
        name: build(GateSpec, without_none(section), f"{path.name}.{name}")
        for name, section in {"default": read.default, **sections}.items()
    }
    return Policy(
        name=model_name,
        version=read.version,
        sha256=hashlib.sha256(content).hexdigest(),
        default=built.pop("default"),
        datasets={name.removeprefix("datasets."): section for name, section in built.items()},
        promotion=read.promotion,
    )


def policy_change(decision: DecisionFile, folder: Path = POLICIES_FOLDER) -> str:
    """How today's policy differs from the one that ``decision`` (the content of ``decision.json``) was made by, as a
    sentence; empty where the file is the same to the byte.

    Where the files differ it is said whether what they ask of the decision's dataset differs too. A decision that names
    no policy, or a policy that cannot be read today, is a difference: nothing shows that the two agree.
    """
    model_name, sha256 = str(decision.get("model_name", "")), str(decision.get("policy_sha256") or "")
    if not sha256:
        return f"The decision on {model_name or 'this model'} names no policy: nothing shows by what it was judged."
    try:
        policy = load_policy(model_name, folder)
    except ConfigurationError as error:
        return f"The policy that {model_name} was judged by cannot be read today: {error}."
    if policy.sha256 == sha256:
        return ""
    section, asked = policy.section_for(str(decision.get("dataset", "")))
    was, now = decision.get("policy_version"), policy.version
    judged = f"judged by policy version {was} (sha256 {sha256[:12]}); today it is version {now} ({policy.sha256[:12]})"
    if without_none(plain(asked)) == decision.get("asked"):
        return f"{model_name} was {judged}. What its section {section} asks is the same: the file differs elsewhere."
    return f"{model_name} was {judged}. What its section {section} asks is another: let the gate judge it again."


def _laid_over(default: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``default`` with ``changes``, mapping by mapping; the bound of a metric is replaced whole."""
    merged = dict(default)
    for key, value in changes.items():
        below = default.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and not _is_bound(below):
            merged[key] = _laid_over(below, value)
        else:
            merged[key] = value
    return merged


def _is_bound(mapping: Mapping[str, Any]) -> bool:
    return bool(mapping) and set(mapping) <= {field.name for field in dataclasses.fields(Bound)}


def without_none(section: Mapping[str, Any]) -> dict[str, Any]:
    """``section`` without the keys, at any depth, that hold None."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in section.items()
        if value is not None
    }
