"""RoI maps: plain NumPy twins, the exact identity of METHOD section 4, and objects planted at known places."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference.roi_reference import crop_map, roi_map

from rspnet.core.errors import RSPNetError
from rspnet.data.synthetic.planted import planted_pair
from rspnet.features.roi_maps import CROP, bias_terms, crop_centres, crop_maps, crop_vectors, roi_maps
from rspnet.models.heads import create_head
from rspnet.pretext.create import fresh_twin
from rspnet.pretext.pretrained import load_pretrained
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


def test_maps_of_crops_equal_the_plain_twin():
    rng = np.random.default_rng(2)
    for own, other in ((9, 9), (12, 7)):
        first, second = (
            3 + rng.standard_normal((count, 5)) * rng.uniform(0.1, 2, (count, 1)) for count in (own, other)
        )
        found = crop_maps(torch.from_numpy(first), torch.from_numpy(second))
        np.testing.assert_allclose(found.numpy(), crop_map(first, second), rtol=1e-12, atol=1e-12)
        assert abs(float(found.mean())) < 1e-12


def test_crops_lie_where_they_are_said_to_lie():
    """A network that gives a crop's mean colours, and clips whose colour says the place."""
    head = create_head("linear", num_features=3, dim=3)
    torch.nn.init.eye_(head.linear.weight)
    torch.nn.init.zeros_(head.linear.bias)
    colours = SimpleNamespace(
        forward_features=lambda clips: clips, motion_channels=slice(0, 3), appearance_channels=slice(0, 3)
    )
    encoder = SimpleNamespace(backbone=colours, motion_head=head, appearance_head=head)
    side = CROP * 32
    place = (torch.arange(side) + 0.5) / side
    detail = torch.zeros(2, side, side, 3)
    detail[..., 0], detail[..., 1] = 255 * place[:, None], 255 * place
    found = crop_vectors(encoder, detail.round().to(torch.uint8)).motion
    for axis in (0, 1):
        line = np.polyfit(crop_centres()[:, axis], found[:, axis].numpy(), 1)
        assert np.abs(np.polyval(line, crop_centres()[:, axis]) - found[:, axis].numpy()).max() < 0.02
        assert line[0] > 1


@pytest.mark.slow
def test_the_hottest_place_is_on_the_figure_that_both_clips_share():
    """By the shipped weights: of 100 pairs 88 % and 95 %, by chance 20 %; and by fresh weights, whose maps of motion
    find a figure that is alone as well, in 100 % of 16 pairs (benchmarks/roi_places.py, docs/small-scale.md)."""
    model = load_pretrained("rspnet-small").eval()
    networks = {"trained": model, "fresh": fresh_twin(model, seed=0)}
    inside: dict[str, list[bool]] = {}
    for number in range(2):
        pair = planted_pair(number, shared="act and outfit", another=False, seed=0, size=CROP * model.config["size"])
        for name, network in networks.items():
            crops = [crop_vectors(network.encoder_q, torch.from_numpy(clip.frames[::2])) for clip in pair]
            for kind in ("motion", "appearance"):
                for own, other, clip in ((*crops, pair[0]), (*crops[::-1], pair[1])):
                    hottest = int(crop_maps(getattr(own, kind), getattr(other, kind)).argmax())
                    row, column = (crop_centres()[hottest] * clip.boxes.shape[1]).astype(int)
                    inside.setdefault(f"{name}, {kind}", []).append(bool(clip.boxes[0][row, column]))
    assert sum(inside["trained, motion"]) >= 3, inside  # of 4; by chance in one of 37 such tests
    assert sum(inside["trained, appearance"]) >= 4, inside
    assert sum(inside["fresh, motion"]) >= 3, inside
