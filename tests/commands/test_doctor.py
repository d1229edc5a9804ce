"""Every finding has a file that causes it, and a sound file causes none."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from helpers.videos import barcode_picture, write_barcode_video, write_video

from rspnet.cli import main
from rspnet.commands import doctor as doctor_module
from rspnet.config.choice import Circumstances, choose_settings
from rspnet.config.doctor import DoctorConfig
from rspnet.core.errors import RSPNetError
from rspnet.core.workers import Death
from rspnet.data import reading
from rspnet.data.annotations import read_folder, read_list
from rspnet.data.checks.inspect_all import inspect_all
from rspnet.data.checks.inspection import Inspector, Report
from rspnet.data.sampler import PairRequest
from rspnet.recipes import recipe_path
from rspnet.runs import machine
from rspnet.runs.machine import recommended
from rspnet.runs.pretraining_data import PretrainingClips, pair_dataset
from rspnet.video.reader import open_video

SIZE = (64, 64)
FRAMES = 40


def noisy(shown: list[int]) -> list[np.ndarray]:
    return [barcode_picture(index, size=SIZE) for index in shown]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dirty")

    def write(name: str, **options: object) -> Path:
        return write_barcode_video(root / name, FRAMES, size=SIZE, **options)  # type: ignore[arg-type]

    write("good.mp4")
    (root / "empty.mp4").touch()
    (root / "text.avi").write_text("no video\n" * 50)
    write_barcode_video(root / "short.mp4", 10, size=SIZE)
    write("cut.mp4")
    data = (root / "cut.mp4").read_bytes()
    (root / "cut.mp4").write_bytes(data[: len(data) * 2 // 3])
    damaged = bytearray(write("damaged.avi", codec="mpeg4", gop=100).read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 800] = np.random.default_rng(0).bytes(800)
    (root / "damaged.avi").write_bytes(damaged)
    write("vfr.mp4", times=[index + 5 * (index // 4) for index in range(FRAMES)])
    write("lost.mp4", gop=100, times=[index + 3 * (index >= 35) for index in range(FRAMES)])
    write_video(root / "doubled.mp4", noisy([index // 2 for index in range(FRAMES)]), options={"bf": "0"})
    write_video(root / "stutter.mp4", noisy([index - index // 10 for index in range(FRAMES)]), options={"bf": "0"})
    write_video(root / "still.mp4", noisy([3] * FRAMES))
    (root / "a-copy.mp4").write_bytes((root / "good.mp4").read_bytes())
    write("turned.mp4", rotation=90)
    write("deep.mkv", codec="ffv1", pix_fmt="yuv444p10le")
    write("fields.mpg", codec="mpeg2video", options={"flags": "+ildct+ilme", "top": "1"})
    return root


EXPECTED = {
    "good.mp4": {"duplicate"},  # of a-copy.mp4, which comes first
    "a-copy.mp4": set(),
    "empty.mp4": {"unreadable"},
    "text.avi": {"unreadable"},
    "short.mp4": {"short"},
    "cut.mp4": {"cut-off", "unreadable"},
    "damaged.avi": {"damaged"},
    "vfr.mp4": {"uneven"},
    "lost.mp4": {"uneven"},
    "doubled.mp4": {"repeated"},
    "stutter.mp4": {"repeated"},
    "still.mp4": {"static"},
    "turned.mp4": {"rotated"},
    "deep.mkv": {"pixel-format"},
    "fields.mpg": {"interlaced"},
}
USABLE = {"a-copy.mp4", "lost.mp4", "stutter.mp4", "turned.mp4", "deep.mkv", "fields.mpg"}


def rows_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(report.read_text().splitlines()))


def test_every_finding(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, listed = tmp_path / "out", tmp_path / "usable.csv"
    arguments = ["doctor", str(videos), "--out", str(out), "--write-list", str(listed), "--num-workers", "2"]
    assert main(arguments) == 1
    rows = rows_of(out / "report.csv")
    found = {name: {row["finding"] for row in rows if row["name"] == name} - {""} for name in EXPECTED}
    details = {row["name"]: row["detail"] for row in rows}
    assert found == EXPECTED, details
    assert {Path(row["path"]).name for row in rows_of(listed)} == USABLE
    assert {record.path for record in read_list(listed)} == {videos / name for name in USABLE}
    result = json.loads((out / "result.json").read_text())["results"]
    assert result["videos"] == len(EXPECTED)
    assert result["usable"] == len(USABLE)
    assert result["findings"]["unreadable"] == 3
    reports = [Report.from_dict(values) for values in json.loads((out / "report.json").read_text())]
    assert {report.name: report.is_usable for report in reports} == {name: name in USABLE for name in EXPECTED}
    assert details["short.mp4"] == "10 frames, a window needs 32"
    assert details["turned.mp4"] == "90 degrees counter-clockwise"
    printed = capsys.readouterr().out
    assert f"{len(USABLE)} of {len(EXPECTED)} videos usable" in printed
    assert "exit code 1, because there are findings" in " ".join(printed.split())
    assert "stutter.mp4" in printed

    # A second call looks at changed files only.
    before = (out / "seen.jsonl").read_text().splitlines()
    assert len(before) == len(EXPECTED)
    with (out / "seen.jsonl").open("a") as file:
        file.write('{"key": "broken off')
    os.utime(videos / "short.mp4", ns=(time.time_ns(), time.time_ns()))
    assert main(arguments) == 1
    assert rows_of(out / "report.csv") == rows
    assert (out / "seen.jsonl").read_text().count('"report"') == len(EXPECTED) + 1


def beats(moving: int, resting: int, *, frames: int) -> list[int]:
    """The pictures of a video that moves for some frames and rests for some, again and again."""
    steps = [int(place % (moving + resting) < moving) for place in range(frames)]
    return [0, *np.cumsum(steps).tolist()]


SHOWN = {
    "doubled": beats(1, 1, frames=70),
    "beats": beats(26, 10, frames=90),  # 22 % of its frames repeat, in nearly every window
    "long rest": [*range(100), *[100] * 80],  # 44 %, all in one place
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_verdict_is_that_of_pre_training(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", noisy(SHOWN[name]), codec="mjpeg", pix_fmt="yuvj420p")
    report = Inspector(num_frames=16, speeds=(2,))((path.name, str(path)))
    data = pair_dataset(PretrainingClips(size=32), read_folder(tmp_path), seed=5)
    skipped = 0
    with open_video(path) as video:
        for epoch in range(8):
            try:
                data.sample_of(video, PairRequest(0, epoch, 1, 2))
            except RSPNetError:
                skipped += 1
    assert skipped <= 2 or skipped >= 6, "a video for which the verdict is left to chance"
    assert report.is_usable == (skipped <= 2), (report.findings, skipped)


def test_the_clip_is_that_which_pre_training_chooses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of long videos a window of 64 frames is asked, for a single short one fewer; told options come first."""
    for frames, window in ((70, 64), (40, 32), (20, 16)):
        folder = tmp_path / str(frames)
        folder.mkdir()
        write_barcode_video(folder / "a.mp4", frames, size=SIZE)
        records = read_folder(folder)
        inspector = doctor_module._inspector(DoctorConfig(videos=str(folder)), records, 0)
        choice = choose_settings(Circumstances(1, frames, "cpu")).options()["data"]
        assert inspector.num_frames * max(inspector.speeds) == window == choice["num_frames"] * max(choice["speeds"])
        assert inspector.base_speed == choice.get("base_speed", 1)
    assert "16 frames at speeds 2 and 4" in capsys.readouterr().err
    told = doctor_module._inspector(DoctorConfig(videos="unread", speeds=(3,)), [], 0)
    assert told == Inspector(num_frames=16, speeds=(3,))


