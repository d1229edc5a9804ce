"""Small folders of real video files for tests of whole commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from helpers.narrow import NARROW

from rspnet.data.synthetic.procedural import ProceduralRecord, plan_clips, read_set, write_set

TINY = [
    f"--model.backbone={NARROW}",
    "--model.input=difference",
    "--model.queue_size=16",
    "--data.num_frames=4",
    "--data.size=32",
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--engine.device=cpu",
    "--engine.precision=fp32",
    "--engine.threads=1",
    "--engine.log_every=2",
    "--optim.name=adamw",
    "--optim.lr=1e-3",
    "--optim.scale_lr=false",
]
"""Options of a pre-training that takes a second."""

TINY_SLIM = ["--model.backbone=r3d_10_slim", *TINY[1:]]
"""The same for a process that a test starts as a user does: it knows only the package's backbones."""

TINY_FINETUNE = [
    f"--model.backbone={NARROW}",
    "--model.input=difference",
    "--clips.num_frames=4",
    "--clips.size=32",
    "--clips.batch_size=4",
    "--clips.num_workers=0",
    "--clips.num_clips=2",
    "--engine.device=cpu",
    "--engine.precision=fp32",
    "--engine.threads=1",
    "--engine.log_every=2",
]
"""Options of a fine-tuning that takes a second."""

_VIDEOS = (".mp4", ".avi")


def write_videos(folder: Path, *, count: int = 12, num_frames: int = 16, size: int = 48) -> Path:
    """A folder with `count` short procedural videos (MP4 and AVI)."""
    clips = plan_clips(num_videos=count, seed=0, num_frames=num_frames, size=size)
    write_set(folder, clips, workers=0)
    return folder


def write_labelled_videos(folder: Path, *, count: int = 24) -> Path:
    """A folder of short procedural videos in two class folders, the classes without meaning."""
    write_videos(folder / "all", count=count)
    for number, path in enumerate(sorted(path for path in (folder / "all").rglob("*") if path.suffix in _VIDEOS)):
        path_now = folder / "set" / ("even", "odd")[number % 2] / f"{number}{path.suffix}"
        path_now.parent.mkdir(parents=True, exist_ok=True)
        path.rename(path_now)
    return folder / "set"


def write_listed_videos(
    folder: Path,
    *,
    count: int = 24,
    label: Callable[[int, ProceduralRecord], str] = lambda _, record: record.clip.motion,
) -> Path:
    """A folder of short procedural videos with `labels.csv`: path, class (of place and record) and split of each."""
    records = read_set(write_videos(folder, count=count))
    rows = [
        f"{record.path.relative_to(folder).as_posix()},{label(place, record)},{record.clip.split}"
        for place, record in enumerate(records)
    ]
    (folder / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
    return folder


def listed(folder: Path) -> list[str]:
    """The options that read what `write_listed_videos` wrote."""
    return [f"--data.root={folder}", "--data.kind=csv", f"--data.list={folder / 'labels.csv'}"]
