"""What every registered backbone promises."""

from typing import get_args

import pytest
import torch
from helpers.networks import NAMES

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import moving_colours
from rspnet.models.heads import create_encoder, create_head
from rspnet.models.kinds import InputKind
from rspnet.models.registry import create_backbone


def test_names() -> None:
    published = {"c3d", "r3d_18", "r3d_34", "r3d_50", "r2plus1d_vcop", "r2plus1d_18", "s3dg"}
    assert set(NAMES) == published | {"r3d_10_slim", "r3d_18_torchvision", "two_stream_slim"}
    assert sorted(NAMES) == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_every_input(name: str) -> None:
    """Without numbers: on the device that has none."""
    for kind in get_args(InputKind):
        with torch.device("meta"):
            backbone = create_backbone(name, input=kind)
            features = backbone.forward_features(torch.empty(2, 3, 16, 32, 32))
        assert (backbone.name, backbone.input) == (name, kind)
        assert features.shape[:2] == (2, backbone.num_features)
        assert features.dim() == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    """From an input of 6 channels; test_one_forward_path_and_difference_input has 3."""
    torch.manual_seed(0)
    backbone = create_backbone(name, input="both")
    features = backbone.forward_features(torch.randn(2, 3, 9, 32, 32))
    (features * torch.randn(features.shape)).sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_one_forward_path_strict_states_and_difference_input(name: str) -> None:
    streams = name == "two_stream_slim"  # one of which sees frames whatever the input is
    rgb = create_backbone(name).eval()
    difference = create_backbone(name, input="rgb" if streams else "difference").eval()
    clips = torch.randn(1, 3, 9, 32, 32)
    with torch.no_grad():
        if streams:
            assert not torch.equal(difference(clips), rgb(clips))
            difference.load_state_dict(rgb.state_dict(), strict=True)
            assert torch.equal(difference(clips), rgb.forward_features(clips))
            return
        changes = rgb(clips.diff(dim=2))
        assert torch.equal(changes, rgb.forward_features(clips.diff(dim=2)))
        before = difference(clips)
        assert not torch.allclose(before, changes, rtol=1e-2, atol=1e-2)
        difference.load_state_dict(rgb.state_dict(), strict=True)
        torch.testing.assert_close(difference(clips), changes)
        torch.testing.assert_close(difference(clips + 3.0), changes, rtol=1e-3, atol=1e-3)


def test_scaled_differences_do_not_depend_on_contrast() -> None:
    torch.manual_seed(0)
    rgb = create_backbone("r3d_10_slim").eval()
    scaled = create_backbone("r3d_10_slim", input="scaled_difference").eval()
    scaled.load_state_dict(rgb.state_dict(), strict=True)
    clips = torch.randn(2, 3, 5, 32, 32) * torch.tensor([1.0, 0.3]).view(2, 1, 1, 1, 1)
    with torch.no_grad():
        by_hand = torch.stack([clip.diff(dim=1) / clip.std() for clip in clips])
        torch.testing.assert_close(scaled(clips), rgb(by_hand))
        torch.testing.assert_close(scaled(clips * 5 - 2), scaled(clips), rtol=1e-3, atol=1e-3)
        assert scaled(torch.ones(1, 3, 5, 32, 32)).isfinite().all()


def test_both_are_the_frames_and_their_differences() -> None:
    torch.manual_seed(0)
    both, plain = (create_backbone("r3d_10_slim", input=kind).eval() for kind in ("both", "difference"))
    state = both.state_dict()
    plain.load_state_dict(state | {"conv1.weight": state["conv1.weight"][:, 3:]})
    clips = torch.randn(2, 3, 5, 32, 32)
    with torch.no_grad():
        both.conv1.weight[:, :3] = 0
        torch.testing.assert_close(both(clips), plain(clips))
        both.conv1.weight.copy_(state["conv1.weight"].roll(3, dims=1))  # now the differences' channels are 0
        rgb = create_backbone("r3d_10_slim").eval()
        rgb.load_state_dict(both.state_dict() | {"conv1.weight": both.conv1.weight[:, :3]})
        torch.testing.assert_close(both(clips), rgb(clips[:, :, 1:]))


def test_moving_colours_show_what_moves_and_nothing_else() -> None:
    clips = torch.zeros(2, 3, 3, 4, 4)
    clips[:, :, :, 0, 0] = torch.tensor([0.7, -1.2, 0.3])[:, None]  # scenery
    clips[0, :, 1:, 2, 2] = torch.tensor([2.0, 1.0, -3.0])[:, None]  # appears and stays: the largest change, 2
    clips[0, 0, 2, 3, 3] = 3.0  # changes half as much
    seen = moving_colours(clips)
    assert seen.shape == (2, 6, 2, 4, 4)
    assert not seen[1].any()
    assert not seen[0, :, :, 0, 0].any()
    torch.testing.assert_close(seen[0, :3, 0, 2, 2], torch.tensor([2.0, 1.0, -3.0]))
    torch.testing.assert_close(seen[0, :3, 1, 3, 3], torch.tensor([1.5, 0.0, 0.0]))
    assert not seen[0, :, 1, 2, 2].any()
    torch.testing.assert_close(seen[0, 3:, 0, 2, 2], torch.tensor([2.0, 1.0, -3.0]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_encoder_gives_float32_unit_vectors(kind: str) -> None:
    backbone = create_backbone("r3d_10_slim")
    encoder = create_encoder(backbone, head=kind, dim=32)
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            embeddings = encoder(torch.randn(3, 3, 8, 32, 32))
        for vectors in embeddings:
            assert vectors.dtype == torch.float32
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert not torch.allclose(embeddings.appearance, embeddings.motion)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"'resnet'.*c3d, .*s3dg"):
        create_backbone("resnet")
    with pytest.raises(ConfigError, match=r"'gray'.*rgb, difference, scaled_difference, both, moving"):
        create_backbone("c3d", input="gray")
    with pytest.raises(ConfigError, match=r"'deep'.*linear, mlp, conv"):
        create_head("deep", num_features=8, dim=2)


def test_float64_clips_and_weights_need_no_care_of_the_caller() -> None:
    backbone = create_backbone("r3d_10_slim").eval()
    clips = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single = backbone.forward_features(clips)
        from_double_clips = backbone.forward_features(clips.double())
        double = backbone.double().forward_features(clips)
    assert (single.dtype, from_double_clips.dtype, double.dtype) == (torch.float32, torch.float32, torch.float64)
    assert torch.equal(single, from_double_clips)
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-4)
