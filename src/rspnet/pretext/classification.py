"""Pretext tasks that are classification: labels that the data give for free, learned by cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone
from rspnet.models.classifier import Classifier
from rspnet.models.heads import pool
from rspnet.models.kinds import InputKind
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.speed import ClipViews


@dataclass(frozen=True)
class ClassificationOutput:
    """What one step, or one virtual rank of it, yields; both 0-dim, `accuracy` detached.

    Attributes:
        loss: cross-entropy.
        accuracy: share of samples whose class has the highest score; ties count against.
    """

    loss: Tensor
    accuracy: Tensor


class OrderClassifier(nn.Module):
    """Scores of the orders of n clips from their features two by two: linear, ReLU, all pairs together, linear."""

    def __init__(self, backbone: Backbone, *, num_clips: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pairs = list(combinations(range(num_clips), 2))
        self.hidden = nn.Linear(2 * backbone.num_features, backbone.num_features)
        self.linear = nn.Linear(len(self.pairs) * backbone.num_features, num_classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips [n * B, 3, T, H, W], all first ones before all second ones, to scores float32 [B, num_classes]."""
        features = pool(self.backbone.forward_features(clips))
        places = features.chunk(1 + self.pairs[-1][-1])
        with torch.autocast(clips.device.type, enabled=False):
            pairs = [F.relu(self.hidden(torch.cat([places[a], places[b]], dim=1))) for a, b in self.pairs]
            return cast(Tensor, self.linear(torch.cat(pairs, dim=1)))


class ClipClassification(PretextModel):
    """A backbone with a classifier, trained by cross-entropy on labels that the data give for free.

    Args:
        method: name of the method that makes its clips and labels.
        backbone: name of the backbone.
        num_classes: different labels.
        num_clips: clips of one sample: 1, or those to put in order.
        input: what the backbone sees of a clip: "rgb", "difference", "scaled_difference", "both" or "moving".
        virtual_ranks: groups a process cuts its batch into, as in `RSPNet`.
        num_frames: frames of the clips it is trained on; only a note for those who use the weights.
        size: height and width of those clips in pixels; likewise.
        stride: frames of the video from one frame of the slow clips to the next; likewise.

    Raises:
        ConfigError: an argument out of its range.
    """

    def __init__(
        self,
        method: str,
        backbone: str,
        *,
        num_classes: int,
        num_clips: int = 1,
        input: InputKind = "rgb",  # noqa: A002
        virtual_ranks: int = 1,
        num_frames: int = 16,
        size: int = 112,
        stride: int = 1,
    ) -> None:
        super().__init__(
            method=method, backbone=backbone, num_classes=num_classes, num_clips=num_clips, input=input,
            virtual_ranks=virtual_ranks, num_frames=num_frames, size=size, stride=stride,
        )  # fmt: skip
        if num_classes < 2 or num_clips < 1:
            raise ConfigError(
                f"{method}: {counted(num_classes, 'class')} of {counted(num_clips, 'clip')} leaves nothing to "
                "tell apart"
            )
        network = create_backbone(backbone, input=input)
        self.network: Classifier | OrderClassifier = (
            Classifier(network, num_classes=num_classes, dropout=0.0)
            if num_clips == 1
            else OrderClassifier(network, num_clips=num_clips, num_classes=num_classes)
        )

    @property
    def trained(self) -> nn.Module:
        """Backbone and classifier."""
        return self.network

    def group_output(self, part: ClipViews, encode: Callable[..., Any]) -> ClassificationOutput:
        """Cross-entropy of one virtual rank's clips."""
        scores = encode(torch.cat(part.clips) if len(part.clips) > 1 else part.clips[0])
        with torch.autocast(scores.device.type, enabled=False):
            loss = F.cross_entropy(scores, part.label)
        return ClassificationOutput(loss, _accuracy(scores.detach(), part.label))


def _accuracy(scores: Tensor, label: Tensor) -> Tensor:
    """Share of rows of scores [B, C] whose own class is above all others, 0-dim."""
    own = scores.gather(1, label[:, None])
    return ((scores >= own).sum(dim=1) == 1).float().mean()
