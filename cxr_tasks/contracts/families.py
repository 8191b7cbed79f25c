"""The model families: what is trained, registered and served, each under one name.

A third family is one entry here, one policy and one recipe at least; DAGs, Assets, forms, commands and the model
server's list follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

#: The list itself; each name begins with ``cxr_``.
ModelName = Literal["cxr_binary", "cxr_multilabel"]


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Recipes that compete for one place in the registry and on the model server."""

    model: ModelName
    """Name in the registry and on the model server."""

    @property
    def name(self) -> str:
        """In the names of its DAGs and Assets: ``cxr_train_<name>``, ``new_images_<name>``."""
        return self.model.removeprefix("cxr_")


#: Names of the models that the platform registers and serves, in the order in which they are listed.
MODELS: tuple[str, ...] = get_args(ModelName)
FAMILIES = tuple(ModelFamily(model) for model in get_args(ModelName))