def test_audio_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report = Inspector(num_frames=16, speeds=(2,))(("a", str(tmp_path / "a.mp4")))
    assert [finding.kind for finding in report.findings] == ["no-video"]


def test_zero_frames(tmp_path: Path) -> None:
    write_barcode_video(tmp_path / "a.avi", 1, size=SIZE, codec="mpeg4")
    data = (tmp_path / "a.avi").read_bytes()
    at = data.index(b"movi") + 4
    (tmp_path / "a.avi").write_bytes(data[: at - 8] + (4).to_bytes(4, "little") + b"movi")
    report = Inspector(num_frames=16, speeds=(2,))(("a", str(tmp_path / "a.avi")))
    assert report.frames == 0
    assert "unreadable" in {finding.kind for finding in report.findings}
    assert not report.is_usable


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "is_named"),
    [
        ("libx264", "yuv420p", False),
        ("libx264", "yuvj420p", False),  # full range: read right, and what phones write
        ("libx264", "yuv444p", True),
        ("libx264", "yuv422p10le", True),
        ("libx265", "yuv420p10le", True),
        ("ffv1", "gray", True),
        ("ffv1", "bgr0", True),
    ],
)
def test_unusual_pixels(tmp_path: Path, codec: str, pix_fmt: str, is_named: bool) -> None:
    options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {}
    path = write_barcode_video(
        tmp_path / "a.mkv", FRAMES, size=SIZE, codec=codec, pix_fmt=pix_fmt, options=options, gop=100
    )
    report = Inspector(num_frames=16, speeds=(2,))(("a.mkv", str(path)))
    assert report.is_usable
    expected = [("pixel-format", pix_fmt)] if is_named else []
    assert [(finding.kind, finding.detail) for finding in report.findings] == expected


