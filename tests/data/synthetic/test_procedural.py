from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
from collections import Counter

import av
import numpy as np
import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.synthetic.procedural import (
    MAX_SPEED,
    MIN_SPEED,
    MOTIONS,
    SHAPES,
    TEXTURES,
    ProceduralClip,
    boxes,
    distractor_box,
    plan_clips,
    read_set,
    render_frames,
    write_set,
)

PLAN = plan_clips(num_videos=384, seed=5)


def _clip(motion, **changes):
    clip = ProceduralClip(
        name="c", motion=motion, texture="checks", shape="star", speed=2.0, direction=0.0, background="clouds-7",
        distractor="", split="train", num_frames=64, fps=25, size=96, seed=11,
    )  # fmt: skip
    return dataclasses.replace(clip, **changes)


def _centres(clip):
    box = boxes(clip)
    return box[:, :2] + box[:, 2:] / 2


def _steps(clip):
    """Displacement (y, x) of the box centre a frame, by the shortest way on the torus."""
    return (np.diff(_centres(clip), axis=0) + clip.size / 2) % clip.size - clip.size / 2


def _object_mask(clip):
    """[T, H, W] where the object is in the rendered pixels: where two textures differ in colour."""
    pictures = [render_frames(dataclasses.replace(clip, texture=texture)).astype(int) for texture in TEXTURES]
    return np.abs(np.stack(pictures) - pictures[0]).max(axis=(0, 4)) > 24


@pytest.mark.parametrize("heading", range(8))
def test_translation_has_the_speed_and_heading_of_its_labels(heading):
    clip = _clip("translate", direction=heading * math.pi / 4)
    np.testing.assert_allclose(
        _steps(clip), [2.0 * np.array([math.sin(clip.direction), math.cos(clip.direction)])] * 63, atol=1e-9
    )


@pytest.mark.parametrize("motion", ["oscillate", "bounce", "orbit"])
@pytest.mark.parametrize("speed", [0.75, 1.7, 4.0])
def test_the_mean_square_speed_of_the_centre_is_the_label(motion, speed):
    # 4,000 frames: a part of a period more or less does not count. Steps cut the corners of hops: 3 % at 14 frames.
    step = _steps(_clip(motion, speed=speed, num_frames=4000))
    assert np.sqrt((step**2).sum(axis=1).mean()) == pytest.approx(speed, rel=0.035)
    assert np.ptp(step.sum(axis=1)) > 0.5 * speed  # and it is no constant velocity


def test_oscillation_lies_on_its_axis_and_bounces_drift_where_the_label_says():
    step = _steps(_clip("oscillate", direction=math.pi / 4))
    np.testing.assert_allclose(step[:, 0], step[:, 1], atol=1e-9)
    assert step.max() > 1
    assert step.min() < -1
    for direction, sign in ((0.0, 1), (math.pi, -1)):
        step = _steps(_clip("bounce", direction=direction))
        np.testing.assert_allclose(step[:, 1], sign * 1.0)
        assert step[:, 0].min() < -1
        assert step[:, 0].max() > 1


def test_orbits_turn_clockwise_and_zooms_change_the_side_at_the_labelled_speed():
    for direction, sign in ((0.0, 1), (math.pi, -1)):
        step = _steps(_clip("orbit", direction=direction))
        turn = step[:-1, 1] * step[1:, 0] - step[:-1, 0] * step[1:, 1]  # positive: clockwise with y down
        assert (np.sign(turn) == sign).all()
    clip = _clip("zoom", num_frames=4000, speed=1.7)
    assert np.sqrt((np.diff(boxes(clip)[:, 3]) ** 2).mean()) == pytest.approx(1.7, rel=0.02)
    assert np.abs(_steps(clip)).max() < 1e-9


@pytest.mark.parametrize(("direction", "sign"), [(0.0, 1), (math.pi, -1)])
def test_rotation_turns_the_pixels_by_speed_over_radius(direction, sign):
    """The two-fold symmetry of the pixels' spread (a cross would have four) gives the angle of a triangle's tip."""
    clip = _clip("rotate", shape="triangle", direction=direction)
    assert np.abs(_steps(clip)).max() < 1e-9
    mask = _object_mask(clip)
    y, x = np.mgrid[:96, :96] + 0.5
    centre = _centres(clip)[0]
    around = np.arctan2(y - centre[0], x - centre[1])
    distance = np.hypot(y - centre[0], x - centre[1])
    third = np.angle([(m * distance**3 * np.exp(3j * around)).sum() for m in mask])
    turned = np.unwrap(third)[-1] - np.unwrap(third)[0]
    assert turned / 3 / 63 == pytest.approx(sign * 2.0 / (boxes(clip)[0, 3] / 2), rel=0.02)


