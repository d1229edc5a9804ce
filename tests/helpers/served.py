"""A small library to serve, with a file whose name is an attack on the page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.data.synthetic.procedural import plan_clips, render_frames
from rspnet.video.writer import write_video

FPS = 10
NASTY = "x<img src=q onerror=window.hacked=1>${window.hacked=2}{{value}}'\".mp4"


def make_library(root: Path, *, window_s: float = 1.0) -> Path:
    """`root`/library of six videos in two folders below `root`/videos (3.2 s each, one 9.6 s), and their checkpoint."""
    scenes = [render_frames(clip) for clip in plan_clips(num_videos=8, seed=3, num_frames=32, size=48)]
    videos = root / "videos"
    for folder in ("first/one", "second"):
        (videos / folder).mkdir(parents=True)
    for number, name in enumerate(
        ("first/one/a.mp4", "first/one/b.avi", "first/c.mp4", "second/d.mp4", f"second/{NASTY}")
    ):
        write_video(videos / "new.mp4" if name.endswith(NASTY) else videos / name, scenes[number], fps=FPS)
    (videos / "new.mp4").rename(videos / "second" / NASTY)
    write_video(videos / "second" / "long.mp4", np.concatenate(scenes[5:8]), fps=FPS)
    (videos / "second" / "unreadable.mp4").write_bytes(b"no video")
    model = save_tiny_checkpoint(root / "model.ckpt", backbone="r3d_10_slim")
    fixed = ["--num_workers=0", "--precision=fp32", f"--window_s={window_s}", f"--hop_s={window_s / 2}"]
    assert main(["index", str(videos), f"--out={root / 'library'}", f"--weights={model}", *fixed]) == 0
    return root / "library"


def copy_of(video: Path, target: Path) -> Path:
    """Another file with the same content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(video, target))
