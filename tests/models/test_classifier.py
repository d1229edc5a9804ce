from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import relu

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone
from rspnet.models.classifier import Classifier, freezable_stages
from rspnet.models.registry import create_backbone


def make(**options) -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_backbone("r3d_10_slim"), **{"num_classes": 5, "dropout": 0.0, **options})


def test_logits_are_the_linear_map_of_the_mean_feature():
    model, clips = make().eval(), torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        maps = model.backbone.forward_features(clips)
        expected = maps.mean(dim=(2, 3, 4)) @ model.linear.weight.T + model.linear.bias
        torch.testing.assert_close(model(clips), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(clips).dtype == torch.float32


def test_dropout_only_in_training():
    model, clips = make(dropout=0.5), torch.randn(2, 3, 4, 32, 32)
    model.backbone.eval()
    with torch.no_grad():
        assert not torch.equal(model(clips), model(clips))
        model.eval()
        assert torch.equal(model(clips), model(clips))


@pytest.mark.parametrize("name", ["c3d", "r3d_18", "r2plus1d_vcop", "r2plus1d_18", "s3dg", "two_stream_slim"])
def test_stages_hold_every_parameter_once(name):
    with torch.device("meta"):
        backbone = create_backbone(name)
    found = [id(p) for stage in freezable_stages(backbone) for module in stage for p in module.parameters()]
    assert sorted(found) == sorted(id(p) for p in backbone.parameters())
    assert len(freezable_stages(backbone)) == {"c3d": 8, "s3dg": 12}.get(name, 5)


def test_frozen_stages_do_not_change_at_all():
    model = make(frozen_stages=2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    for _ in range(2):
        model(torch.randn(4, 3, 4, 32, 32)).square().sum().backward()
        optimizer.step()
    changed = {name.split(".")[1] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"layer2", "layer3", "layer4", "weight", "bias"}
    with pytest.raises(ConfigError, match="r3d_10_slim has 5 stages that can be frozen"):
        make(frozen_stages=6)


def test_a_stage_of_two_streams_is_that_of_both():
    backbone = create_backbone("two_stream_slim")
    model = Classifier(backbone, num_classes=5, dropout=0.0, frozen_stages=1)
    frozen = {name for name, value in backbone.named_parameters() if not value.requires_grad}
    assert {name.split(".")[0] for name in frozen} == {"motion", "appearance"}
    assert {name.split(".")[1] for name in frozen} == {"conv1", "bn1"}
    assert len(model._frozen) == 4


class Outside(Backbone):
    """Of a user: what is registered first is used last."""

    def __init__(self, *, as_function: bool = False) -> None:
        super().__init__(name="outside", num_features=4, input="rgb")
        self.last, self.norm, self.first = nn.Conv3d(4, 4, 1), nn.BatchNorm3d(4), nn.Conv3d(3, 4, 1)
        self.as_function = as_function

    def stages(self) -> Sequence[Callable[[torch.Tensor], torch.Tensor]]:
        return [
            self.first,
            self.norm,
            torch.relu,
            torch.Tensor.relu,
            partial(relu, inplace=False),
            self.last.forward if self.as_function else self.last,
        ]


def test_a_backbone_from_outside_is_frozen_in_the_order_of_its_stages():
    backbone = Outside()
    Classifier(backbone, num_classes=5, dropout=0.0, frozen_stages=1)
    assert not backbone.first.weight.requires_grad
    assert backbone.last.weight.requires_grad
    assert freezable_stages(backbone) == [[backbone.first, backbone.norm], [backbone.last]]
    with pytest.raises(ConfigError, match=r"--model\.freeze 2: outside has 1 stage that can be frozen"):
        Classifier(Outside(as_function=True), num_classes=5, dropout=0.0, frozen_stages=2)
