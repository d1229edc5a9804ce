"""Folded networks compute what the network computes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from helpers.networks import DISTINCT, short_backbone
from torch import Tensor, nn

from rspnet.data.augment import normalise
from rspnet.features.embedder import Embedder
from rspnet.models import registry
from rspnet.models.backbone import Backbone
from rspnet.models.fold import fold_batch_norms
from rspnet.pretext.rspnet import RSPNet


@pytest.mark.slow
@pytest.mark.parametrize("name", DISTINCT)
def test_the_same_features_without_batch_norms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    backbone = short_backbone(name, monkeypatch).double()
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm3d):  # as after training: nothing is 0 or 1, some weights are negative
            nn.init.normal_(part.weight, 0.3, 0.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    backbone.eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    folded = fold_batch_norms(backbone)
    assert not any(isinstance(part, nn.BatchNorm3d) for part in folded.modules())
    clips = torch.randn(1, 3, 4, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected, found = backbone(clips), folded(clips)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    assert expected.abs().max() > 0
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


class SkipBeforeNorm(Backbone):
    """A network of one's own: what its first norm reads is read again, and its second norm reads no convolution."""

    def __init__(self, *, name: str, input: str = "rgb") -> None:  # noqa: A002
        super().__init__(name=name, num_features=8, input=input)
        self.first, self.norm, self.second = nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.BatchNorm3d(8)
        self.picture = nn.Conv2d(8, 8, 3, padding=1)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return [self._whole]

    def _whole(self, clips: Tensor) -> Tensor:
        maps = self.first(clips)
        maps = self.second((self.norm(maps) + maps).relu())
        pictures = self.picture(maps.transpose(1, 2).flatten(0, 1))
        return pictures.unflatten(0, (len(maps), -1)).transpose(1, 2)


@pytest.mark.parametrize("descriptor", ["mean", None])
def test_networks_of_ones_own_keep_their_norms(descriptor: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `Embedder` gives is what the network gives, whatever its norms read; 2-D convolutions may be in it."""
    monkeypatch.setitem(registry._BUILDERS, "skip_before_norm", SkipBeforeNorm)
    torch.manual_seed(0)
    model = RSPNet("skip_before_norm", queue_size=4, num_frames=4, size=16).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm3d):
            nn.init.uniform_(part.running_mean, -2, 2)
            nn.init.uniform_(part.running_var, 0.2, 3)
    clips = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = model.backbone.forward_features(normalise(clips)).mean(dim=(2, 3, 4)).numpy()
    found = Embedder(model, num_clips=2, descriptor=descriptor, precision="fp32").encode(clips)[0]
    np.testing.assert_allclose(found[:, :8], expected, rtol=1e-4, atol=1e-5)


def test_an_embedder_is_frozen_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    model = RSPNet("r3d_10_slim", queue_size=4, num_frames=4, size=16)
    assert model.training
    embedder = Embedder(model, num_clips=1, precision="fp32")
    assert model.training
    clips = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    before = embedder.encode(clips)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    for old, new in zip(before, embedder.encode(clips), strict=True):
        np.testing.assert_array_equal(old, new)
