"""Files to updated weights: the published way against ours, same model and samples; see docs/benchmarks.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import derive_seed, numpy_rng
from rspnet.core.workers import Death, ordered_map
from rspnet.data.annotations import read_folder
from rspnet.data.augment import FACTORS, ClipDraw
from rspnet.data.batches import make_views
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairRequest, PairSampler
from rspnet.engine.optim import make_optimizer
from rspnet.engine.runtime import has_native_bf16
from rspnet.lab.bench.plain import plain_copy, plain_step
from rspnet.lab.bench.plain_data import decode_window, plain_clip
from rspnet.models.layout import channels_last
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews
from rspnet.video.reader import open_video

SEED = 0
_HANG_SECONDS = 600.0


@dataclass(frozen=True)
class _Setting:
    """What both routes train with."""

    dataset: ClipPairDataset
    sampler: PairSampler
    workers: int


def bench_train(
    *, backbone: str, root: Path, batch_size: int, steps: int, threads: int = 1, workers: int = 0, num_frames: int = 16,
    size: int = 112,
) -> dict[str, Any]:  # fmt: skip
    """Train `steps` steps on a folder of videos both ways and compare clips per second, after one step to warm up.

    Plain: windows decoded whole at full size, float crop, resize and jitter clip by clip, float32, contiguous. Ours:
    what `rspnet pretrain` does. Weights, videos, windows, crops and speeds are the same.

    Args:
        backbone: name of the network.
        root: folder of videos.
        batch_size: clips a step.
        steps: steps that are timed.
        threads: of torch in training.
        workers: loader processes. With 0 of them and one thread the CPU time of loading and training counts, which
            other work on the machine disturbs least; else the clock.
        num_frames: frames of a clip.
        size: height and width of a clip in pixels.

    Returns:
        Rows of both routes with clips/s and the share of time spent waiting for data (with 0 workers: loading).

    Raises:
        RSPNetError: fewer videos than clips in a batch.
    """
    records = read_folder(root)
    if len(records) < batch_size:
        raise RSPNetError(f"{str(root)!r} has {counted(len(records), 'video')}: fewer than --batch_size {batch_size}")
    dataset = ClipPairDataset(
        records, num_frames=num_frames, speeds=(2,), size=size, preset=augment_preset("published"), seed=SEED
    )
    sampler = PairSampler(len(records), batch_size=batch_size, seed=SEED, speeds=(2,), total_steps=steps + 1)
    torch.manual_seed(derive_seed("bench train"))
    model = RSPNet(backbone, num_frames=num_frames, size=size)
    setting = _Setting(dataset, sampler, workers)
    clock = time.process_time if (threads, workers) == (1, 0) else time.perf_counter
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        plain = _timed("plain", *_plain_route(plain_copy(model), setting), batch_size, clock)
        ours = _timed("ours", *_our_route(model, setting), batch_size, clock)
    finally:
        torch.set_num_threads(threads_before)
    return {"rows": [plain, ours], "speedup": ours["clips_per_s"] / plain["clips_per_s"], "steps": steps}


def _timed(
    name: str, batches: Iterator[Any], step: Callable[[Any], Tensor], batch_size: int, clock: Callable[[], float]
) -> dict[str, Any]:
    waited, done = 0.0, 0
    loss = step(next(batches))
    started = before = clock()
    for batch in batches:
        waited += clock() - before
        loss = step(batch)
        done += 1
        before = clock()
    seconds = before - started
    return {
        "route": name,
        "clips_per_s": done * batch_size / seconds,
        "data_share": waited / seconds,
        "last_loss": float(loss),
    }


def _our_route(model: RSPNet, setting: _Setting) -> tuple[Iterator[Any], Callable[[Any], Tensor]]:
    channels_last(model)
    optimizer = make_optimizer(model.encoder_q.parameters(), name="sgd", lr=1e-2, weight_decay=1e-4)
    bf16 = has_native_bf16(torch.device("cpu"))

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad()
        outputs = model.group_outputs(SpeedViews(*make_views(batch)), step_seed=0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            output = next(outputs)
        torch.autograd.backward(output.loss)
        model.finish_step()
        optimizer.step()
        return output.loss.detach()

    return iter(make_loader(setting.dataset, setting.sampler, num_workers=setting.workers)), step


def _plain_route(model: RSPNet, setting: _Setting) -> tuple[Iterator[Any], Callable[[Any], Tensor]]:
    optimizer = torch.optim.SGD(model.encoder_q.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-4, foreach=False)
    batches: Iterator[SpeedViews] = ordered_map(
        PlainReader(setting.dataset),
        setting.sampler,
        workers=setting.workers,
        after_death=_give_up,
        hang_seconds=_HANG_SECONDS,
    )
    return batches, lambda views: plain_step(model, views, optimizer)


def _give_up(_: Any, death: Death) -> Any:
    raise RSPNetError(f"the plain route ended: {death.reason}")


class PlainReader:
    """Makes the float clips of a batch in a worker, from the same draws as `ClipPairDataset`."""

    def __init__(self, dataset: ClipPairDataset) -> None:
        self.dataset = dataset

    def __call__(self, requests: Sequence[PairRequest]) -> SpeedViews:
        """Views of some requests."""
        samples = [self._sample(request) for request in requests]
        return SpeedViews(*(torch.stack(clips) for clips in zip(*samples, strict=True)))

    def _sample(self, request: PairRequest) -> tuple[Tensor, Tensor, Tensor]:
        path, frames = self.dataset.records[request.index].path, self.dataset.num_frames
        keys = (self.dataset.seed, "pair", request.epoch, request.index, request.repeat, 0)
        with open_video(path) as video:
            ticks = np.arange(self.dataset.window)
            try:
                drawn = [
                    self.dataset.draw_window_and_looks(video, ticks, numpy_rng(*keys, view))
                    for view in ("query", "key")
                ]
            except RSPNetError as error:
                raise RSPNetError(f"{str(path)!r}: {error}") from error
        query, key = (self._clip(path, draw, int(window[0])) for draw, _, window in drawn)
        return (
            query[:, : frames * request.speed : request.speed],
            key[:, : frames * request.speed : request.speed],
            key[:, : frames * request.other_speed : request.other_speed],
        )

    def _clip(self, path: Path, draw: ClipDraw, first_frame: int) -> Tensor:
        brightness, contrast, saturation, hue = draw.jitter[FACTORS].tolist()
        frames = decode_window(path, first_frame, self.dataset.window)
        factors = (brightness, contrast, saturation, hue)
        return plain_clip(frames, box=draw.box, size=self.dataset.size, flip=draw.flip, factors=factors)
