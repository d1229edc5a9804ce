"""The variants that `small_scale.py` compares: settings, the losses and views that are not part of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rspnet.models.backbone import Backbone
from rspnet.models.heads import Embeddings
from rspnet.models.kinds import InputKind
from rspnet.pretext.rspnet import PretextOutput, RSPNet
from rspnet.pretext.speed import SpeedViews


@dataclass(frozen=True)
class Variant:
    """One way to pre-train; the defaults are the base that the others are compared with.

    Attributes:
        name: of the result files.
        input: what the backbone sees, see `InputKind`.
        loss: "hinge" (published); "soft": log(1 + exp(margin - gap)), which never saturates; "bounded":
            4 sigmoid(margin - gap), which does not punish gaps for scattering.
        spread: batch norm between the motion head and its normalisation, so that vectors cannot gather at one point.
        standardised: divide every clip by the standard deviation of its own values, which undoes contrast jitter.
        margin: of either loss; soft with margin 0 is InfoNCE over the two keys.
        motion_temperature: of the RSP loss alone.
        appearance_weight: of A-VID.
        noise_std: fresh noise on every frame.
        flicker: largest neighbour weight of a 3-tap blur drawn anew for every frame (0: none).
        slow: the slower of the two speeds.
        fast: the faster; None: twice the slower.
        third: a speed that the key window is also played at: RSP ranks the query's speed above both others (mean of two
            hinges).
        curriculum: in the first half of the steps the faster speed is four times the slower, which is easier to tell.
        distill: weight of (1 - cosine) / temperature to the vectors that a trained `base`, which sees differences,
            gives to the same query clips: a teacher for networks that see RGB.
        symmetric: also rank with the roles of the two windows exchanged.
        lr: peak learning rate of AdamW.
        warmup: steps of linear warm-up.
        steps: of training.
    """

    name: str
    input: InputKind = "difference"
    loss: str = "hinge"
    spread: bool = False
    standardised: bool = False
    margin: float = 2.0
    motion_temperature: float = 0.07
    appearance_weight: float = 1.0
    noise_std: float = 0.0
    flicker: float = 0.0
    slow: int = 1
    fast: int | None = None
    third: int | None = None
    curriculum: bool = False
    distill: float = 0.0
    symmetric: bool = False
    lr: float = 1e-3
    warmup: int = 0
    steps: int = 200


BASE = Variant("base")
_ALONE = replace(BASE, appearance_weight=0.0, steps=150)
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        # Does RSP alone start at all?
        replace(_ALONE, name="alone-rgb", input="rgb"),
        replace(_ALONE, name="alone-difference"),
        replace(_ALONE, name="alone-both", input="both"),
        replace(_ALONE, name="alone-rgb-soft", input="rgb", loss="soft", margin=0.0),
        replace(_ALONE, name="alone-rgb-warmup", input="rgb", lr=3e-4, warmup=50),
        replace(_ALONE, name="alone-rgb-spread", input="rgb", spread=True),
        replace(_ALONE, name="alone-difference-spread", spread=True),
        replace(_ALONE, name="alone-difference-bounded", loss="bounded", margin=0.0),
        # Joint training: what do action features gain?
        BASE,
        replace(BASE, name="untrained", steps=0),
        replace(BASE, name="untrained-standardised", standardised=True, steps=0),
        replace(BASE, name="untrained-rgb", input="rgb", steps=0),
        replace(BASE, name="rgb", input="rgb"),
        replace(BASE, name="both", input="both"),
        replace(BASE, name="soft", loss="soft", margin=0.0),
        replace(BASE, name="soft-margin", loss="soft"),
        replace(BASE, name="soft-warm", loss="soft", margin=0.0, motion_temperature=0.2),
        replace(BASE, name="spread", spread=True),
        replace(BASE, name="standardised", standardised=True),
        replace(BASE, name="rgb-spread", input="rgb", spread=True),
        replace(BASE, name="noise", noise_std=0.06),
        replace(BASE, name="flicker", flicker=0.33),
        replace(BASE, name="slow2", slow=2),
        replace(BASE, name="near", slow=2, fast=3),
        replace(BASE, name="three-speeds", third=4),
        replace(BASE, name="curriculum", curriculum=True),
        replace(BASE, name="rgb-distilled", input="rgb", distill=1.0),
        replace(BASE, name="symmetric", symmetric=True),
        replace(BASE, name="lr3", lr=3e-3, warmup=30),
        replace(BASE, name="warmup", warmup=30),
    )
}


class StudyNet(RSPNet):
    """RSPNet with the losses and inputs of a variant; keeps each step's embeddings for the diagnostics."""

    def __init__(self, variant: Variant, *, queue_size: int, num_frames: int, size: int) -> None:
        super().__init__(
            "r3d_10_slim",
            input=variant.input,
            queue_size=queue_size,
            momentum=0.99,
            margin=variant.margin,
            appearance_weight=variant.appearance_weight,
            num_frames=num_frames,
            size=size,
        )
        self.variant = variant
        if variant.spread:
            for encoder in (self.encoder_q, self.encoder_k):
                encoder.motion_head = nn.Sequential(encoder.motion_head, nn.BatchNorm1d(128, affine=False))
        self.embeddings: dict[str, Embeddings] = {}
        self.last_motion_loss: Tensor
        if variant.standardised:
            for encoder in (self.encoder_q, self.encoder_k):
                standardise(encoder.backbone)

    def _losses(self, query: Any, same: Any, other: Any, negatives: Mapping[str, Tensor]) -> PretextOutput:
        output = super()._losses(query, same, other, negatives)
        self.embeddings = {"query": query, "same": same, "other": other}
        motion = self._rank(query.motion, same.motion, other.motion)
        self.last_motion_loss = motion
        appearance = output.loss - self._config["motion_weight"] * self._hinge(query, same, other)
        return replace(output, loss=appearance + motion, motion_loss=motion.detach())

    def mirrored_loss(self, views: SpeedViews) -> Tensor:
        """RSP with the roles of the windows exchanged: the key window asks, the query window's clip is the positive.

        The negative is the other-speed clip of the asking window itself: same pixels, other speed.
        """
        with torch.no_grad():
            positive = self.encoder_k(views.query).motion
        asking = self.encoder_q(views.key_same).motion
        return self._rank(asking, positive, self.embeddings["other"].motion)

    def third_loss(self, clips: Tensor) -> Tensor:
        """RSP of this step's queries against the key windows at the third speed [B, 3, T, H, W], 0-dim."""
        with torch.no_grad():
            third = self.encoder_k(clips).motion
        return self._rank(self.embeddings["query"].motion, self.embeddings["same"].motion, third)

    def distance_to(self, teacher: RSPNet, views: SpeedViews) -> Tensor:
        """(1 - cosine) / temperature to the teacher's vectors of this step's query clips, both heads, 0-dim."""
        with torch.no_grad():
            wanted = teacher.encoder(views.query)
        cosines = [(own * other).sum(dim=1) for own, other in zip(self.embeddings["query"], wanted, strict=True)]
        return (1 - torch.cat(cosines)).mean() / self._config["temperature"]

    def _rank(self, query: Tensor, same: Tensor, other: Tensor) -> Tensor:
        gap = (query * (same - other)).sum(dim=1) / self.variant.motion_temperature
        shortfall = self.variant.margin - gap
        shapes = {"hinge": F.relu, "soft": F.softplus, "bounded": lambda x: 4 * x.sigmoid()}
        return shapes[self.variant.loss](shortfall).mean()

    def _hinge(self, query: Embeddings, same: Embeddings, other: Embeddings) -> Tensor:
        gap = (query.motion * (same.motion - other.motion)).sum(dim=1) / self._config["temperature"]
        return (self._config["margin"] - gap).clamp_min(0).mean()


def standardise(backbone: Backbone) -> None:
    """Have a backbone divide every clip by the standard deviation of its own values."""
    plain = backbone.forward_features

    def standardised(clips: Tensor) -> Tensor:
        return plain(clips / clips.std(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-3))

    backbone.forward_features = standardised  # type: ignore[method-assign]


def flickered(clips: Tensor, *, largest: float, generator: torch.Generator) -> Tensor:
    """Clips [B, 3, T, H, W] with every frame blurred by its own 3-tap kernel, neighbour weight 0..largest."""
    shape = (clips.shape[0], 1, clips.shape[2], 1, 1)
    weight = torch.rand(shape, generator=generator) * largest
    for axis in (3, 4):
        before = torch.cat([clips.narrow(axis, 0, 1), clips.narrow(axis, 0, clips.shape[axis] - 1)], dim=axis)
        after = torch.cat([clips.narrow(axis, 1, clips.shape[axis] - 1), clips.narrow(axis, -1, 1)], dim=axis)
        clips = clips * (1 - 2 * weight) + (before + after) * weight
    return clips.contiguous(memory_format=torch.channels_last_3d)


def study(names: list[str]) -> Iterator[Variant]:
    """The variants of these names."""
    for name in names:
        yield VARIANTS[name]
