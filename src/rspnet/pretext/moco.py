"""MoCo on clips: instance discrimination with a momentum encoder and a key queue (He et al. 2020), at one speed.

What A-VID is without its second speed: two windows of a video, both at speed 1, and one InfoNCE term.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rspnet.core.distributed import gather_batch
from rspnet.losses.info_nce import info_nce
from rspnet.models.backbone import InputKind
from rspnet.models.heads import HeadKind, ProjectionEncoder, create_head
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel, arguments_of, check_groups, mean_output
from rspnet.pretext.keys import encode_keys
from rspnet.pretext.momentum import update_momentum_encoder
from rspnet.pretext.queue import KeyQueue
from rspnet.pretext.speed import ClipViews
from rspnet.pretext.statistics import GroupStatistics, average_statistics_over_ranks


@dataclass(frozen=True)
class MoCoOutput:
    """What one step, or one virtual rank of it, yields; all 0-dim, all but `loss` detached.

    Attributes:
        loss: InfoNCE.
        top1: share of samples whose key is more alike than every key of the queue.
        top5: share whose key has fewer than 5 keys of the queue before it.
    """

    loss: Tensor
    top1: Tensor
    top5: Tensor


class MoCo(PretextModel):
    """Query encoder, momentum (key) encoder and key queue; the arguments are those of `RSPNet`."""

    def __init__(
        self,
        backbone: str,
        *,
        input: InputKind = "rgb",  # noqa: A002
        head: HeadKind = "linear",
        feature_dim: int = 128,
        queue_size: int = 16384,
        momentum: float = 0.999,
        temperature: float = 0.07,
        virtual_ranks: int = 1,
        num_frames: int = 16,
        size: int = 112,
        stride: int = 1,
    ) -> None:
        super().__init__({"method": "moco", **arguments_of(locals())})
        network = create_backbone(backbone, input=input)
        self.encoder_q = ProjectionEncoder(
            network, create_head(head, num_features=network.num_features, dim=feature_dim)
        )
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.queue = KeyQueue(size=queue_size, dim=feature_dim)

    @property
    def trained(self) -> nn.Module:
        """The query encoder."""
        return self.encoder_q

    def group_outputs(
        self, views: ClipViews, *, step_seed: int, encode: Callable[..., Any] | None = None
    ) -> Iterator[MoCoOutput]:
        """One training step; see `PretextModel.group_outputs`. The first clips are queries, the second keys."""
        query_clips, key_clips = views.clips
        groups = self._config["virtual_ranks"]
        check_groups(len(query_clips), groups)
        if self.training:
            update_momentum_encoder(self.encoder_k, self.encoder_q, momentum=self._config["momentum"])
        (keys,) = encode_keys(self.encoder_k, key_clips, groups=groups, step_seed=step_seed, stream="same speed")
        # A copy: a backward pass may still need these negatives when new keys are queued.
        negatives = self.queue.keys.clone()
        statistics = GroupStatistics(self.encoder_q, groups=groups)
        for part, key in zip(query_clips.chunk(groups), keys.chunk(groups), strict=True):
            with statistics.group():
                query = (encode or self.encoder_q)(part)
            term = info_nce(query, key, negatives, temperature=self._config["temperature"])
            top1, top5 = ((term.rank < k).float().mean() for k in (1, 5))
            yield MoCoOutput(term.loss, top1, top5)
        statistics.finish()
        if self.training:
            average_statistics_over_ranks(self.encoder_q, self.encoder_k)
            self.queue.enqueue(gather_batch(keys))

    def forward(self, views: ClipViews, *, step_seed: int = 0) -> MoCoOutput:
        """The mean output over the virtual ranks, with the graph of all of them."""
        return mean_output(list(self.group_outputs(views, step_seed=step_seed)))
