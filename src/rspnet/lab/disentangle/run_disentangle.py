"""`rspnet study disentangle`: what a pre-trained network's features hold, and which traces it recognises speed by."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.api.open_embedder import open_embedder
from rspnet.config.disentangle import DisentangleConfig
from rspnet.config.view import EvenViewConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.files import write_text
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.synthetic.procedural import FRAMES_PER_SECOND, plan_clips, render_frames
from rspnet.features.embedder import Embedder
from rspnet.features.feature_cache import default_cache_folder
from rspnet.features.labelled_features import embedder_view, tensors_sha256
from rspnet.features.linear_probe import require_sklearn
from rspnet.lab.disentangle.copies import Source, write_all_copies
from rspnet.lab.disentangle.disentangle_report import draw_report, report_text
from rspnet.lab.disentangle.factor_probes import FactorProbe, probe_factors, video_spaces
from rspnet.lab.disentangle.factor_set import plan_factor_set, write_factor_set
from rspnet.lab.disentangle.shortcuts import ShortcutLine, SpeedTest, as_row, shortcut_lines
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import fresh_twin, require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.run_folder import open_run_folder, write_result
from rspnet.video.reader import open_video
from rspnet.video.writer import H264, XVID

REPORT, PICTURE = "report.md", "report.png"
FOLDS = 3
"""Folds of the cross-validation, on training videos only, that chooses the regularisation of each probe."""
_LEAST_FRAMES, _SPARE_FRAMES = 64, 8
_LEAST_SIDE, _LARGEST_SIDE = 96, 224


def disentangle(config: DisentangleConfig) -> None:
    """Run the command: write videos, probe, test, report.

    Raises:
        RSPNetError: bad checkpoint, unusable videos, or no scikit-learn.
    """
    require_sklearn("rspnet study disentangle")
    embedder = _embedder(config)
    records = None if config.videos is None else read_folder(config.videos)
    folder = open_run_folder(config.out, config, command="study disentangle")
    probes = _probes(config, embedder)
    lines, energy, count = _shortcuts(config, embedder, records)
    stamp = embedder_view(embedder) | {"tensors_sha256": tensors_sha256(embedder.model.trained), "seed": config.seed}
    stamp |= {"random_init": config.random_init, "videos": config.videos or "procedural", "speed": config.speed}
    stamp |= {"probe_videos": config.num_videos, "shortcut_videos": count, "folds": FOLDS}
    results: dict[str, Any] = {
        "probes": [asdict(probe) for probe in probes],
        "shortcuts": [as_row(line) for line in lines],
        "energy_alone": energy,
    }
    write_result(folder, command="study disentangle", protocol=stamp, results=results)
    text = report_text(config.weights, stamp, probes, lines, energy=energy, picture=PICTURE)
    write_text(folder / REPORT, text)
    draw_report(folder / PICTURE, probes, lines)
    console = PlainConsole(stderr=True)
    console.print(text)
    console.print(f"report: {folder / REPORT}")


def _embedder(config: DisentangleConfig) -> Embedder:
    model: PretextModel = require_heads(load_pretrained(config.weights), task="study disentangle")
    if config.random_init:
        model = fresh_twin(model, seed=config.seed)
    view = EvenViewConfig(num_clips=config.num_clips, num_workers=0, device=config.device, precision=config.precision)
    return open_embedder(model, view, descriptor="mean")


def _shape(config: DisentangleConfig, embedder: Embedder) -> dict[str, int]:
    """Length and size of procedural videos that suit the network."""
    side = min(max(embedder.size, _LEAST_SIDE), _LARGEST_SIDE)
    ticks = config.speed * embedder.num_frames + _SPARE_FRAMES
    return {
        "num_frames": max(_LEAST_FRAMES, _frames_of(ticks, rate=FRAMES_PER_SECOND, fps=embedder.fps)),
        "size": side + side % 2,
    }


def _frames_of(ticks: int, *, rate: float, fps: float | None) -> int:
    """Frames of a video of `rate` frames a second that hold so many ticks of `fps` (None: its own frames)."""
    return ticks if fps is None else math.ceil(ticks * rate / fps) + 1


def _kept_folder(config: DisentangleConfig, what: str, **made_from: Any) -> Path:
    """A folder of the cache that belongs to a set of this kind made from these values."""
    cache = Path(config.cache) if config.cache else default_cache_folder().parent / "videos"
    digest = hashlib.sha256(repr(sorted(made_from.items())).encode()).hexdigest()[:12]
    return cache / f"{what}-{digest}"


def _probes(config: DisentangleConfig, embedder: Embedder) -> list[FactorProbe]:
    settings = {"num_videos": config.num_videos, "seed": config.seed, **_shape(config, embedder)}
    videos = plan_factor_set(**settings)
    root = _kept_folder(config, "factors", **settings)
    write_factor_set(root, videos)
    spaces = video_spaces(embedder, videos, root)
    return probe_factors(videos, spaces, folds=FOLDS, seed=config.seed)


def _shortcuts(
    config: DisentangleConfig, embedder: Embedder, records: Sequence[VideoRecord] | None
) -> tuple[list[ShortcutLine], float, int]:
    """The lines, what motion energy alone gets right, and the number of videos; `records` are the user's own."""
    window = config.speed * embedder.num_frames
    settings: dict[str, Any]
    if records is None:
        settings = {"num_videos": config.shortcut_videos, "seed": config.seed + 2, **_shape(config, embedder)}
        sources, root = _procedural(**settings), _kept_folder(config, "copies", **settings)
    else:
        settings = {"count": config.shortcut_videos, "window": window, "fps": embedder.fps, "seed": config.seed}
        states = [(str(r.path.absolute()), r.path.stat().st_mtime_ns) for r in records]
        sources = _own(records, **settings)
        root = _kept_folder(config, "copies", files=states, **settings)
    write_all_copies(root, sources)
    names = [source.name for source in sources]
    test = SpeedTest(embedder, root=root, names=names, speed=config.speed, seed=config.seed)
    lines, energy = shortcut_lines(test)
    return lines, energy, len(names)


