"""RSPNet: batch of speed views -> losses of the two pretext tasks (paper, sections 3.2 to 3.4)."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from rspnet.core.distributed import gather_batch
from rspnet.core.errors import ConfigError
from rspnet.losses.info_nce import info_nce
from rspnet.losses.ranking import margin_ranking, ranking_accuracy
from rspnet.models.exported import FeatureNet
from rspnet.models.heads import Embeddings, StreamEncoder, StreamVectors, create_encoder
from rspnet.models.kinds import HeadKind, InputKind
from rspnet.models.registry import create_backbone
from rspnet.pretext.base import PretextModel
from rspnet.pretext.keys import encode_keys
from rspnet.pretext.momentum import update_momentum_encoder
from rspnet.pretext.opening import open_heads
from rspnet.pretext.queue import KeyQueue
from rspnet.pretext.speed import SpeedViews

_Vectors = Embeddings | StreamVectors


@dataclass(frozen=True)
class PretextOutput:
    """What one step, or one virtual rank of it, yields; all 0-dim, all but `loss` detached.

    Attributes:
        loss: appearance_weight * appearance_loss + motion_weight * motion_loss (paper, equation 6).
        appearance_loss: A-VID, the sum of the same-speed and the other-speed term.
        motion_loss: RSP.
        appearance_top1_same: share of samples whose same-speed key is more alike than every key of the queue.
        appearance_top5_same: share whose same-speed key has fewer than 5 keys of the queue before it.
        appearance_top1_other: the same for the other-speed key.
        appearance_top5_other: the same for the other-speed key.
        motion_accuracy: share of samples more like their same-speed than their other-speed key; chance is 0.5.
    """

    loss: Tensor
    appearance_loss: Tensor
    motion_loss: Tensor
    appearance_top1_same: Tensor
    appearance_top5_same: Tensor
    appearance_top1_other: Tensor
    appearance_top5_other: Tensor
    motion_accuracy: Tensor


class SpeedPart(NamedTuple):
    """What one virtual rank trains on: query clips [B, 3, T, H, W], keys [B, D], each queue's keys [K, D] by name."""

    query: Tensor
    same: _Vectors
    other: _Vectors
    negatives: Mapping[str, Tensor]


