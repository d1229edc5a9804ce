"""The drawn videos that the weights in the package are trained on, and studies that ask of nothing else."""

from __future__ import annotations

from pathlib import Path

from rspnet.data.synthetic.acting_picture import write_scenes
from rspnet.data.synthetic.drawn_note import note_drawn

NUM_FRAMES, SIZE = 96, 80


def write_training_scenes(folder: Path, *, num_videos: int, seed: int) -> None:
    """Draw the scenes of a training's seed; files that are there stay.

    Raises:
        ConfigError: the folder holds other videos, see `note_drawn`.
        RSPNetError: a file cannot be written.
    """
    note_drawn(folder, {"num_videos": num_videos, "seed": seed})
    write_scenes(folder, num_videos=num_videos, seed=seed + 1, num_frames=NUM_FRAMES, size=SIZE)
