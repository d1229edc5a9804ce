"""Crops, sizes and flips in one pass equal whole frames, cropped and resized by a slow twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.videos import write_barcode_video

from rspnet.core.errors import RSPNetError
from rspnet.video.reader import View, open_video


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_barcode_video(tmp_path_factory.mktemp("v") / "small.mp4", 24, options={"bf": "3"})


def area_twin(frames: np.ndarray, view: View) -> np.ndarray:
    """Crop, then a triangle-filter resize by two explicit weight matrices in float64."""
    top, left, height, width = view.box or (0, 0, *frames.shape[1:3])
    crop = frames[:, top : top + height, left : left + width].astype(np.float64)
    out_height, out_width = view.size or (height, width)
    result = np.einsum("ya,nabc,xb->nyxc", weights(height, out_height), crop, weights(width, out_width), optimize=True)
    return result[:, :, ::-1] if view.flip else result


def weights(length: int, out: int) -> np.ndarray:
    scale = length / out
    support = max(scale, 1.0)
    centres = (np.arange(out)[:, None] + 0.5) * scale - 0.5
    matrix = np.maximum(0.0, 1.0 - np.abs(np.arange(length)[None] - centres) / support)
    return matrix / matrix.sum(axis=1, keepdims=True)


VIEWS = [
    View([3, 1, 1, 20]),
    View([0, 5, 10], box=(7, 11, 101, 133), size=(56, 48)),
    View([5, 6, 7, 8], box=(0, 0, 240, 320), size=(112, 112), flip=True),
    View([5], box=(40, 50, 30, 40), size=(64, 96)),
    View([2, 2], box=(1, 3, 8, 6), flip=True),
]


def test_views_equal_crop_and_resize(small: Path) -> None:
    with open_video(small) as video:
        clips = video.read_views(VIEWS)
        for view, clip in zip(VIEWS, clips, strict=True):
            expected = area_twin(video.frames_at(view.indices), view)
            assert clip.dtype == np.uint8
            assert clip.flags.c_contiguous
            assert clip.shape == expected.shape
            # Two roundings to whole levels (one per direction of the resize) plus torch's fixed-point weights.
            assert np.abs(clip - expected).max() <= 1.5


def test_frames_are_converted_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_video(small) as video:
        count = 0
        real = video._converter.rgb

        def counting(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            return real(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(video._converter, "rgb", counting)
        video.read_views([View([3, 4, 4], size=(8, 8)), View([4, 9], size=(9, 9))])
        assert count == 3


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
def test_large_pictures_by_the_filter_graph(tmp_path: Path, rotation: int, pix_fmt: str) -> None:
    path = write_barcode_video(
        tmp_path / "large.mp4", 6, size=(960, 720), rotation=rotation, pix_fmt=pix_fmt, options={"preset": "ultrafast"}
    )
    # The graph resizes before it converts colours and has its own rounding (1 level); at an odd offset its chroma is
    # half a pixel aside, which shows on this texture of 8-pixel blocks in random colours.
    for box, mean, most in (((100, 202, 446, 392), 2, 6), ((101, 203, 445, 391), 5, 25)):
        view = View([5, 0, 2], box=box, size=(112, 96), flip=True)
        with open_video(path) as video:
            clip = video.read_views([view])[0]
            expected = area_twin(video.frames_at(view.indices), view)
        difference = np.abs(clip - expected)
        assert difference.mean() < mean
        assert np.quantile(difference, 0.99) < most


def test_tall_upscaling_keeps_threads_alone(small: Path) -> None:
    threads = torch.get_num_threads()
    with open_video(small) as video:
        assert video.read_views([View([0], size=(480, 640))])[0].shape == (1, 480, 640, 3)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (View([0], box=(0, 0, 241, 10)), "must lie inside the 240x320 picture"),
        (View([0], box=(-1, 0, 10, 10)), "must lie inside"),
        (View([0], box=(0, 0, 0, 10)), "must lie inside"),
        (View([0], size=(0, 5)), "must be positive"),
    ],
)
def test_senseless_views_are_refused(small: Path, view: View, rule: str) -> None:
    with open_video(small) as video, pytest.raises(RSPNetError, match=rule):
        video.read_views([view])
