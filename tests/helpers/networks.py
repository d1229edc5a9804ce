"""Short backbones, for tests of what is done to blocks, whatever their number."""

import pytest
from helpers.narrow import NARROW
from torch import nn

from rspnet.models import s3dg
from rspnet.models.backbone import Backbone
from rspnet.models.registry import backbone_names, create_backbone

_BUILT_ALIKE = {"r3d_18": "r3d_10_slim", "r3d_34": "r3d_10_slim"}
NAMES = [name for name in backbone_names() if name != NARROW]
"""The networks of the package."""
DISTINCT = [name for name in NAMES if name not in _BUILT_ALIKE]
"""Networks whose blocks differ: the others have those of `r3d_10_slim`, wider and more of them."""


def short_backbone(name: str, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A backbone with one block a stage, and two in the first: every kind of block, stride and shortcut is there."""
    few = {stage: widths for stage, widths in s3dg._INCEPTIONS.items() if stage in ("3b", "4b", "5b")}
    monkeypatch.setattr(s3dg, "_INCEPTIONS", few)  # pools stand before 4b and 5b
    backbone = create_backbone(name)
    for part in backbone.children():
        if isinstance(part, s3dg.Inception):
            backbone.num_features = part.channels_out
    for stage, blocks in [*backbone.named_children()]:
        if stage.startswith("layer") and isinstance(blocks, nn.Sequential):
            setattr(backbone, stage, blocks[: 2 if stage == "layer1" else 1])
    return backbone
