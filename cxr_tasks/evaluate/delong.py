"""DeLong's variance of the AUROC, and of the difference of two AUROCs on the same images.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 44:837-845 (1988); computed by midranks in O(n log n) as in
Sun & Xu, IEEE Signal Processing Letters 21:1389-1393 (2014).
"""

from __future__ import annotations

import numpy as np

from cxr_tasks.evaluate.scores import checked


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, equal values sharing the mean of their ranks; float, shape ``(n,)``.

    >>> midranks(np.array([10.0, 20.0, 10.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2.0)[inverse]


def placements(is_positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image's share of the other class that it stands on the right side of, ties as half.

    Returns:
        For the ``m`` positives, the share of negatives scored lower, shape ``(m,)``; for the ``n - m`` negatives, the
        share of positives scored higher, shape ``(n - m,)``. The mean of either is the AUROC.
    """
    is_positive, score = checked(is_positive, score)
    positives, negatives = score[is_positive], score[~is_positive]
    ranks = midranks(score)
    of_positives = (ranks[is_positive] - midranks(positives)) / len(negatives)
    of_negatives = 1.0 - (ranks[~is_positive] - midranks(negatives)) / len(positives)
    return of_positives, of_negatives


def delong(is_positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs of ``k`` models on the same ``n`` images, shape ``(k,)``, and their covariance, shape ``(k, k)``.

    Args:
        is_positive: bool, shape ``(n,)``; at least two of each class.
        scores: float, shape ``(k, n)``.

    Raises:
        ValueError: Fewer than two positives or negatives, so a variance has no meaning; or as in ``scores.checked``.
    """
    pairs = [placements(is_positive, score) for score in np.atleast_2d(scores)]
    of_positives = np.stack([one for one, _ in pairs])
    of_negatives = np.stack([one for _, one in pairs])
    m, n = of_positives.shape[1], of_negatives.shape[1]
    if min(m, n) < 2:
        raise ValueError(f"expected at least two images of each class, found {m} positives and {n} negatives")
    covariance = np.atleast_2d(np.cov(of_positives)) / m + np.atleast_2d(np.cov(of_negatives)) / n
    return of_positives.mean(axis=1), covariance


def influences(is_positive: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray]:
    """The AUROC and what each image contributes to its error, shape ``(n,)``; the squares sum to DeLong's variance.

    Contributions of several findings on the same images can be added up image by image before they are squared, which
    is how the variance of a mean over findings comes out right although the findings share their images.

    Source: the structural components of DeLong et al. (1988), section 2; summed by cluster in Obuchowski, Biometrics
    53:567-578 (1997).

    Raises:
        ValueError: As in :func:`delong`.
    """
    is_positive = np.asarray(is_positive).astype(bool)
    of_positives, of_negatives = placements(is_positive, score)
    m, n = len(of_positives), len(of_negatives)
    if min(m, n) < 2:
        raise ValueError(f"expected at least two images of each class, found {m} positives and {n} negatives")
    value = float(of_positives.mean())
    each = np.empty(m + n)
    each[is_positive] = (of_positives - value) / np.sqrt(m * (m - 1.0))
    each[~is_positive] = (of_negatives - value) / np.sqrt(n * (n - 1.0))
    return value, each
