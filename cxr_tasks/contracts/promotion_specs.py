"""What a policy asks of the way in which a version comes to serve, beside what the gate asks of its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError

#: ``approval``: a person answered in Airflow. ``shell``: ``cxr promote`` or ``cxr rollback``. ``mlflow_approver``: the
#: alias was moved in MLflow with the login of one of ``CXR_APPROVERS``. ``mlflow``: it was moved there by whomever.
Way = Literal["approval", "shell", "mlflow_approver", "mlflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionSpec:
    """The section ``promotion`` of a policy file."""

    who_may_promote: tuple[Way, ...] = ("approval", "shell", "mlflow_approver")
    """Ways by which a version may become champion and be served. Not ``mlflow`` by default: a login that may only
    train could then put any judged version before patients' images, and no name of one who may decide would stand in
    the log."""
    lowered_floor: Literal["mark", "override"] = "mark"
    """Of a verdict PASS that was reached with a floor below the policy's (``--gate-floor``): ``mark`` shows it wherever
    PASS is shown, and leaves the decision to whom it is shown; ``override`` lets it serve only by an override."""

    def __post_init__(self) -> None:
        if not self.who_may_promote:
            raise ConfigurationError("who_may_promote: expected at least one way, found none: no version could serve")