class RSPNet(PretextModel):
    """Query encoder, momentum (key) encoder and key queue; see METHOD.md section 2 for the order of a step.

    Args:
        backbone: name of the backbone, see `rspnet.models.registry.backbone_names`.
        input: what the backbone sees of a clip: "rgb", "difference", "scaled_difference", "both" or "moving".
        head: "linear" (published default), "mlp" or "conv".
        feature_dim: length of the embeddings.
        queue_size: keys the queue holds.
        momentum: share of the key encoder that stays at each step.
        temperature: divides the cosines in both losses.
        margin: of the RSP loss, in units of cosine / temperature.
        appearance_weight: weight of the A-VID loss.
        motion_weight: weight of the RSP loss.
        virtual_ranks: groups a process cuts its batch into; each behaves as a process of its own would (its own batch
            statistics, shuffle-BN between them), which also lets the caller accumulate gradients group by group.
        num_frames: frames of the clips it is trained on; only a note for those who use the weights.
        size: height and width of those clips in pixels; likewise.
        stride: frames of the video from one frame of the slow clips to the next; likewise.

    Raises:
        ConfigError: an argument out of its range.
    """

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
        margin: float = 2.0,
        appearance_weight: float = 1.0,
        motion_weight: float = 1.0,
        virtual_ranks: int = 1,
        num_frames: int = 16,
        size: int = 112,
        stride: int = 1,
    ) -> None:
        super().__init__(
            backbone=backbone, input=input, head=head, feature_dim=feature_dim, queue_size=queue_size,
            momentum=momentum, temperature=temperature, margin=margin, appearance_weight=appearance_weight,
            motion_weight=motion_weight, virtual_ranks=virtual_ranks, num_frames=num_frames, size=size,
            stride=stride,
        )  # fmt: skip
        if appearance_weight == 0 and motion_weight == 0:
            raise ConfigError("appearance_weight and motion_weight are both 0: there would be nothing to learn")
        self.encoder_q = create_encoder(create_backbone(backbone, input=input), head=head, dim=feature_dim)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.queue = KeyQueue(size=queue_size, dim=feature_dim)
        if isinstance(self.encoder_q, StreamEncoder):
            self.instance_queue = KeyQueue(size=queue_size, dim=feature_dim)

    @property
    def trained(self) -> nn.Module:
        """The query encoder."""
        return self.encoder_q

    def start_from(self, other: RSPNet, *, name: str) -> None:
        """Take over another network's query encoder, for queries and keys; the queue stays as it is.

        Raises:
            ConfigError: it is another network; `name` says what to call it.
        """
        for option in ("backbone", "input", "head", "feature_dim"):
            own, theirs = self._config[option], other.config[option]
            if own != theirs:
                known = f"--model.{option} {own}" if option != "feature_dim" else f"head vectors of length {own}"
                raise ConfigError(
                    f"--weights {name}: has {option} {theirs}, not {known}; name {theirs} or other weights"
                )
        for encoder in (self.encoder_q, self.encoder_k):
            encoder.load_state_dict(other.encoder_q.state_dict())

    def half_precision_encoder(self) -> dict[str, Tensor]:
        """State of the query encoder with its parameters at half precision; statistics and counters as they are."""
        halved = {name: value.detach().half() for name, value in self.encoder_q.named_parameters()}
        return {**self.encoder_q.state_dict(), **halved}

    def exported(self) -> tuple[FeatureNet, dict[str, Any]]:
        """Backbone and both heads, and their description; see `PretextModel.exported`."""
        _, description = super().exported()
        heads = {"kind": "encoder", "head": self._config["head"], "feature_dim": self._config["feature_dim"]}
        return FeatureNet(self.backbone, self.encoder_q), description | heads

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], *, revision: str | None = None) -> RSPNet:
        """The model, in eval mode on the CPU, of a folder that `save_pretrained` wrote or of any file with both heads.

        Args:
            name: folder or file; where there is none, a repository of the Hugging Face hub with such a folder's files
                (needs huggingface_hub).
            revision: of the repository.

        Raises:
            CheckpointError: not there, damaged, or without heads (`rspnet.load_pretrained` reads backbones, too).
        """
        return open_heads(cls, name, revision=revision)

    def encoder(self, clips: Tensor) -> Embeddings | StreamVectors:
        """Unit vectors [B, feature_dim] of clips [B, 3, T, H, W] by the query encoder (two streams: three of them)."""
        embeddings: Embeddings | StreamVectors = self.encoder_q(clips)
        return embeddings

    def prepare_step(self, views: SpeedViews, *, step_seed: int) -> list[SpeedPart]:
        """Momentum update and all keys, before the first virtual rank."""
        groups = self.virtual_ranks
        if self.training:
            update_momentum_encoder(self.encoder_k, self.encoder_q, momentum=self._config["momentum"])
        # The order matters for the running statistics only; it is the public code's.
        kind = StreamVectors if isinstance(self.encoder_q, StreamEncoder) else Embeddings
        other, same = (
            kind(*encode_keys(self.encoder_k, clips, groups=groups, step_seed=step_seed, stream=stream))
            for clips, stream in ((views.key_other, "other speed"), (views.key_same, "same speed"))
        )
        self._new_keys = other
        # Copies: a backward pass may still need these negatives when new keys are queued.
        negatives = {name: queue.keys.clone() for name, queue in self._queues().items()}
        parts = (tensor.chunk(groups) for tensor in (views.query, *same, *other))
        return [
            SpeedPart(query, kind(*keys[: len(same)]), kind(*keys[len(same) :]), negatives)
            for query, *keys in zip(*parts, strict=True)
        ]

    def _queues(self) -> dict[str, KeyQueue]:
        """Name of the vectors that A-VID distinguishes -> their queue; two of them in a two-stream network."""
        queues = {"appearance": self.queue}
        return queues | {"instance": self.instance_queue} if isinstance(self.encoder_q, StreamEncoder) else queues

    def group_output(self, part: SpeedPart, encode: Callable[[Tensor], _Vectors]) -> PretextOutput:
        """Both losses and their metrics of one virtual rank."""
        return self._losses(encode(part.query), part.same, part.other, part.negatives)

    def motion_loss(self, query: Tensor, same_speed: Tensor, other_speed: Tensor) -> Tensor:
        """The RSP loss (paper, equation 3), 0-dim; a subclass may define another.

        Args:
            query: unit vectors [B, D] of the motion head.
            same_speed: of the key clips that play at the query's speed.
            other_speed: of the key clips that play at the other speed.
        """
        margin, temperature = self._config["margin"], self._config["temperature"]
        return margin_ranking(query, same_speed, other_speed, margin=margin, temperature=temperature)

    def finish_step(self) -> None:
        """See `PretextModel.finish_step`; in training the other-speed keys are queued."""
        super().finish_step()
        if self.training:
            for name, queue in self._queues().items():
                queue.enqueue(gather_batch(getattr(self._new_keys, name)))

    def _losses(
        self, query: _Vectors, same: _Vectors, other: _Vectors, negatives: Mapping[str, Tensor]
    ) -> PretextOutput:
        """Both losses and their metrics for one group (paper, equations 3, 5 and 6).

        In a two-stream network the A-VID loss is the sum over both streams, its metrics are the appearance stream's.
        """
        temperature = self._config["temperature"]
        terms = {
            (name, speed): info_nce(getattr(query, name), getattr(keys, name), negatives[name], temperature=temperature)
            for name in negatives
            for speed, keys in (("same", same), ("other", other))
        }
        same_term, other_term = terms["appearance", "same"], terms["appearance", "other"]
        appearance = same_term.loss + other_term.loss
        if "instance" in negatives:
            appearance = appearance + terms["instance", "same"].loss + terms["instance", "other"].loss
        motion = self.motion_loss(query.motion, same.motion, other.motion)
        return PretextOutput(
            loss=self._config["appearance_weight"] * appearance + self._config["motion_weight"] * motion,
            appearance_loss=appearance.detach(),
            motion_loss=motion.detach(),
            appearance_top1_same=(same_term.rank < 1).float().mean(),
            appearance_top5_same=(same_term.rank < 5).float().mean(),
            appearance_top1_other=(other_term.rank < 1).float().mean(),
            appearance_top5_other=(other_term.rank < 5).float().mean(),
            motion_accuracy=ranking_accuracy(query.motion, same.motion, other.motion),
        )
