"""A backbone and a pretext method as others would write them: which way does a clip play?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import rspnet
from rspnet.models.classifier import Classifier


class OneLayer(rspnet.Backbone):
    def __init__(self, *, name: str, input: str) -> None:  # noqa: A002
        super().__init__(name=name, num_features=8, input=input)
        self.conv = nn.Conv3d(self.num_channels, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm3d(8)

    def stages(self):
        return [self.conv, self.norm, torch.relu]


@dataclass(frozen=True)
class ArrowOutput:
    loss: torch.Tensor
    hits: torch.Tensor


class ArrowModel(rspnet.PretextModel):
    def __init__(self, backbone: str, *, input: str = "rgb", smoothing: float = 0.0, **clip: int) -> None:  # noqa: A002
        super().__init__(method="arrow", backbone=backbone, input=input, smoothing=smoothing, **clip)
        self.network = Classifier(rspnet.create_backbone(backbone, input=input), num_classes=2, dropout=0.0)

    trained = property(lambda self: self.network)

    def group_output(self, part, encode) -> ArrowOutput:
        way = torch.arange(len(part.label), device=part.label.device) % 2
        clips = torch.where(way[:, None, None, None, None] == 1, part.clips[0].flip(2), part.clips[0])
        scores = encode(clips)
        hits = (scores.argmax(dim=1) == way).float().mean()
        return ArrowOutput(cross_entropy(scores, way, label_smoothing=self.config["smoothing"]), hits)


@rspnet.register_method
@dataclass(frozen=True)
class Arrow(rspnet.PretextMethod):
    method, summary = "arrow", "predicts which way a clip plays"
    shown, build = {"loss": "loss", "hits": "right"}, ArrowModel
    smoothing: float = 0.0
    """Share of the target given to both ways alike."""

    def clips(self, speeds):
        return rspnet.ClipTask(((rspnet.ClipPlan((1,)),),))


rspnet.register_backbone("one_layer", OneLayer)
