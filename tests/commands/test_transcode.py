"""Transcoded videos hold the same frames at the same times, and a stopped call goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.clips_on_disk import write_labelled_videos
from helpers.videos import read_barcode, write_barcode_video

from rspnet.cli import main
from rspnet.commands.transcode import transcode
from rspnet.config.transcode import TranscodeConfig
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.data.annotations import read_folder, read_list
from rspnet.data.labelled.read_labelled import read_labelled
from rspnet.video import transcode as transcode_module
from rspnet.video.reader import open_video
from rspnet.video.transcode import transcode_video
from rspnet.video.writer import write_video

FRAMES = 40
STAMPS = [index + 4 * (index // 7) for index in range(FRAMES)]
SETTINGS = {"short_side": 120, "key_every": 16, "crf": 20}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "a class").mkdir(parents=True)
    (folder / "other").mkdir()
    write_barcode_video(folder / "a class" / "bframes.avi", FRAMES, codec="mpeg4", options={"bf": "2"})
    write_barcode_video(folder / "other" / "vfr.mkv", FRAMES, times=STAMPS, options={"bf": "3"}, gop=100)
    write_barcode_video(folder / "other" / "small.mp4", FRAMES, size=(64, 49), codec="mpeg4")
    (folder / "other" / "broken.mp4").write_bytes(b"no video")
    (folder / "list.csv").write_text("path,label\na class/bframes.avi,0\nother/vfr.mkv,1\n")
    return folder


def test_a_folder(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "target"
    arguments = ["transcode", str(source), str(target), "--short-side", "120", "--num-workers", "2"]
    assert main(arguments) == 1  # one of them is no video
    assert "3 videos, 1 skipped" in capsys.readouterr().err
    assert (target / ".transcode" / "skipped.csv").read_text().splitlines()[1].startswith("other/broken.mp4,")
    assert [record.name for record in read_folder(target)] == [
        "a class/bframes.avi",
        "other/small.mp4",
        "other/vfr.mkv",
    ]
    assert [record.label for record in read_list(target / "list.csv")] == [0, 1]
    for record in read_list(target / "list.csv"):
        with open_video(source / record.name) as before, open_video(record.path) as after:
            assert (after.height, after.width) == (120, 160)
            assert [
                read_barcode(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in after.frames_at(range(FRAMES))
            ] == [*range(FRAMES)]
            np.testing.assert_allclose(after.times, before.times, atol=1e-3)
            table = after._table
            assert max(np.diff([n for n, packet in enumerate(table.packets) if packet.is_key])) <= 16
    with open_video(target / "other" / "small.mp4") as small:
        assert (small.height, small.width) == (48, 64)
    results = json.loads((target / ".transcode" / "result.json").read_text())["results"]
    assert (results["videos"], results["written_now"], results["skipped"]) == (3, 3, 1)
    assert results["bytes_after"] == sum(record.path.stat().st_size for record in read_folder(target))
    assert results["window_ms_after"] > 0

    # Again: only what changed or is missing; a line that a killed call was writing does no harm.
    with (target / ".transcode" / "done.jsonl").open("a") as notes:
        notes.write('{"key": "broken off\n')
    (target / "other" / "small.mp4").unlink()
    os.utime(source / "a class" / "bframes.avi", ns=(1, 1))
    stamp = (target / "other" / "vfr.mkv").stat().st_mtime_ns
    assert main(arguments) == 1
    results = json.loads((target / ".transcode" / "result.json").read_text())["results"]
    assert (results["videos"], results["written_now"]) == (3, 2)
    assert (target / "other" / "vfr.mkv").stat().st_mtime_ns == stamp


def test_a_dry_run_says_what_it_costs_and_writes_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["transcode", str(source), "--out", str(tmp_path / "target"), "--num_workers=1", "--dry_run"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert told.startswith("4 videos to do, 0 done, of 4 tried 1 would be skipped ('other/broken.mp4': ")
    assert re.search(r": about \d+ s on the CPU \(\d+ cores?\), 4 videos, \d+ kB$", told.strip())
    assert not (tmp_path / "target").exists()


def test_only_the_start_of_a_video_is_written_where_that_is_asked_for(source: Path, tmp_path: Path) -> None:
    path = source / "a class" / "bframes.avi"
    part = transcode_video(path, tmp_path / "part.mp4", **SETTINGS, most_frames=10)
    assert (part.frames, part.bytes_before) == (10, round(path.stat().st_size / 4))
    assert part.bytes_after == (tmp_path / "part.mp4").stat().st_size
    with open_video(tmp_path / "part.mp4") as start:
        frames = start.frames_at(range(len(start)))
        assert [read_barcode(np.repeat(np.repeat(frame, 2, 0), 2, 1)) for frame in frames] == [*range(10)]


def test_annotation_lists_of_data_sets_stay_usable(tmp_path: Path) -> None:
    source, target = tmp_path / "ucf101", tmp_path / "small"
    lists = source / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Bow\n")
    (lists / "trainlist01.txt").write_text("Bow/v_Bow_g01_c01.avi 1\nBow/v_Bow_g02_c01.avi 1\n")
    (source / "labels.json").write_text('{"Bow": "0"}')
    (source / "UCF-101" / "Bow").mkdir(parents=True)
    for group in (1, 2):
        path = source / "UCF-101" / "Bow" / f"v_Bow_g0{group}_c01.avi"
        write_barcode_video(path, 6, size=(64, 48), codec="mpeg4", options={"bf": "2"})
    assert main(["transcode", str(source), str(target), "--num-workers", "1"]) == 0
    assert (target / "labels.json").read_text() == '{"Bow": "0"}'
    before = read_labelled("ucf101", source, split="train")
    # Whoever renames the files to what they are is found as well.
    renamed = target / "UCF-101" / "Bow" / "v_Bow_g02_c01.avi"
    renamed.rename(renamed.with_suffix(".mp4"))
    after = read_labelled("ucf101", target, split="train")
    assert [(record.label, record.path.stem) for record in after] == [
        (record.label, record.path.stem) for record in before
    ]
    for record in after:
        with open_video(record.path) as video:
            assert video._context.name == "h264"
            assert [read_barcode(frame) for frame in video.frames_at(range(6))] == [*range(6)]


def test_a_failed_check_leaves_no_file(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = transcode_module._pictures

    def shifted(video: object, size: tuple[int, int], count: int) -> object:
        pictures = list(real(video, size, count))  # type: ignore[arg-type]
        return iter(pictures[1:] + pictures[:1] if size == (120, 160) else pictures)

    monkeypatch.setattr(transcode_module, "_pictures", shifted)
    with pytest.raises(RSPNetError, match=r"another picture at frame 0"):
        transcode_video(source / "a class" / "bframes.avi", tmp_path / "out.mp4", **SETTINGS)
    assert not list(tmp_path.glob("*out*"))


def test_copies_whose_videos_are_gone_are_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["transcode", str(source), str(tmp_path / "out"), "--num_workers=1", "--short_side=120"]
    assert main(words) == 1
    assert "no readable video any more" not in capsys.readouterr().err
    (source / "other" / "small.mp4").unlink()
    assert main(words) == 1
    assert "no readable video any more for 1 copy in" in (error := capsys.readouterr().err)
    assert "'other/small.mp4'" in error
    other = tmp_path / "more"
    other.mkdir()
    shutil.copy(source / "a class" / "bframes.avi", other / "another.avi")
    assert main(["transcode", str(other), str(tmp_path / "out"), "--num_workers=1", "--short_side=120"]) == 0
    assert "no readable video any more" not in capsys.readouterr().err  # the copies of the first folder have theirs


def test_files_of_others_are_not_replaced(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    (out / "other").mkdir(parents=True)
    (out / "other" / "vfr.mkv").write_bytes(b"my own")
    assert main(["transcode", str(source), str(out), "--num_workers=1"]) == 2
    assert "holds other files: name a new folder" in capsys.readouterr().err
    assert [path.read_bytes() for path in out.rglob("*.*")] == [b"my own"]


def test_copies_that_are_smaller_than_what_the_pictures_show_pass_the_check(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cells = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    write_video(tmp_path / "in" / "a.mp4", cells.repeat(8, axis=1).repeat(8, axis=2), fps=25)
    assert main(["transcode", str(tmp_path / "in"), str(tmp_path / "out"), "--short_side=16", "--num_workers=1"]) == 0


def test_equal_stamps_move_on_by_a_tick() -> None:
    stamps = np.array([0, 3000, 3000, 3000, 6000])
    assert transcode_module._ascending(stamps).tolist() == [0, 3000, 3001, 3002, 6000]


def test_rotation_is_applied(tmp_path: Path) -> None:
    path = write_barcode_video(tmp_path / "turned.mp4", 8, rotation=90)
    transcode_video(path, tmp_path / "straight.mp4", **{**SETTINGS, "short_side": 240})
    with open_video(path) as before, open_video(tmp_path / "straight.mp4") as after:
        assert (after.height, after.width) == (before.height, before.width) == (320, 240)
        assert np.abs(after.frames_at([5]).astype(int) - before.frames_at([5])).mean() < 8


@pytest.mark.parametrize(("target", "how"), [("source", "is"), ("source/inside", "lies in"), (".", "holds")])
def test_overlapping_folders_are_refused(
    source: Path, target: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ([], ["--dry_run"]):
        assert main(["transcode", str(source), f"--out={tmp_path / target}", *options]) == 2
        assert f"{str(tmp_path / target)!r} {how} the folder of the videos" in capsys.readouterr().err
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=f"{how} the folder of the videos"):  # from Python, too
        transcode(TranscodeConfig(str(source), out=str(tmp_path / target)))
    assert sorted(tmp_path.rglob("*")) == before


_CODED = """
import hashlib, sys
from pathlib import Path
from rspnet.video.transcode import transcode_video
transcode_video(sys.argv[1], sys.argv[2], short_side=32, key_every=16, crf=20)
print(hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_equal_frames_become_equal_files_whatever_lies_in_memory(tmp_path: Path) -> None:
    for number, record in enumerate(read_folder(write_labelled_videos(tmp_path, count=3))):
        found = set()
        for fill in ("0", "1", "170"):  # what malloc hands out begins with this byte
            words = [sys.executable, "-c", _CODED, str(record.path), str(tmp_path / f"{number}-{fill}.mp4")]
            environment = {**os.environ, "MALLOC_PERTURB_": fill}
            found.add(subprocess.run(words, env=environment, check=True, capture_output=True).stdout)
        assert len(found) == 1, record.name