def _procedural(*, num_videos: int, seed: int, num_frames: int, size: int) -> list[Source]:
    """Procedural videos in the codings that the demo writes, by turns."""
    clips = plan_clips(num_videos=num_videos, seed=seed, num_frames=num_frames, size=size, test_fraction=1.0)
    return [
        Source(clip.name, partial(render_frames, clip), clip.fps, XVID if place % 2 else H264)
        for place, clip in enumerate(clips)
    ]


def _own(records: Sequence[VideoRecord], *, count: int, window: int, fps: float | None, seed: int) -> list[Source]:
    """The first frames of evenly chosen videos, as decoded: `original` is then a lossless copy of just these pixels.

    Raises:
        RSPNetError: too few videos are long enough.
    """
    sources: list[Source] = []
    for place in numpy_rng(seed, "own videos").permutation(len(records)).tolist():
        record = records[place]
        with suppress(DecodeError), open_video(record.path) as video:
            if len(video) >= _frames_of(window, rate=video.fps, fps=fps):
                length = max(_LEAST_FRAMES, _frames_of(window + _SPARE_FRAMES, rate=video.fps, fps=fps))
                frames = partial(_first_frames, record.path, min(length, len(video)))
                sources.append(Source(f"{len(sources):05d}", frames, video.fps))
        if len(sources) == count:
            break
    if len(sources) < 8:
        raise RSPNetError(
            f"--videos: {len(sources)} of {len(records)} videos are readable and long enough for {window} frames; "
            "8 are needed"
        )
    return sources


def _first_frames(path: Path, count: int) -> NDArray[np.uint8]:
    with open_video(path) as video:
        return video.frames_at(range(count))
