"""The quick judgement against slow twins."""

import numpy as np
import pytest
from reference.descriptor_reference import standardised
from reference.ridge_reference import nearest_answers, ridge_answers
from reference.whitening_reference import rooted

from rspnet.features.descriptor import Descriptor
from rspnet.features.ridge_probe import PENALTY, ridge_and_nearest


@pytest.mark.parametrize("descriptor", ["mean", "mean_std"])
def test_twins(descriptor: Descriptor) -> None:
    rng = np.random.default_rng(3)
    labels, wanted = np.arange(90) % 3, np.arange(40) % 3
    centres = rng.normal(size=(3, 6)) * 0.8
    train, test = (
        (centres[part] + rng.normal(size=(len(part), 6)) * [1, 1, 1, 9, 9, 0.1] + 2).astype(np.float32)
        for part in (labels, wanted)
    )
    linear, near = ridge_and_nearest(train, labels, test, wanted, descriptor=descriptor)
    first, second = train.astype(np.float64), test.astype(np.float64)
    if descriptor == "mean_std":
        first, second = (np.array(part) for part in standardised(train.tolist(), test.tolist()))
    assert (
        linear.tolist() == (np.array(ridge_answers(first, labels.tolist(), second, penalty=PENALTY)) == wanted).tolist()
    )
    if descriptor == "mean_std":
        first, second = rooted(train, test)
    assert near.tolist() == (np.array(nearest_answers(first, labels.tolist(), second)) == wanted).tolist()
    assert 0 < linear.mean() < 1
    assert 0 < near.mean() < 1
