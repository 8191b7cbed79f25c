"""How often a test split has been looked at, and what that does to the numbers measured on it.

Each model that is measured on test images leaves a line ``test_read`` in the audit log, with a hash of what those
images are. Images are known by their content (file and pixels), so another name or a few images more make no new test
split. What was measured elsewhere, by hand or before there was this log, is not counted, and the sentence says so.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxr_tasks.contracts.evaluation.evaluation import TestUse
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.remarks import Remark
from cxr_tasks.installation.storage.changes import write_bytes
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.persons import Person

if TYPE_CHECKING:
    import pandas as pd

Purpose = Literal["evaluate", "champion", "elsewhere", "reproduce"]
#: Columns that tell what an image is.
CONTENT = ("file_sha256", "pixel_hash")
#: Two test splits with fewer images in common are two.
SHARED = 0.01
#: A reproduction of a model chooses none.
_NOT_COUNTED = ("reproduce",)


def record_test_read(
    rows: pd.DataFrame,
    *,
    purpose: Purpose,
    model_name: str,
    version: int | None,
    model_sha256: str,
    dataset: str,
    fingerprint: str,
    who: str | Person,
) -> TestUse:
    """Note in the audit log that a model is measured on ``rows``; the how-manyth model that is.

    The same model on the same images is noted once and keeps its number, however often its task is tried.

    Args:
        rows: Of the test images, with the columns of ``datasets.content``.
        model_sha256: Of the trained ``.keras`` file; of a version, as its tag ``model.sha256`` has it.
        fingerprint: Of the prepared dataset.
    """
    content = _content(rows)
    test_sha256 = hashlib.sha256(content.astype("<u8").tobytes()).hexdigest()
    _keep(test_sha256, content)
    told = {"purpose": purpose, "model_sha256": model_sha256, "test_sha256": test_sha256}
    known = [
        entry for entry in trail.entries() if entry.kind == "test_read" and told.items() <= dict(entry.detail).items()
    ]
    if not known:
        why = f"{purpose}: {len(rows)} test images of {dataset}, model {model_sha256[:12]}"
        detail = {**told, "dataset": dataset, "n_images": len(rows)}
        trail.record(
            "test_read", model=model_name, version=version, who=who, why=why, fingerprint=fingerprint, detail=detail
        )
    number = _number(content, test_sha256, model_sha256)
    return TestUse(number=number, n_images=len(rows), test_sha256=test_sha256)


def _number(content: np.ndarray, test_sha256: str, model_sha256: str) -> int:
    """The place of this model among those measured on these images, in the order of their first looks."""
    shares: dict[str, bool] = {test_sha256: True}
    models: list[str] = []
    for entry in trail.entries():
        detail = dict(entry.detail)
        if entry.kind != "test_read" or detail["purpose"] in _NOT_COUNTED:
            continue
        earlier = str(detail["test_sha256"])
        if earlier not in shares:
            shares[earlier] = _is_shared(content, _kept(earlier))
        if shares[earlier] and detail["model_sha256"] not in models:
            models.append(str(detail["model_sha256"]))
    # A reproduction that is not counted itself comes after all.
    return models.index(model_sha256) + 1 if model_sha256 in models else len(models) + 1


def _content(rows: pd.DataFrame) -> np.ndarray:
    """uint64 ``(m,)``, sorted: 64 bits of each image's hash of file and of pixels, where both are kept."""
    columns = [name for name in CONTENT if name in rows.columns]
    words = [int(text[:16], 16) for name in columns for text in rows[name].astype(str) if text]
    return np.unique(np.array(words, np.uint64))


def _is_shared(one: np.ndarray, other: np.ndarray | None) -> bool:
    """Splits that nothing is kept of are known by their hash alone."""
    return other is not None and len(np.intersect1d(one, other)) >= max(SHARED * len(one), 1)


def _keep(test_sha256: str, content: np.ndarray) -> None:
    path = audit_log().parent / "test_splits" / f"{test_sha256}.u64"
    if not path.exists():
        write_bytes(path, content.astype("<u8").tobytes())


def _kept(test_sha256: str) -> np.ndarray | None:
    """None where it is not there, or is not what it was."""
    path = audit_log().parent / "test_splits" / f"{test_sha256}.u64"
    content = path.read_bytes() if path.is_file() else b""
    return np.frombuffer(content, "<u8") if hashlib.sha256(content).hexdigest() == test_sha256 else None


def reuse_remark(read: TestUse, auroc: MetricRecord, confidence: float) -> Remark:
    """Which look at the test split this was, and what that does to ``auroc``, with an interval of ``confidence``."""
    images = f"these {read.n_images} test images" if read.n_images > 1 else "this test image"
    if read.number == 1:
        sentence = f"The first model measured on {images} that is on record here: its intervals hold as they stand."
        return Remark("test_reuse", sentence)
    sentence = (
        f"Model number {read.number} measured on {images}, by the record of this installation. Its intervals hold for "
        "one model that was chosen before test was read; the best of several looks better there than it is"
    )
    if auroc.value is not None and auroc.lower is not None:
        excess, lower = best_of(read.number, auroc.value, auroc.lower, confidence)
        sentence += (
            f": the AUROC of the best of {read.number} equally good ones by up to {excess:.3f} in the mean. With "
            f"Bonferroni's correction for {read.number} its lower end is {lower:.3f} instead of {auroc.lower:.3f}"
        )
    return Remark("test_reuse", f"{sentence}. A test split that no model was measured on gives the figure to rely on.")


def best_of(n: int, value: float, lower: float, confidence: float) -> tuple[float, float]:
    """By how much the largest of ``n`` equally good AUROCs is expected above their true one, and ``lower`` at
    1 - (1 - ``confidence``) / n.

    On the logit scale, where the interval's lower half is taken as normal. The expectation is that of the largest of
    ``n`` independent standard normal values (David & Nagaraja, Order Statistics, 2003, section 3.1); models measured
    on the same images are alike, so it is the most that chance does.

    >>> [round(float(one), 3) for one in best_of(5, 0.90, 0.88, 0.95)]
    [0.011, 0.873]
    """
    from scipy.special import expit, logit
    from scipy.stats import norm

    if not 0.0 < lower <= value < 1.0:  # on the edge there is no such scale
        return 0.0, lower
    alpha = 1.0 - confidence
    deviation = (logit(value) - logit(lower)) / norm.isf(alpha / 2)
    places = np.linspace(-10.0, 10.0, 20_001)
    density = n * norm.pdf(places) * norm.cdf(places) ** (n - 1)
    largest = float(np.trapezoid(places * density, places))
    return (
        float(value - expit(logit(value) - largest * deviation)),
        float(expit(logit(value) - norm.isf(alpha / (2 * n)) * deviation)),
    )
