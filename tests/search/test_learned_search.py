"""What a network is for: search by motion and by appearance with the shipped weights, and maps of where.

Scores are counted over 60 held-out videos of the procedural set, whose motion classes, textures and speeds are drawn
independently of one another; docs/small-scale.md has the figures of longer trainings and of untrained networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rspnet.cli import main
from rspnet.data.augment import normalise
from rspnet.data.synthetic.procedural import (
    ProceduralClip,
    ProceduralRecord,
    boxes,
    distractor_box,
    plan_clips,
    read_set,
    render_frames,
    write_set,
)
from rspnet.features.roi_maps import roi_maps
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet

pytest.importorskip("lancedb", reason="the extra rspnet[search] is not installed")

from rspnet.search import Library
from rspnet.search.query import search

pytestmark = pytest.mark.timeout(900)  # half a minute on a quiet core, many times that on a busy one
QUERIES = 60
Label = Callable[[ProceduralRecord], object]
PRETRAIN = [
    "--model.backbone=r3d_10_slim", "--model.input=moving", "--model.queue_size=64", "--model.momentum=0.99",
    "--data.num_frames=8", "--data.size=32", "--data.batch_size=32", "--data.augmentation=aug_plus",
    "--data.num_workers=0", "--optim.name=adamw", "--optim.lr=1e-3", "--optim.scale_lr=false",
    "--optim.schedule_unit=step", "--engine.device=cpu", "--engine.threads=1",
    "--engine.loggers=[csv]", "--max_steps=80",
]  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A folder with the training and the held-out videos."""
    root = tmp_path_factory.mktemp("learned") / "videos"
    write_set(root, plan_clips(num_videos=3 * QUERIES, seed=3, num_frames=64, size=96, test_fraction=1 / 3))
    return root


@pytest.fixture(scope="module")
def checkpoint(videos: Path) -> Path:
    """A network after a minute of pre-training."""
    run = videos.parent / "run"
    assert main(["pretrain", f"--data.root={videos / 'train'}", f"--out={run}", *PRETRAIN]) == 0
    return run / "last.ckpt"


def precision_at_1(
    library: Library, records: Sequence[ProceduralRecord], questions: Mapping[str, tuple[float, Label]]
) -> dict[str, float]:
    """How often the first hit of a held-out video at some alpha shares some label, for every question."""
    by_name = {record.path.name: record for record in records}
    right: dict[str, list[bool]] = {name: [] for name in questions}
    for record in records:
        if record.clip.split == "test":
            query = library.embed(record.path)
            for name, (alpha, label) in questions.items():
                (hit,) = search(library.store, query, alpha=alpha, k=1)
                right[name].append(label(by_name[Path(hit.path).name]) == label(record))
    return {name: float(np.mean(answers)) for name, answers in right.items()}


def speed_third(record: ProceduralRecord) -> int:
    """Which third of the (log-uniform) speeds: by chance the same in 1 of 3."""
    return min(2, int(3 * math.log(record.clip.speed * 128 / record.clip.size) / math.log(128 / 24)))


def test_alpha_0_finds_the_texture_and_alpha_1_the_motion_and_the_speed(videos: Path) -> None:
    """With the shipped weights, which never saw these videos."""
    store = videos.parent / "library"
    words = [f"--out={store}", "--weights=rspnet-small", "--num_clips=3", "--num_workers=0"]
    assert main(["index", str(videos / "train"), *words]) == 0
    questions: dict[str, tuple[float, Label]] = {
        "texture": (0.0, lambda record: record.clip.texture),
        "motion": (1.0, lambda record: record.clip.motion),
        "speed": (1.0, speed_third),
    }
    found = precision_at_1(Library(str(store)), read_set(videos), questions)
    print(f"P@1 {found}; chance: texture 0.12, motion 0.17, speed 0.33")
    assert found["texture"] >= 0.2
    assert found["motion"] >= 0.3
    assert found["speed"] >= 0.45


def inside(box: np.ndarray, size: int) -> np.ndarray:
    """The pixels [size, size] in a box (top, left, height, width) on a torus."""
    top, left, height, width = box
    rows, columns = (
        (np.arange(size) + 0.5 - start) % size < length for start, length in ((top, height), (left, width))
    )
    return rows[:, None] & columns[None]


def map_densities(model: RSPNet, head: str, clip: ProceduralClip, *, side: int = 160) -> tuple[float, float]:
    """How much more of a RoI map than chance lies on the moving and on the static object of a clip.

    The clip's first frames are explained by its last ones; 1 is the density of a map that says nothing.
    """
    frames, moving, still = render_frames(clip), boxes(clip), distractor_box(clip)
    assert still is not None
    pixels = F.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2), size=(side, side), mode="bilinear")
    views = [normalise(part.permute(0, 2, 3, 1)[None]) for part in (pixels[:8], pixels[-8:])]
    with torch.no_grad():
        own, other = (model.backbone.forward_features(view) for view in views)
        maps = roi_maps(getattr(model.encoder_q, head), own, other)
        heat = F.interpolate(maps[None], size=(8, clip.size, clip.size), mode="trilinear")[0, 0].clamp(min=0).numpy()
    on_moving = np.stack([inside(box, clip.size) for box in moving[:8]])
    on_still = np.broadcast_to(inside(still, clip.size), on_moving.shape) & ~on_moving
    return tuple(float(heat[place].mean() / heat.mean()) for place in (on_moving, on_still))  # type: ignore[return-value]


def test_maps_lie_on_the_moving_object_and_not_on_a_still_one(checkpoint: Path) -> None:
    model = load_pretrained(checkpoint)
    clips = plan_clips(num_videos=16, seed=7, num_frames=24, size=96, distractor_fraction=1.0, test_fraction=0.0)
    for head in ("motion_head", "appearance_head"):
        moving, still = np.array([map_densities(model, head, clip) for clip in clips]).T
        print(
            f"{head}: density on the moving object {moving.mean():.2f}, on the still one {still.mean():.2f}; "
            f"more on the moving in {(moving > still).mean():.2f}"
        )
        assert moving.mean() > 1.2
        assert still.mean() < 0.9
        assert (moving > still).mean() >= 0.7