@pytest.mark.parametrize("motion", MOTIONS)
def test_boxes_hold_the_rendered_object_and_nothing_else_changes(motion):
    clip = _clip(motion, shape="circle", num_frames=24, speed=1.5, seed=3)
    y, x = np.mgrid[:96, :96] + 0.5
    for mask, (top, left, height, width) in zip(_object_mask(clip), boxes(clip), strict=True):
        centre_y, centre_x = top + height / 2, left + width / 2
        away_y, away_x = (np.abs((a - c + 48) % 96 - 48) for a, c in ((y, centre_y), (x, centre_x)))
        inside = np.maximum(away_y, away_x) < height / 2 + 1
        assert not (mask & ~inside).any()
        assert mask.sum() == pytest.approx(math.pi / 4 * height * width, rel=0.12)
        assert 0 <= centre_y <= 96
        assert 0 <= centre_x <= 96


@pytest.mark.parametrize("motion", ["rotate", "oscillate", "zoom", "orbit"])
def test_objects_that_stay_in_place_stay_in_the_picture(motion):
    for clip in (c for c in PLAN if c.motion == motion):
        box = boxes(clip)
        assert box.min() >= -1e-9
        assert (box[:, :2] + box[:, 2:]).max() <= clip.size + 1e-9


def test_every_shape_and_texture_moves_when_it_rotates_slowly():
    """No symmetry may hide a rotation: the object's own pixels change, at the slowest speed."""
    for shape in SHAPES:
        for texture in TEXTURES:
            clip = _clip("rotate", shape=shape, texture=texture, speed=0.75, num_frames=5)
            top, left, height, width = boxes(clip)[0].astype(int)
            frames = render_frames(clip)[:, top + 3 : top + height - 3, left + 3 : left + width - 3].astype(int)
            assert np.abs(frames[4] - frames[0]).mean() > 4, (shape, texture)


def test_the_background_moves_and_a_distractor_does_not():
    clip = _clip("oscillate", distractor="square-stripes")
    top, left, height, width = distractor_box(clip)
    frames = render_frames(clip).astype(int)
    core = frames[
        :, int(top + height * 0.3) : int(top + height * 0.7), int(left + width * 0.3) : int(left + width * 0.7)
    ]
    covered = _object_mask(clip).any(axis=0)
    assert np.abs(core - core[0]).max() == 0
    background = render_frames(clip)[:, ~covered].astype(int)
    assert np.abs(background[-1] - background[0]).mean() > 1
    assert distractor_box(_clip("oscillate")) is None
    picked = [c for c in plan_clips(num_videos=80, seed=1, distractor_fraction=0.25) if c.distractor]
    assert len(picked) == 20
    for c in picked:
        shape, texture = c.distractor.split("-")
        assert shape != c.shape
        assert texture != c.texture


