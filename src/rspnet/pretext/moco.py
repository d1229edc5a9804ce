"""MoCo on clips: instance discrimination with a momentum encoder and a key queue (He et al. 2020), at one speed.

What A-VID is without its second speed: two windows of a video, both at speed 1, and one InfoNCE term.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rspnet.core.distributed import gather_batch
from rspnet.losses.info_nce import info_nce
from rspnet.models.heads import ProjectionEncoder, create_head
from rspnet.models.kinds import HeadKind, InputKind
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.keys import encode_keys
from rspnet.pretext.momentum import update_momentum_encoder
from rspnet.pretext.queue import KeyQueue
from rspnet.pretext.speed import ClipViews


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
        super().__init__(
            method="moco", backbone=backbone, input=input, head=head, feature_dim=feature_dim,
            queue_size=queue_size, momentum=momentum, temperature=temperature, virtual_ranks=virtual_ranks,
            num_frames=num_frames, size=size, stride=stride,
        )  # fmt: skip
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

    def prepare_step(self, views: ClipViews, *, step_seed: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Momentum update and keys; the first clips are queries, the second keys. Query clips, keys and negatives."""
        query_clips, key_clips = views.clips
        groups = self.virtual_ranks
        if self.training:
            update_momentum_encoder(self.encoder_k, self.encoder_q, momentum=self._config["momentum"])
        (keys,) = encode_keys(self.encoder_k, key_clips, groups=groups, step_seed=step_seed, stream="same speed")
        self._new_keys = keys
        # A copy: a backward pass may still need these negatives when new keys are queued.
        negatives = self.queue.keys.clone()
        return [(*part, negatives) for part in zip(query_clips.chunk(groups), keys.chunk(groups), strict=True)]

    def group_output(self, part: tuple[Tensor, Tensor, Tensor], encode: Callable[..., Any]) -> MoCoOutput:
        """The InfoNCE loss of one virtual rank."""
        query_clips, key, negatives = part
        term = info_nce(encode(query_clips), key, negatives, temperature=self._config["temperature"])
        top1, top5 = ((term.rank < k).float().mean() for k in (1, 5))
        return MoCoOutput(term.loss, top1, top5)

    def finish_step(self) -> None:
        """See `PretextModel.finish_step`; in training the keys are queued."""
        super().finish_step()
        if self.training:
            self.queue.enqueue(gather_batch(self._new_keys))
