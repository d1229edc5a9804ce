"""C3D with batch norm (paper, section 4.1; Tran et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from rspnet.models.backbone import Backbone, init_weights
from rspnet.models.conv import Conv3d
from rspnet.models.kinds import InputKind
from rspnet.models.norm import BatchNorm3d, relu
from rspnet.models.pool import halve_time_pool, max_pool

# (layer, input channels (None: those of the input), output channels, what the max pool after it halves)
_LAYERS: tuple[tuple[str, int | None, int, str | None], ...] = (
    ("1", None, 64, "space"),
    ("2", 64, 128, "time and space"),
    ("3a", 128, 256, None),
    ("3b", 256, 256, "time and space"),
    ("4a", 256, 512, None),
    ("4b", 512, 512, "time and space"),
    ("5a", 512, 512, None),
    ("5b", 512, 512, None),
)


class C3D(Backbone):
    """Eight 3x3x3 convolutions with bias, each followed by batch norm and ReLU; no pool after the fifth stage."""

    def __init__(self, *, name: str, input: InputKind) -> None:  # noqa: A002
        super().__init__(name=name, num_features=512, input=input)
        for layer, channels_in, channels_out, _ in _LAYERS:
            self.add_module(f"conv{layer}", Conv3d(channels_in or self.num_channels, channels_out, 3, padding=1))
            self.add_module(f"bn{layer}", BatchNorm3d(channels_out))
        init_weights(self)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """See `Backbone.stages`."""
        return [partial(self._stage, layer, pool) for layer, _, _, pool in _LAYERS]

    def _stage(self, layer: str, pool: str | None, x: Tensor) -> Tensor:
        x = self.get_submodule(f"conv{layer}")(x)
        x = relu(self.get_submodule(f"bn{layer}")(x))
        if pool == "space":
            return max_pool(x, (1, 2, 2), stride=(1, 2, 2))
        return x if pool is None else halve_time_pool(x)
