"""A backbone alone, as classifiers and files of other programs hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from rspnet.core.errors import ConfigError
from rspnet.models.backbone import Backbone
from rspnet.pretext.arguments import BARE_METHOD
from rspnet.pretext.base import Output, PretextModel


class BareBackbone(PretextModel):
    """Features without a pretext task: all that a model needs to be probed, fine-tuned or to embed.

    Args:
        network: the backbone.
        num_frames: frames of the clips it was trained on; only a note for those who use the weights.
        size: height and width of those clips in pixels; likewise.
        stride: frames from one frame of those clips to the next; likewise.
    """

    def __init__(self, network: Backbone, *, num_frames: int = 16, size: int = 112, stride: int = 1) -> None:
        clip = {"num_frames": num_frames, "size": size, "stride": stride}
        super().__init__(method=BARE_METHOD, backbone=network.name, input=network.input, **clip)
        self.network = network

    @property
    def trained(self) -> nn.Module:
        """The backbone."""
        return self.network

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.network

    def group_outputs(self, *_: Any, **__: Any) -> Iterator[Output]:
        """Raises ConfigError: there is no task to train on."""
        raise ConfigError(f"a bare {self.network.name} has no pretext task to be trained on")

    def group_output(self, part: Any, encode: Callable[..., Any]) -> Output:
        """Likewise."""
        raise NotImplementedError
