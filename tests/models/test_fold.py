"""Folded networks compute what the network computes."""

import pytest
import torch
from helpers.networks import DISTINCT, short_backbone
from torch import nn

from rspnet.models.fold import fold_batch_norms


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