def test_all_is_well(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("good.mp4\n")
    arguments = ["doctor", str(tmp_path / "list.txt"), "--root", str(videos), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--num-workers", "1"]) == 0
    assert "1 of 1 video usable" in capsys.readouterr().out


def test_leakage_between_two_lists(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("good.mp4\nturned.mp4\n")
    (tmp_path / "test.txt").write_text("a-copy.mp4\nshort.mp4\n")
    train, test = str(tmp_path / "train.txt"), str(tmp_path / "test.txt")
    out = tmp_path / "out"
    arguments = ["doctor", train, "--root", str(videos), "--against", test, "--out", str(out), "--num-workers", "1"]
    assert main(arguments) == 1
    kinds = {row["name"]: row["finding"] for row in rows_of(out / "report.csv")}
    assert kinds == {"good.mp4": "leak", "turned.mp4": "rotated"}


def drifting(seed: int, *, frames: int, size: tuple[int, int] = (96, 72)) -> list[np.ndarray]:
    """A coarse random texture that drifts its own way."""
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(24, axis=0).repeat(24, axis=1)
    down, right = rng.integers(-3, 4, 2) + np.array([0, 1])
    width, height = size
    return [
        np.roll(texture, (int(down) * index, int(right) * index), axis=(0, 1))[:height, :width]
        for index in range(frames)
    ]


def test_near_duplicates_and_near_leaks(tmp_path: Path) -> None:
    """Recoded, resized and a little shorter is near; another video, or the same scene moving otherwise, is not."""
    root = tmp_path / "videos"
    root.mkdir()
    pictures = drifting(1, frames=48)
    write_video(root / "a.mp4", pictures, options={"crf": "12"})
    write_video(root / "recoded.avi", pictures, codec="mpeg4", options={"qmin": "12", "bf": "2"})
    write_video(root / "smaller.webm", [picture[::2, ::2] for picture in pictures[1:]], codec="libvpx-vp9")
    write_video(root / "backwards.mp4", pictures[::-1])
    for seed in range(2, 9):
        write_video(root / f"other{seed}.mp4", drifting(seed, frames=48))
    test = tmp_path / "test"
    test.mkdir()
    write_video(test / "held-out.mkv", drifting(4, frames=48), codec="mpeg4", options={"qmin": "9"})
    out = tmp_path / "out"
    arguments = ["doctor", str(root), "--against", str(test), "--out", str(out), "--num-workers", "2"]
    assert main(arguments) == 0
    assert main([*arguments, "--near", "0.9"]) == 1
    found = {(row["name"], row["finding"], row["detail"].split(" (")[0]) for row in rows_of(out / "report.csv")}
    found = {row for row in found if row[1]}
    assert found == {
        ("recoded.avi", "near-duplicate", "of 'a.mp4'"),
        ("smaller.webm", "near-duplicate", "of 'a.mp4'"),
        ("smaller.webm", "near-duplicate", "of 'recoded.avi'"),
        ("other4.mp4", "near-leak", "as 'held-out.mkv'"),
    }
    assert all(row["usable"] == "1" for row in rows_of(out / "report.csv"))


def test_a_crash_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, videos: Path) -> None:
    def every_task_dies(work: object, tasks: list[tuple[str, str]], **options: object) -> object:
        death = Death(note=0, signal=6, hung=False)
        return (options["after_death"](task, death).result for task in tasks)  # type: ignore[operator]

    monkeypatch.setattr(reading, "ordered_map", every_task_dies)
    records = [record for record in read_folder(videos) if record.name == "good.mp4"]
    inspector = Inspector(num_frames=16, speeds=(2,))
    (report,) = inspect_all(records, inspector, memory=tmp_path / "seen.jsonl", workers=1)
    assert [(finding.kind, finding.detail) for finding in report.findings] == [
        ("crash", "the decoder crashed (SIGABRT)")
    ]


def test_resampling_makes_variable_rates_usable(videos: Path) -> None:
    report = Inspector(num_frames=4, speeds=(2,), fps=5.0)(("vfr.mp4", str(videos / "vfr.mp4")))
    assert [finding.kind for finding in report.findings] in ([], ["uneven"])
    native = Inspector(num_frames=4, speeds=(2,))(("vfr.mp4", str(videos / "vfr.mp4")))
    assert not native.is_usable


def test_names_that_no_list_can_hold_are_told(videos: Path, tmp_path: Path) -> None:
    good = (videos / "good.mp4").read_bytes()
    odd = [b"new\nline.mp4", b"bytes\xff.mp4"]
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in [b"with space, comma.mp4", *odd]:
        (folder / os.fsdecode(name)).write_bytes(good + name)  # trailing bytes: other files, the same pictures
    listed, out = tmp_path / "usable.csv", tmp_path / "out"
    arguments = ["doctor", str(folder), "--write-list", str(listed), "--out", str(out), "--num-workers", "1"]
    assert main(arguments) == 1
    assert all(name.encode("utf-8", "backslashreplace") for name in (out / "report.csv").read_text().splitlines())
    report = json.loads((out / "report.json").read_text())
    named = {item["name"]: [finding["kind"] for finding in item["findings"]] for item in report}
    assert all("name" in named[os.fsdecode(name)] for name in odd)
    assert main(["doctor", str(folder), "--out", str(out), "--num-workers", "1"]) == 1  # no list, yet embed skips one
    report = json.loads((out / "report.json").read_text())
    named = {item["name"]: [finding["kind"] for finding in item["findings"]] for item in report}
    assert ["name" in named[os.fsdecode(name)] for name in odd] == [False, True]


@pytest.mark.parametrize("bad", [False, True])
def test_what_comes_next_names_the_folder_of_a_list(
    bad: bool, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("good.mp4\nempty.mp4\n" if bad else "good.mp4\n")
    main(["doctor", str(listed), "--root", str(videos), "--out", str(tmp_path / "out"), "--num_workers", "1"])
    printed = capsys.readouterr()
    told = " ".join((printed.out + printed.err).split())
    assert f"next: rspnet pretrain {videos} --data.list {listed} #" in told
    assert (f"next: rspnet doctor {listed} --root {videos} --write_list usable.csv #" in told) == bad
    assert (f"next: rspnet index {videos} --out library #" in told) != bad


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ([], "name a folder or list"),
        (["missing"], "does not exist"),
        ([".", "--num-workers=0"], "at least 1"),
        ([".", "--speeds=[1]"], "at least 2"),
        ([".", "--near=1.5"], "at most 1"),
    ],
)
def test_refusals(
    arguments: list[str], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *arguments]) == 2
    assert rule in capsys.readouterr().err