def test_motion_texture_and_the_rest_are_drawn_balanced_and_independent():
    for split, count in (("train", 288), ("test", 96)):
        clips = [clip for clip in PLAN if clip.split == split]
        assert len(clips) == count
        pairs = Counter((clip.motion, clip.texture) for clip in clips)
        assert set(pairs.values()) == {count // 48}
        assert len(pairs) == 48
        assert set(Counter(clip.shape for clip in clips).values()) == {count // 6}
    # Container (by place in the list), shape and speed do not follow motion or texture: chi-square against its spread.
    for label in ("motion", "texture"):
        for other in (
            lambda i, c: i % 2,
            lambda i, c: c.shape,
            lambda i, c: c.speed > 1.73,
            lambda i, c: c.background[:3],
        ):
            table = Counter((getattr(c, label), other(i, c)) for i, c in enumerate(PLAN))
            rows, columns = {a for a, _ in table}, {b for _, b in table}
            totals = {key: sum(n for pair, n in table.items() if key in pair) for key in rows | columns}
            chi = sum((table[a, b] - (e := totals[a] * totals[b] / len(PLAN))) ** 2 / e for a in rows for b in columns)
            freedom = (len(rows) - 1) * (len(columns) - 1)
            assert chi < freedom + 4 * math.sqrt(2 * freedom), label
    odd = Counter(c.motion for c in plan_clips(num_videos=53, seed=0, test_fraction=0))
    assert max(odd.values()) - min(odd.values()) <= 1


def test_speeds_are_log_uniform_and_do_not_tell_the_playback_speed():
    speeds = np.log(np.array([clip.speed for clip in PLAN]) / 96)
    low, high = math.log(MIN_SPEED), math.log(MAX_SPEED)
    assert low <= speeds.min()
    assert speeds.max() <= high
    quantiles = np.quantile((speeds - low) / (high - low), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quantiles, [0.25, 0.5, 0.75], atol=0.08)
    # Best threshold between clips at speed 1 and the same clips at speed 2.
    best = max(
        ((speeds < cut).mean() + (speeds + math.log(2) >= cut).mean()) / 2 for cut in np.linspace(low, high, 200)
    )
    assert best < 0.78


def test_test_clips_share_no_background_seed_or_name_with_training_clips():
    other = plan_clips(num_videos=384, seed=6)
    for field in ("background", "seed", "name"):
        train = {getattr(c, field) for c in PLAN if c.split == "train"}
        test = {getattr(c, field) for c in PLAN if c.split == "test"}
        assert train
        assert test
        assert not train & test
    backgrounds = {s: {c.background for p in (PLAN, other) for c in p if c.split == s} for s in ("train", "test")}
    assert not backgrounds["train"] & backgrounds["test"]
    shared = Counter(c.background for c in PLAN if c.split == "train")
    assert set(shared.values()) == {4}


def test_the_same_seed_gives_the_same_clips_and_the_same_bytes():
    assert plan_clips(num_videos=384, seed=5) == PLAN
    assert plan_clips(num_videos=384, seed=6) != PLAN
    for clip in PLAN[:6]:
        frames = render_frames(clip)
        assert frames.shape == (64, 96, 96, 3)
        assert frames.dtype == np.uint8
        again = render_frames(dataclasses.replace(clip))
        assert hashlib.sha256(frames.tobytes()).digest() == hashlib.sha256(again.tobytes()).digest()
        assert (render_frames(dataclasses.replace(clip, seed=clip.seed + 1)) != frames).any()
    longer = dataclasses.replace(PLAN[0], num_frames=80)
    assert np.array_equal(render_frames(longer)[:64], render_frames(PLAN[0]))


def test_written_files_decode_to_the_rendered_frames(tmp_path):
    clips = plan_clips(num_videos=8, seed=2, num_frames=21, size=64)
    label_file = write_set(tmp_path / "set", clips, workers=2)
    records = read_set(tmp_path / "set")
    assert [record.clip for record in records] == clips
    codecs = []
    for record in records:
        assert record.path.parent == tmp_path / "set" / record.clip.split
        with av.open(str(record.path)) as container:
            stream = container.streams.video[0]
            codecs.append((record.path.suffix, stream.codec_context.name, stream.codec_context.codec_tag))
            assert stream.average_rate == 25
            frames = list(container.decode(stream))
        pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames]).astype(int)
        assert pixels.shape == (21, 64, 64, 3)
        assert np.abs(pixels - render_frames(record.clip)).mean() < 8  # 4:2:0 and the codec
        if record.path.suffix == ".avi":
            assert av.video.frame.PictureType.B in {frame.pict_type for frame in frames}
    assert codecs == [(".mp4", "h264", "avc1"), (".avi", "mpeg4", "XVID")] * 4
    with label_file.open() as file:
        columns = set(next(csv.reader(file)))
    assert columns >= {"path", "motion", "texture", "shape", "speed", "direction", "background", "split"}
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_videos": 0}, "num_videos is 0"),
        ({"num_videos": 4, "num_frames": 1}, "num_frames is 1"),
        ({"num_videos": 4, "size": 33}, "size is 33"),
        ({"num_videos": 4, "test_fraction": 1.5}, "test_fraction is 1.5"),
        ({"num_videos": 4, "distractor_fraction": -0.1}, "distractor_fraction is -0.1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(RSPNetError, match=message):
        plan_clips(seed=0, **arguments)


def test_bad_sets_are_named(tmp_path):
    with pytest.raises(RSPNetError, match=r"clips\.csv.*No such file"):
        read_set(tmp_path)
    clips = plan_clips(num_videos=1, seed=2, num_frames=2, size=32, test_fraction=0)
    with pytest.raises(RSPNetError, match="same name"):
        write_set(tmp_path, clips * 2)
    write_set(tmp_path, clips)
    text = (tmp_path / "clips.csv").read_text()
    (tmp_path / "clips.csv").write_text(text.replace(str(clips[0].speed), "fast"))
    with pytest.raises(RSPNetError, match="line 2: bad or missing value"):
        read_set(tmp_path)


@pytest.mark.slow
def test_writing_a_set_twice_gives_the_same_bytes(tmp_path):
    """x264 with look-ahead differs from run to run in about one file of eight."""
    clips = plan_clips(num_videos=16, seed=3, num_frames=48)
    files = []
    for name in ("once", "again"):
        write_set(tmp_path / name, clips)
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")})
    assert len(files[0]) == 17
    assert files[0] == files[1]
