"""`rspnet roi`: pictures of the right frames in the right colours."""

from __future__ import annotations

import json

import matplotlib.image
import numpy as np
import pytest
import torch
from helpers.tiny_model import save_tiny_checkpoint
from helpers.videos import read_barcode, write_barcode_video

from rspnet.cli import main
from rspnet.data.augment import normalise
from rspnet.data.cuts import ClipShape
from rspnet.features.roi_maps import explain, read_clip
from rspnet.pretext.pretrained import load_pretrained
from rspnet.show.roi_picture import draw_strip, overlay
from rspnet.video.reader import open_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roi")
    write_barcode_video(folder / "a.mp4", 40, fps=10)
    write_barcode_video(folder / "b.avi", 30, fps=10, codec="mpeg4", options={"bf": "2"})
    save_tiny_checkpoint(folder / "model.ckpt")
    return folder


def test_the_command_writes_picture_film_and_result(folder, tmp_path):
    words = [
        str(folder / "a.mp4"),
        str(folder / "b.avi"),
        f"--weights={folder / 'model.ckpt'}",
        f"--out={tmp_path / 'o'}",
    ]
    assert main(["roi", *words, "--size=64", "--num_frames=6", "--first_start=1.5"]) == 0
    result = json.loads((tmp_path / "o" / "result.json").read_text())["results"]
    assert [clip["start_s"] for clip in result["clips"]] == pytest.approx([1.5, 1.2])
    assert -1 <= result["motion_similarity"] <= 1
    assert "not when" in result["worth"]
    picture = matplotlib.image.imread(tmp_path / "o" / "roi.png")
    assert min(picture.shape[:2]) > 500
    with open_video(tmp_path / "o" / "roi.mp4") as film:
        assert (film.height, film.width) == (2 * 224, 3 * 224)
        assert len(film) % 6 == 0
        assert len(film) / film.fps >= 3


def test_clips_start_where_asked_and_repeat_the_last_frame(folder):
    clip = read_clip(folder / "a.mp4", ClipShape(4, 3, 32), start_s=3.4)
    with open_video(folder / "a.mp4") as video:
        whole = video.frames_at([34, 37, 39, 39])
    assert [read_barcode(frame) for frame in whole] == [34, 37, 39, 39]
    middle = whole[:, :, 40:280]  # the largest centre square of 320 x 240
    assert np.abs(clip.clip.mean(axis=(1, 2)) - middle.mean(axis=(1, 2))).max() < 2
    assert clip.shown.shape == (4, 224, 224, 3)
    assert clip.detail.shape == (4, 128, 128, 3)
    assert clip.repeated == 1
    assert read_clip(folder / "a.mp4", ClipShape(4, 3, 32)).repeated == 0


def test_maps_have_the_shape_of_the_frames_and_the_heads_cosines(folder):
    model = load_pretrained(folder / "model.ckpt")
    first, second = (read_clip(folder / name, ClipShape(6, 1, 64)) for name in ("a.mp4", "b.avi"))
    one, two = explain(model, first, second)
    assert one.motion.shape == one.appearance.shape == (224, 224)
    with torch.no_grad():
        a, b = (model.encoder(normalise(torch.from_numpy(clip.clip)[None])) for clip in (first, second))
    assert one.motion_similarity == two.motion_similarity == pytest.approx(float((a.motion * b.motion).sum()), abs=1e-6)
    assert one.appearance_similarity == pytest.approx(float((a.appearance * b.appearance).sum()), abs=1e-6)
    assert not np.allclose(one.motion, one.appearance)


def test_the_overlay_keeps_the_videos_colours_where_the_map_says_nothing():
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    heat = np.zeros((2, 8, 8), np.float32)
    assert np.array_equal(overlay(frames, heat), frames)
    heat[0, :2, :2], heat[1, 5:, 5:] = 3.0, -2.0
    shown = overlay(frames, heat)
    assert np.array_equal(shown[1], frames[1])
    assert np.array_equal(shown[0, 2:], frames[0, 2:])
    red, green, blue = shown[0, :2, :2].astype(int).mean(axis=(0, 1))
    assert red > green
    assert red > blue  # the top of the scale is red, in RGB order
    assert np.array_equal(overlay(frames, heat * 1e-6), shown)


def test_the_strip_shows_the_clips_own_colours(tmp_path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    frames[..., 0] = 200  # a red clip; swapped channels would make it blue
    draw_strip(tmp_path / "s.png", [("a", frames, {"motion": np.zeros((3, 16, 16), np.float32)})], title="t")
    picture = matplotlib.image.imread(tmp_path / "s.png")[..., :3]
    reddish = (np.abs(picture - np.array([200 / 255, 0, 0])).max(axis=2) < 0.02).mean()
    assert reddish > 0.3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "b.avi", "--first_start=9"], "cannot start at 9.0 s, the video ends at 3.90 s"),
        (["a.mp4", "none.mp4"], "none.mp4"),
        (["a.mp4", "b.avi", "--second_start=-1"], "--second_start -1.0: must not be negative"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert main(["roi", "--weights=model.ckpt", *words, f"--out={tmp_path / 'o'}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
