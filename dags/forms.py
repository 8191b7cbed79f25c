"""Fields of the trigger forms that DAGs share."""

from __future__ import annotations

from airflow.sdk import Param
from assets import Family

from cxr_tasks.contracts.families import MODELS


def training_params(family: Family) -> dict[str, Param]:
    """Fields of the trigger form that dataset and training share."""
    synthetic = f"synthetic_{family.name}"
    return {
        "recipe": Param(
            synthetic if synthetic in family.recipes else family.recipes[0],
            type="string",
            enum=list(family.recipes),
            title="Recipe",
            description="The experiment: a file in cxr_tasks/recipes.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            title="Epochs",
            description="At most this many; empty: as the recipe says.",
        ),
        "gate_floor": Param(
            None,
            type=["null", "number"],
            minimum=0.5,
            maximum=1.0,
            title="Gate floor",
            description="The lower end of the test AUROC's interval must reach this; empty: as the policy says.",
        ),
        "allow_cpu": Param(
            False,
            type="boolean",
            title="Allow CPU",
            description="Train a recipe that is made for a GPU on a CPU all the same; without this it is refused.",
        ),
        "feedback": Param(
            False,
            type="boolean",
            title="Feedback",
            description="Take the images and labels that came back (cxr feedback --images), not the recipe's dataset.",
        ),
        "recalibrate": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Recalibrate",
            description="Version whose weights are taken as they are: nothing is trained, and calibration and "
            "thresholds are fitted to validation anew. Empty: train.",
        ),
    }


def data_folder_param(if_empty: str = "Empty: the recipe's own.") -> Param:
    return Param(
        None,
        type=["null", "string"],
        title="Data folder",
        description=f"Folder with the images, on the machine that runs the tasks. {if_empty}",
    )


def model_param() -> Param:
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *MODELS],
        title="Model",
        description="Name in the registry; empty: every model that has a champion.",
    )


def one_model_param(description: str = "Name in the registry.") -> Param:
    return Param(MODELS[0], type="string", enum=list(MODELS), title="Model", description=description)
