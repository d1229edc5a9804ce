"""`rspnet predict` into files: whole videos, and windows on a time line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.clips_on_disk import TINY_FINETUNE, listed, write_listed_videos

from rspnet.cli import main
from rspnet.data.annotations import read_folder
from rspnet.data.augment import normalise
from rspnet.features.event_labels import read_labels
from rspnet.runs.classifiers import open_classifier
from rspnet.video.reader import View, open_video

OPTIONS = ["--num_workers=0", "--precision=fp32", "--device=cpu"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_listed_videos(tmp_path_factory.mktemp("set"), label=lambda place, _: "even" if place % 2 else "odd")


@pytest.fixture(scope="module")
def trained(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    assert main(["finetune", *listed(videos), f"--out={out}", *TINY_FINETUNE, "--max_steps=2"]) == 0
    return out


def test_every_kind_of_file_holds_the_same_chances(trained: Path, videos: Path, tmp_path: Path) -> None:
    tables = {}
    for kind in ("csv", "json", "parquet"):
        path = tmp_path / f"classes.{kind}"
        assert main(["predict", f"--weights={trained}", str(videos), f"--out={path}", *OPTIONS]) == 0
        if kind == "csv":
            tables[kind] = list(csv.DictReader(path.read_text().splitlines()))
        else:
            tables[kind] = json.loads(path.read_text()) if kind == "json" else pq.read_table(path).to_pylist()
    assert [row["name"] for row in tables["parquet"]] == [record.name for record in read_folder(videos)]
    for row in tables["parquet"]:
        assert row["p_odd"] + row["p_even"] == pytest.approx(1, abs=1e-5)
        assert row["class"] == ("odd" if row["p_odd"] > row["p_even"] else "even")
    for kind in ("csv", "json"):
        for row, other in zip(tables[kind], tables["parquet"], strict=True):
            assert (row["path"], row["class"]) == (other["path"], other["class"])
            assert float(row["p_odd"]) == pytest.approx(other["p_odd"], abs=1e-6)


def test_windows_are_judged_by_their_own_frames(trained: Path, videos: Path, tmp_path: Path) -> None:
    """A twin that reads the four middle frames of a window and runs the network by hand."""
    out = tmp_path / "timeline"
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    words = ["predict", f"--weights={trained}", str(videos), str(tmp_path / "broken.mp4"), f"--out={out}"]
    assert main([*words, "--window_s=0.4", "--hop_s=0.1", *OPTIONS]) == 0
    rows = pq.read_table(out / "windows.parquet").to_pylist()
    model = open_classifier(str(trained)).model
    classes = open_classifier(str(trained)).class_names
    for row in (rows[1], rows[-1]):
        with open_video(row["path"]) as video:
            inside = np.flatnonzero((video.times >= row["start_s"] - 1e-6) & (video.times < row["end_s"] - 1e-6))
            start = int(inside[0]) + max(0, int(np.floor(len(inside) / 2 - 2)))
            frames = np.minimum(np.arange(start, start + 4), inside[-1]).tolist()
            side = min(video.height, video.width)
            box = ((video.height - side) // 2, (video.width - side) // 2, side, side)
            (clip,) = video.read_views([View(frames, box=box, size=(32, 32))])
        with torch.no_grad():
            chances = model(normalise(torch.as_tensor(clip)[None])).softmax(dim=1)[0]
        for name, chance in zip(classes, chances.tolist(), strict=True):
            assert row[f"p_{name}"] == pytest.approx(chance, abs=1e-4)
    stamp = json.loads((out / "result.json").read_text())["protocol"]
    assert (stamp["num_clips"], stamp["num_crops"]) == (1, 1)
    result = json.loads((out / "result.json").read_text())["results"]
    assert (result["videos"], result["skipped"], result["windows"]) == (24, 1, len(rows))
    events = read_labels(out / "events.csv")
    assert result["events"] == len(events) > 0
    assert len(list((out / "subtitles").rglob("*.vtt"))) == 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--window_s=2"], "--window_s: name a run folder with --out"),
        (["--hop_s=2", "--out=x.csv"], "--hop_s 2.0: must be above 0 and at most --window_s"),
        (["--window_s=2", "--out=x", "--num_clips=3"], "--num_clips: is for whole videos, a window is one clip"),
        (["--out=x.txt"], "--out x.txt: must end in .csv, .json or .parquet"),
    ],
)
def test_what_makes_no_sense_is_refused(trained: Path, videos: Path, capsys, options, message) -> None:
    assert main(["predict", f"--weights={trained}", str(videos), *options]) == 2
    assert message in capsys.readouterr().err
