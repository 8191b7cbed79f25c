"""What is to be said of an answer because the model was trained without patients or views like this one."""

from __future__ import annotations

import logging
import math

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.serving_contract import ADULT_YEARS, FILE_NAME, ServingContract, TrainedOn
from cxr_tasks.registry.version_files import read_contract
from serving.served.version_folders import version_folder

log = logging.getLogger(__name__)

#: With fewer training images of a group the model is as good as trained without it.
FEW_IMAGES = 20


def cautions(trained_on: TrainedOn | None, *, age_years: float = math.nan, view: str = "unknown") -> tuple[str, ...]:
    """Sentences on a patient's age and a view that the model has hardly seen; () where nothing is known against it.

    Args:
        trained_on: As in the contract of the version that answered; None where it does not tell.
        age_years: NaN where the header does not tell.
        view: One of ``contracts.labels.VIEWS``.

    >>> adults = TrainedOn(n_images=900, n_age_known=880, n_under_18=3, n_view_known=0, n_lateral=0)
    >>> cautions(adults, age_years=9.0, view="lateral")
    ('the patient is 9 years old: of 880 training images whose age is known, 3 are of patients under 18',)
    """
    if trained_on is None:
        return ()
    texts = []
    if age_years < ADULT_YEARS and trained_on.n_age_known and trained_on.n_under_18 < FEW_IMAGES:
        texts.append(
            f"the patient is {age_years:.3g} years old: of {trained_on.n_age_known} training images whose age is "
            f"known, {trained_on.n_under_18} are of patients under {ADULT_YEARS}"
        )
    if view == "lateral" and trained_on.n_view_known and trained_on.n_lateral < FEW_IMAGES:
        texts.append(
            f"this is a lateral view: of {trained_on.n_view_known} training images whose view is known, "
            f"{trained_on.n_lateral} are lateral"
        )
    return tuple(texts)


def served_contract(model_name: str, version: int) -> ServingContract | None:
    """The contract in the folder that a version is served from; None where this machine has no such folder."""
    path = version_folder(model_name, version) / "assets.extra" / FILE_NAME
    try:
        return read_contract(path) if path.is_file() else None
    except (ConfigurationError, DataDefect) as error:
        log.warning("%s: cannot tell what version %d was trained without: %s", path, version, error)
        return None
