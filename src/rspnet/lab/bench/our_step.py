"""The pre-training step of RSPNet as `rspnet pretrain` takes it, on random clips, for benches."""

from __future__ import annotations

import torch
from torch import Tensor

from rspnet.engine.optim import make_optimizer
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

LR, DECAY = 1e-3, 1e-4


def random_views(batch_size: int, *, num_frames: int, size: int, device: torch.device | None = None) -> SpeedViews:
    """Normal clips at a device (the CPU), the same ones for the same shape and device."""
    generator = torch.Generator(device or "cpu").manual_seed(0)
    shape = (batch_size, 3, num_frames, size, size)
    return SpeedViews(*(torch.randn(shape, generator=generator, device=device) for _ in SpeedViews._fields))


class OurStep:
    """EMA, two key passes, query, backward, fused SGD and queue; a call takes one step and returns its loss, 0-dim.

    Clips and weights are in channels_last_3d.

    Args:
        model: changed in place: moved to `device` and laid out.
        views: clips of the step, wherever they are.
        device: where to compute.
        halved: in bfloat16 autocast.
        compiled: by torch.compile, as `--engine.compile` does.
    """

    def __init__(
        self, model: RSPNet, views: SpeedViews, device: torch.device, *, halved: bool, compiled: bool = False
    ) -> None:
        layout = torch.channels_last_3d
        self.views = SpeedViews(*(view.to(device, memory_format=layout) for view in views))
        self.model = channels_last(model.to(device))
        if compiled:
            for part in model.children():
                part.compile()
        self._optimizer = make_optimizer(model.encoder_q.parameters(), name="sgd", lr=LR, weight_decay=DECAY)
        self._device, self._halved = device, halved

    def __call__(self) -> Tensor:
        """Take the step."""
        self._optimizer.zero_grad()
        outputs = self.model.group_outputs(self.views, step_seed=0)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._halved):
            output = next(outputs)
        torch.autograd.backward(output.loss)
        self.model.finish_step()
        self._optimizer.step()
        return output.loss.detach()
