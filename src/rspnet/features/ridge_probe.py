"""The quick judgement of frozen vectors: a ridge classifier and the nearest training video."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rspnet.features.descriptor import Descriptor, standardised
from rspnet.features.linear_probe import fitting
from rspnet.features.spaces import unit_rows
from rspnet.features.whitening import comparable

PENALTY = 100.0
"""Of the ridge classifier, on standardised vectors; it was never tuned."""


def ridge_and_nearest(
    train: NDArray[np.float32],
    labels: NDArray[np.generic],
    test: NDArray[np.float32],
    wanted: NDArray[np.generic],
    *,
    descriptor: Descriptor,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which test videos the ridge classifier gets right, and whose nearest training video by cosine has their class.

    The classifier sees the vectors as `standardised` makes them, the cosine as `comparable` does; of equally near
    videos the first counts.

    Args:
        train: [M, D].
        labels: [M], of two classes at least.
        test: [N, D].
        wanted: [N].
        descriptor: what the vectors are.

    Returns:
        Two bool [N].
    """
    from sklearn.linear_model import RidgeClassifier

    gallery, queries = standardised(train, test, descriptor)
    with fitting():
        linear = RidgeClassifier(alpha=PENALTY).fit(gallery, labels).predict(queries) == wanted
    gallery, queries = comparable(train, test, descriptor)
    near = labels[(unit_rows(queries) @ unit_rows(gallery).T).argmax(axis=1)] == wanted
    return np.asarray(linear, np.bool_), np.asarray(near, np.bool_)