def test_a_list_of_usable_videos_keeps_labels_and_splits(videos: Path, tmp_path: Path) -> None:
    names = ("good.mp4", "empty.mp4", "vfr.mp4", "turned.mp4")
    rows = list(zip(names, "aabb", ("train", "test", "test", "train"), strict=True))
    listed, usable = tmp_path / "all.csv", tmp_path / "usable.csv"
    listed.write_text("split,path,label\n" + "".join(f"{split},{name},{label}\n" for name, label, split in rows))
    words = ["doctor", str(listed), f"--root={videos}", f"--out={tmp_path / 'out'}", "--num_workers=1"]
    assert main([*words, f"--write_list={usable}", "--num_frames=8"]) == 1
    found = usable.read_text().splitlines()
    assert found[0] == "path,label,split"
    assert found[1:] == [f"{videos / name},{label},{split}" for name, label, split in (rows[0], rows[3])]
    before = listed.read_text()
    assert main([*words, f"--write_list={listed}"]) == 2
    assert main([*words, f"--write_list={tmp_path / 'film.mp4'}"]) == 2
    assert listed.read_text() == before


def test_no_usable_video_writes_no_list(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match="none of 0 videos"):
        doctor_module.write_usable(tmp_path / "list.csv", [], [])


def test_system(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With steps of clips so small that the speeds mean nothing."""
    asked, measure = {}, machine.step_rate

    def small_step_rate(device: torch.device, backbone: str, **shape: Any) -> float:
        asked[backbone] = (shape["num_frames"], shape["size"])
        return measure(device, backbone, **shape | {"num_frames": 4, "size": 32, "batch_size": 2})

    monkeypatch.setattr(machine, "step_rate", small_step_rate)
    monkeypatch.setattr(machine, "_SIDE", 256)
    assert main(["doctor", "--system"]) == 0
    text = capsys.readouterr().out
    for word in (
        "torch",
        "FFmpeg",
        "h264",
        "libx264",
        "probe",
        "cores",
        "GiB",
        "bf16",
        "clips a second",
        "recommended",
    ):
        assert word in text
    assert asked == {"r3d_18": (16, 112), "two_stream_slim": (16, 48)}


def test_the_recipe_recommended_follows_from_the_speed() -> None:
    assert recommended(1000.0, 5000.0).startswith("--recipe pretrain/k400-r3d_18 (200 epochs of Kinetics-400")
    slow = recommended(4.0, 100.0)
    assert slow == "--recipe pretrain/small-cpu (20 epochs of 1,000 videos take about 3 minutes)"
    for text in (recommended(1000.0, 1.0), slow):
        assert recipe_path(text.split()[1]).is_file()
