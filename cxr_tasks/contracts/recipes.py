"""Recipes: one YAML file per experiment, read once into frozen dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.families import ModelName
from cxr_tasks.contracts.label_policies import check_policies
from cxr_tasks.contracts.labels import VOCABULARIES, findings_of
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import DatasetSpec, EvaluateSpec, PixelSpec, SplitSpec, in_range
from cxr_tasks.contracts.train_specs import SearchSpec, TrainSpec

RECIPES_FOLDER = Path(__file__).resolve().parents[1] / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One experiment: a dataset, how it is split and prepared, how a model is trained and assessed.

    What the model must show is no part of it: the gate asks the policy of ``model_name`` (``contracts.policies``).
    """

    name: str
    model_name: ModelName
    """Name in the registry and on the model server: one of ``contracts.families``."""
    dataset: DatasetSpec
    split: SplitSpec
    pixels: PixelSpec = field(default_factory=PixelSpec)
    train: TrainSpec
    evaluate: EvaluateSpec = field(default_factory=EvaluateSpec)
    gate_floor: float | None = None
    """Floor of the mean AUROC that a person set for this run, in place of the policy's; never in a recipe's file."""
    candidates: tuple[dict[str, Any], ...] = ()
    """Each a mapping of dotted settings that differ from the recipe: ``train.learning_rate``, or
    ``train.phases.head.learning_rate`` in the phase ``head``, or ``pixels.size_px``. Empty: one candidate."""
    search: SearchSpec | None = None
    """Proposes candidates instead of a list."""

    def __post_init__(self) -> None:
        if self.gate_floor is not None:
            in_range("gate_floor", self.gate_floor, 0.5, 1.0)
        if self.dataset.vocabulary in VOCABULARIES:  # else it is told of by whoever asks for the findings
            check_policies(self.train.labels, self.findings)

    @property
    def findings(self) -> tuple[str, ...]:
        return findings_of(self.dataset.vocabulary)

    def to_dict(self) -> dict[str, Any]:
        """Every setting, defaults included (``TrainSpec.to_dict``)."""
        return plain(self) | {"train": self.train.to_dict()}

    @classmethod
    def from_dict(cls, mapping: dict[str, Any], where: str = "recipe") -> Recipe:
        """The recipe that :meth:`to_dict` told of; what one of before policies said of the gate is left out."""
        return build(cls, {key: value for key, value in mapping.items() if key != "gate"}, where)

    @property
    def sha256(self) -> str:
        """Hash of every setting, as ``to_dict`` tells of them."""
        return sha256_json(self.to_dict())

    def with_overrides(
        self,
        *,
        epochs: int | None = None,
        gate_floor: float | None = None,
        allow_cpu: bool | None = None,
        feedback: bool | None = None,
        recalibrate: int | None = None,
    ) -> Recipe:
        """The recipe with what a person set in the trigger form; ``None`` keeps the recipe's own value.

        Args:
            feedback: Take the images and labels that came back in place of the recipe's own.
            recalibrate: Train nothing, and calibrate this version anew.
        """
        if feedback:
            return self.on_feedback().with_overrides(
                epochs=epochs, gate_floor=gate_floor, allow_cpu=allow_cpu, recalibrate=recalibrate
            )
        if recalibrate is not None:
            return self.recalibrating(recalibrate).with_overrides(gate_floor=gate_floor)
        train = self.train if epochs is None else _with_epochs(self.train, epochs)
        if allow_cpu:  # a form's box that is not ticked takes nothing back
            train = dataclasses.replace(train, allow_cpu=True)
        floor = self.gate_floor if gate_floor is None else gate_floor
        return dataclasses.replace(self, train=train, gate_floor=floor)

    def on_feedback(self) -> Recipe:
        """The recipe for images that were served and whose labels came back (source ``feedback``).

        A finding that nobody said anything of is not known there, rather than absent.
        """
        family = self.model_name.removeprefix("cxr_")
        dataset = DatasetSpec(
            name=f"feedback_{family}",
            source="feedback",
            vocabulary=self.dataset.vocabulary,
            options={"model": self.model_name},
        )
        labels = dataclasses.replace(self.train.labels, unmentioned="ignore")
        return dataclasses.replace(self, dataset=dataset, train=dataclasses.replace(self.train, labels=labels))

    def recalibrating(self, version: int) -> Recipe:
        """The recipe by which ``version`` is calibrated anew: its weights as they are, on any machine."""
        train = dataclasses.replace(
            self.train, starting_weights=f"models:/{self.model_name}/{version}", epochs=0, phases=(), allow_cpu=True,
            labels=dataclasses.replace(self.train.labels, first_model=None), max_minutes=None,
        )  # fmt: skip
        return dataclasses.replace(self, train=train, candidates=(), search=None)


def _with_epochs(train: TrainSpec, epochs: int) -> TrainSpec:
    """``epochs`` in all: phases keep their order and lengths until those are spent."""
    in_range("epochs", epochs, 1, 10_000)
    phases, left = [], epochs
    for phase in train.phases:
        if left:
            phases.append(dataclasses.replace(phase, epochs=min(phase.epochs, left)))
            left -= phases[-1].epochs
    return dataclasses.replace(train, epochs=epochs, phases=tuple(phases))


def recipe_names(model_name: str | None = None) -> list[str]:
    """Names of the shipped recipes (those of ``model_name`` only, where given), sorted. Reads no YAML for all."""
    names = sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))
    return names if model_name is None else [name for name in names if load_recipe(name).model_name == model_name]


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe of that name in ``cxr_tasks/recipes``, or in a YAML file given by a path ending in ``.yaml``.

    Raises:
        ConfigurationError: No such recipe, broken YAML, or a key or value that is not right; file and key are named.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = RECIPES_FOLDER / f"{name_or_path}.yaml"
        known = sorted(file.stem for file in RECIPES_FOLDER.glob("*.yaml"))
        if str(name_or_path) not in known:
            raise ConfigurationError(
                f"recipe {str(name_or_path)!r} is not known{nearest(str(name_or_path), known)}; "
                f"known: {', '.join(known)}"
            )
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: expected a recipe file, found none") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: expected YAML, found {error}") from None
    if not isinstance(mapping, dict):
        raise ConfigurationError(f"{path}: expected a mapping, found {type(mapping).__name__}")
    for key in ("gate", "gate_floor"):
        if mapping.get(key) is not None:
            raise ConfigurationError(
                f"{path.name}: {key!r} is no part of a recipe: what a model must show stands in the policy of its "
                "model_name in cxr_tasks/policies, by the dataset's name"
            )
    recipe = build(Recipe, {"name": path.stem, **mapping}, str(path.name))
    findings_of(recipe.dataset.vocabulary)
    return recipe
