"""RoI maps: the exact identity of METHOD section 4, and a plain NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference.roi_reference import roi_map

from rspnet.core.errors import RSPNetError
from rspnet.features.roi_maps import bias_terms, roi_maps
from rspnet.models.heads import create_head
from rspnet.pretext.rspnet import RSPNet


@pytest.fixture
def parts():
    generator = torch.Generator().manual_seed(3)
    head = create_head("linear", num_features=7, dim=5).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    shapes = ((2, 7, 3, 4, 5), (2, 7, 2, 3, 3))  # the two clips may have maps of different sizes
    return head, *(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)


def test_maps_equal_the_plain_twin(parts):
    head, first, second = parts
    maps = roi_maps(head, first, second)
    assert maps.shape == (2, 3, 4, 5)
    weight = head.linear.weight.detach().numpy()
    for clip in range(2):
        expected = roi_map(weight, first[clip].numpy(), second[clip].numpy())
        np.testing.assert_allclose(maps[clip].detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_mean_of_a_map_and_the_bias_terms_sum_to_the_similarity(parts):
    head, first, second = parts
    similarity = (head(first) * head(second)).sum(dim=1)
    for own, partner in ((first, second), (second, first)):
        total = roi_maps(head, own, partner).mean(dim=(1, 2, 3)) + bias_terms(head, own, partner)
        torch.testing.assert_close(total, similarity, rtol=1e-12, atol=1e-12)
    assert (bias_terms(head, first, second).abs() > 0.1).all()  # a head without bias would prove less


@pytest.mark.parametrize("task", ["appearance", "motion"])
def test_the_identity_holds_for_a_whole_network(task):
    torch.manual_seed(0)
    encoder = RSPNet("r3d_10_slim", feature_dim=8, queue_size=4).double().eval().encoder_q
    head = getattr(encoder, f"{task}_head")
    first, second = (encoder.backbone.forward_features(torch.randn(1, 3, 8, 64, 64).double()) for _ in range(2))
    total = roi_maps(head, first, second).mean(dim=(1, 2, 3)) + bias_terms(head, first, second)
    torch.testing.assert_close(total, (head(first) * head(second)).sum(dim=1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_other_heads_have_no_exact_map(kind):
    features = torch.randn(1, 4, 2, 2, 2)
    with pytest.raises(RSPNetError, match="RoI maps need linear heads"):
        roi_maps(create_head(kind, num_features=4, dim=3), features, features)
