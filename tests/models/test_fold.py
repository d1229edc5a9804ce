"""Folded networks compute what the network computes."""

import pytest
import torch
from torch import nn

from rspnet.models.fold import fold_batch_norms
from rspnet.models.registry import backbone_names, create_backbone


@pytest.mark.parametrize("name", backbone_names())
def test_the_same_features_without_batch_norms(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name).double()
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
    clips = torch.randn(2, 3, 6, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected, found = backbone(clips), folded(clips)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
    assert expected.abs().max() > 0
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key
