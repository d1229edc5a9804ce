"""Scenes of acting figures: the same from the same numbers, whole, moving, and unlike one another."""

from pathlib import Path

import numpy as np
import pytest

from rspnet.data.synthetic.acting import Blob, Capsule, Rhythm, scene_parts
from rspnet.data.synthetic.acting_picture import render_scene, write_scenes
from rspnet.video.reader import open_video

SHAPE = {"num_frames": 24, "size": 32}


def test_a_scene_is_a_function_of_its_numbers() -> None:
    first, again, other = (render_scene(seed=3, number=number, **SHAPE) for number in (5, 5, 6))
    assert first.dtype == np.uint8
    assert first.shape == (24, 32, 32, 3)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 5


def test_most_scenes_move_and_no_part_is_missing_or_boundless() -> None:
    kinds = set()
    for number in range(12):
        parts = scene_parts(seed=0, number=number, num_frames=24)
        assert parts
        for part in parts:
            kinds.add(type(part))
            arrays = (part.start, part.end, *part.radii) if isinstance(part, Capsule) else (part.centre, part.outline)
            assert all(np.isfinite(array).all() and len(array) == 24 and np.abs(array).max() < 5 for array in arrays)
    assert kinds == {Capsule, Blob}
    moved = [np.ptp(render_scene(seed=0, number=number, **SHAPE).astype(int), axis=0).mean() for number in range(6)]
    assert np.median(moved) > 4


@pytest.mark.parametrize("kind", ["cycle", "strike", "wander", "once"])
def test_rhythms_stay_near_one_and_move(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        rhythm = Rhythm(rng, 200)
        rhythm.kind = kind
        curve = rhythm.curve(offset=0.25)
        assert curve.shape == (200,)
        assert np.abs(curve).max() <= 1.5
        assert np.ptp(curve) > 0.1


def test_files_are_written_once_in_two_formats(tmp_path: Path) -> None:
    write_scenes(tmp_path, num_videos=2, seed=1, workers=1, **SHAPE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000.mp4", "00001.avi"]
    with open_video(tmp_path / names[0]) as video:
        assert len(video) == 24
        shown = video.frames_at(range(24)).astype(int)
    assert np.abs(shown - render_scene(seed=1, number=0, **SHAPE)).mean() < 10  # colour at half the resolution
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    write_scenes(tmp_path, num_videos=2, seed=1, workers=1, **SHAPE)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == before
