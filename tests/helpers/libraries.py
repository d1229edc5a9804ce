"""Hand-made rows of a search library."""

from __future__ import annotations

import numpy as np

from rspnet.features.windows import ClipSettings
from rspnet.search.library_tables import About, ClipRows, FileRow


def about(*, dim: int = 8) -> About:
    clip = ClipSettings(window_s=2.0, hop_s=1.0, clips=1, num_frames=4, stride=1, size=32)
    return About("a.ckpt", "0123", "fp32", dim, dim, 3, clip)


def unit_rows(count: int, dim: int, *, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clip_rows(path: str, windows: int, *, dim: int, seed: int) -> ClipRows:
    number = np.arange(windows)
    return ClipRows(
        path=path,
        content=f"content-{seed}",
        fps=25.0,
        width=64,
        height=48,
        window=number,
        start_s=number.astype(np.float64),
        end_s=number + 2.0,
        motion=unit_rows(windows, dim, seed=seed),
        appearance=unit_rows(windows, dim, seed=seed + 10_000),
        features=np.ones((windows, 3), np.float32),
    )


def file_row(clips: ClipRows) -> FileRow:
    return FileRow(clips.path, clips.content, 10, 5, float(clips.end_s[-1]), len(clips.window), "")
