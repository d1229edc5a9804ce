"""What an export says of a network and of the clips that it takes."""

from __future__ import annotations

from typing import Any

from rspnet.data.presets import MEAN, STD
from rspnet.models.backbone import Backbone
from rspnet.models.registry import backbone_plugins
from rspnet.pretext.outside import refuse_outside

_LAYOUT = "clips [batch, 3, frames, height, width], RGB 0..1"


def describe_network(backbone: Backbone, *, num_frames: int, size: int) -> dict[str, Any]:
    """What every description of an export says: the network and the clips it takes.

    Raises:
        ConfigError: the network is another program's.
    """
    refuse_outside(backbone, "export")
    network = {"backbone": backbone.name, "input": backbone.input, "clip_shape": [3, num_frames, size, size]}
    needed = backbone_plugins(backbone.name)
    network |= {"plugins": needed} if needed else {}
    return network | {"mean": MEAN, "std": STD, "layout": _LAYOUT}
