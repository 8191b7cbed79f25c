"""The Assets between the DAGs, and the model families that they are made for."""

from __future__ import annotations

from dataclasses import dataclass

from airflow.sdk import Asset, AssetWatcher
from work_off import WorkOff

from cxr_tasks.contracts import families
from cxr_tasks.contracts.recipes import recipe_names


@dataclass(frozen=True, slots=True)
class Family:
    """A model family in Airflow: its recipes, and the Assets that lead from its images to its training."""

    name: str
    model: str
    recipes: tuple[str, ...]
    new_images: Asset
    """New images have arrived (sent from outside, or by hand in the UI); its extra may name recipe and data_folder."""
    prepared: Asset


def _family(family: families.ModelFamily) -> Family:
    name = family.name
    return Family(
        name=name,
        model=family.model,
        recipes=tuple(recipe_names(family.model)),
        new_images=Asset(uri=f"cxr://images/{name}", name=f"new_images_{name}", group="cxr"),
        prepared=Asset(uri=f"cxr://dataset/{name}", name=f"prepared_dataset_{name}", group="cxr"),
    )


FAMILIES = tuple(_family(family) for family in families.FAMILIES)

#: One Asset for all models each; an event's extra names model and version.
CHALLENGER = Asset(uri="cxr://challenger", name="challenger", group="cxr")
#: No task publishes it: whoever moves the alias, by approval, from a shell or in the MLflow UI, the list notices. Its
#: events may come from outside.
CHAMPION = Asset(uri="cxr://champion", name="champion", group="cxr")
#: No event of its own is needed: it holds the watcher that works off the list of requests in the triggerer.
REQUESTS = Asset(
    uri="cxr://requests",
    name="requests",
    group="cxr",
    watchers=[AssetWatcher(name="work_off", trigger=WorkOff(list(families.MODELS)))],
)
SERVED = Asset(uri="cxr://served", name="served_model", group="cxr")
REPORT = Asset(uri="cxr://report", name="report", group="cxr")
#: What a version is asked has changed. One event for each alarm; it leads to a training where the setting says so.
DRIFTED = Asset(uri="cxr://drifted", name="drifted", group="cxr")
#: Labels that came back show that a version ranks as promised and its probabilities are off; somebody asked for another
#: calibration. Its events lead to a dataset of what came back, and on to a version with the same weights.
MISCALIBRATED = Asset(uri="cxr://miscalibrated", name="miscalibrated", group="cxr")
