"""The model families: what is trained, registered and served, each under one name.

A third family is one entry here, one policy and one recipe at least; DAGs, Assets, forms, commands and the model
server's list follow.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Recipes that compete for one place in the registry and on the model server."""

    name: str
    """In the names of its DAGs and Assets: ``cxr_train_<name>``, ``new_images_<name>``."""

    @property
    def model(self) -> str:
        """Name in the registry and on the model server."""
        return f"cxr_{self.name}"


#: In the order in which they are listed and served.
FAMILIES = (ModelFamily("binary"), ModelFamily("multilabel"))
#: Names of the models that the platform registers and serves.
MODELS = tuple(family.model for family in FAMILIES)
