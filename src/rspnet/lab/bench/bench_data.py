"""CPU time of one pre-training sample: the published data path against ours (docs/benchmarks.md)."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.data.augment import IDENTITY, ORDER, augment, augment_taking
from rspnet.lab.bench.plain_data import Box, decode_window, plain_clip
from rspnet.video.clips import repeated_share
from rspnet.video.reader import View, open_video
from rspnet.video.watch import Watch

FRAMES, SPEED, SIZE = 16, 2, 112
WINDOW = FRAMES * SPEED
SCENE_FRAMES = 180
FACTORS = (1.2, 0.8, 1.3, 0.1)


@dataclass(frozen=True)
class SceneFile:
    """A kind of video file that the benchmark encodes for itself."""

    name: str
    codec: str
    width: int
    height: int
    options: dict[str, str]


SCENE_FILES = (
    SceneFile("xvid-320x240.avi", "mpeg4", 320, 240, {"bf": "2", "g": "48", "qscale": "4"}),
    SceneFile("h264-340x256.mp4", "libx264", 340, 256, {"preset": "medium", "crf": "20"}),
    SceneFile("h264-1280x720.mp4", "libx264", 1280, 720, {"preset": "veryfast", "bf": "3", "crf": "23"}),
    SceneFile("vp9-427x240.webm", "libvpx-vp9", 427, 240, {"deadline": "realtime", "cpu-used": "7", "g": "128"}),
)


def bench_data(*, paths: list[Path] | None, repeats: int = 5) -> dict[str, Any]:
    """Measure both routes on files, one thread, alternating, medians of CPU time.

    Args:
        paths: videos of at least 33 frames; None encodes four kinds of file from a moving textured scene.
        repeats: samples a route and file.

    Returns:
        {"rows": [{"name", "plain_ms", "ours_ms", "ratio"}, ...]}, with the parts of ours as "ours_read_ms".

    Raises:
        RSPNetError: `repeats` is below 1, or a video cannot be read.
    """
    if repeats < 1:
        raise RSPNetError(f"repeats={repeats} must be at least 1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if paths is not None:
            return {"rows": [_row(path, repeats) for path in paths]}
        with tempfile.TemporaryDirectory(prefix="rspnet-bench-") as folder:
            return {"rows": [_row(encode_scene(kind, Path(folder)), repeats) for kind in SCENE_FILES]}
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Draw:
    """What both routes have to do for one sample."""

    first_frames: tuple[int, int]
    boxes: tuple[Box, Box]
    flips: tuple[bool, bool]
    speed: int


def _row(path: Path, repeats: int) -> dict[str, Any]:
    with open_video(path) as video:
        length, height, width = len(video), video.height, video.width
    if length <= WINDOW:
        raise RSPNetError(f"{str(path)!r} has {counted(length, 'frame')}; the benchmark needs more than {WINDOW}")
    plain, ours, read = [], [], []
    for repeat in range(-1, repeats):
        draw = _draw(path.name, repeat, length, height, width)
        plain_ms = _cpu_ms(partial(plain_sample, path, draw))[0]
        read_ms, clips = _cpu_ms(partial(read_sample, path, draw))
        augment_ms = _cpu_ms(partial(augment_sample, clips))[0]
        if repeat >= 0:  # the first round warms up
            plain.append(plain_ms)
            read.append(read_ms)
            ours.append(read_ms + augment_ms)
    plain_median, ours_median = statistics.median(plain), statistics.median(ours)
    return {
        "name": path.name,
        "plain_ms": round(plain_median, 2),
        "ours_ms": round(ours_median, 2),
        "ours_read_ms": round(statistics.median(read), 2),
        "ratio": round(plain_median / ours_median, 2),
    }


def _cpu_ms(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return 1e3 * (time.process_time() - start), result


def _draw(name: str, repeat: int, length: int, height: int, width: int) -> _Draw:
    rng = numpy_rng("bench data", name, repeat)
    boxes = []
    for _ in range(2):
        side = np.sqrt(rng.uniform(0.4, 1.0))
        box_height, box_width = int(height * side), int(width * side)
        top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
        boxes.append((int(top), int(left), box_height, box_width))
    first, second = (int(value) for value in rng.integers(0, length - WINDOW + 1, 2))
    return _Draw((first, second), (boxes[0], boxes[1]), (True, False), speed=1 + repeat % 2)


def plain_sample(path: Path, draw: _Draw) -> list[Tensor]:
    """Both windows decoded whole and transformed whole, two windows of 32 frames; the speeds are picked at the end."""
    query, key = (
        plain_clip(decode_window(path, first, WINDOW), box=box, size=SIZE, flip=flip, factors=FACTORS)
        for first, box, flip in zip(draw.first_frames, draw.boxes, draw.flips, strict=True)
    )
    return [query[:, : FRAMES * draw.speed : draw.speed], key[:, :FRAMES], key[:, ::SPEED]]


def _key_frames() -> list[int]:
    return sorted(set(range(FRAMES)) | set(range(0, WINDOW, SPEED)))


def read_sample(path: Path, draw: _Draw) -> list[Tensor]:
    """Our reader: query frames and the union of both key speeds in one pass, uint8 [1, n, 112, 112, 3] each."""
    query, key = draw.first_frames
    frames = ([query + draw.speed * i for i in range(FRAMES)], [key + offset for offset in _key_frames()])
    views = [
        View(indices, box=box, size=(SIZE, SIZE), flip=flip)
        for indices, box, flip in zip(frames, draw.boxes, draw.flips, strict=True)
    ]
    slow, fast = range(key, key + FRAMES), range(key, key + SPEED * (FRAMES - 1) + 1)
    stretches = [range(query, query + draw.speed * (FRAMES - 1) + 1), slow, fast]
    watch = Watch(index for stretch in stretches for index in stretch)
    with open_video(path) as video:
        query_clip, key_clip = video.read_views(views, watch=watch)
    # The data set's look for repeated pictures, in what is shown and between, is a part of reading.
    shown = [frames[1].index(index) for index in fast[::SPEED]]
    for pictures in (query_clip, key_clip[:FRAMES], key_clip[shown], *map(watch.pictures, stretches)):
        repeated_share(pictures)
    return [torch.from_numpy(clip)[None] for clip in (query_clip, key_clip)]


def augment_sample(clips: Sequence[Tensor]) -> list[Tensor]:
    """Our batched augmentation on the CPU: the same three float clips as `plain_sample`."""
    row = list(IDENTITY)
    row[1:5] = FACTORS
    row[ORDER] = [0.0, 1.0, 2.0, 3.0]
    jitter = torch.tensor([row])
    offsets = _key_frames()
    positions = [torch.tensor([[offsets.index(speed * i) for i in range(FRAMES)]]) for speed in (1, SPEED)]
    return [augment(clips[0], jitter), *augment_taking(clips[1], jitter, positions)]


def _scene(width: int, height: int) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """A textured background that drifts and a textured patch that circles before it, with a little camera noise."""
    rng = numpy_rng("bench scene", width, height)
    coarse = rng.uniform(30, 225, (3, height // 16 + 8, width // 16 + 8))
    ground = torch.from_numpy(coarse)[None]
    ground = torch.nn.functional.interpolate(ground, size=(height + 128, width + 128), mode="bicubic")
    texture = ground[0].permute(1, 2, 0).numpy() + rng.normal(0, 6, (height + 128, width + 128, 1))
    side = height // 3
    patch = np.ascontiguousarray(texture[::-1, ::-1][:side, :side])
    for frame in range(SCENE_FRAMES):
        down, right = round(64 + 60 * np.sin(frame / 25)), round(64 + 60 * np.cos(frame / 40))
        picture = texture[down : down + height, right : right + width].copy()
        top = round((height - side) * (0.5 + 0.45 * np.sin(frame / 9)))
        left = round((width - side) * (0.5 + 0.45 * np.cos(frame / 9)))
        picture[top : top + side, left : left + side] = patch
        yield (picture + rng.normal(0, 2, (height, width, 1))).clip(0, 255).astype(np.uint8)


def encode_scene(
    kind: SceneFile, folder: Path, *, width: int | None = None, height: int | None = None, frames: int = SCENE_FRAMES
) -> Path:
    """Write the scene as a file of this kind, in its own size or another size."""
    width, height = width or kind.width, height or kind.height
    path = folder / kind.name
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(kind.codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = kind.options
        if kind.codec == "mpeg4":
            stream.codec_context.codec_tag = "XVID"
        for index, picture in enumerate(islice(_scene(width, height), frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
