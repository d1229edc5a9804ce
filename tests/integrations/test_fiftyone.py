"""The bridge to FiftyOne, on samples as FiftyOne has them: the program itself needs a MongoDB server."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.clips_on_disk import write_videos

from rspnet.core.errors import RSPNetError
from rspnet.integrations import fiftyone as bridge
from rspnet.video.reader import open_video


class Sample(dict[str, Any]):
    def __init__(self, filepath: Path) -> None:
        super().__init__(events=None)
        self.filepath = str(filepath)


class Samples(list[Sample]):
    name = "mine"

    def iter_samples(self, *, autosave: bool) -> Iterator[Sample]:
        assert autosave
        return iter(self)


@pytest.fixture
def dataset(tmp_path: Path) -> Samples:
    write_videos(tmp_path / "videos", count=3)
    return Samples(Sample(path) for path in sorted((tmp_path / "videos").rglob("*.*")) if path.suffix == ".mp4")


@pytest.fixture(autouse=True)
def labels(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fiftyone")
    module.TemporalDetection = SimpleNamespace  # type: ignore[attr-defined]
    module.TemporalDetections = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", module)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_a_video_gets_the_mean_of_its_windows(dataset: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [dataset[0].filepath, dataset[0].filepath, dataset[1].filepath, "/elsewhere.mp4"]
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = SimpleNamespace(table=pa.table({"path": paths}), features=vectors, motion=vectors[:, :0])
    monkeypatch.setattr(bridge, "read_features", lambda _: found)
    assert bridge.add_features(dataset, "features") == 2
    assert dataset[0]["rspnet"].tolist() == [1.0, 2.0]
    assert dataset[1]["rspnet"].tolist() == [4.0, 5.0]
    with pytest.raises(RSPNetError, match="unknown kind 'look'"):
        bridge.add_features(dataset, "features", kind="look")
    with pytest.raises(RSPNetError, match="no vectors 'motion'"):
        bridge.add_features(dataset, "features", kind="motion")
    with pytest.raises(RSPNetError, match="no video of dataset 'mine'"):
        bridge.add_features(Samples(), "features")


def test_events_go_in_as_frames_and_come_out_as_labels(dataset: Samples, tmp_path: Path) -> None:
    with open_video(dataset[0].filepath) as video:
        step, last = 1 / video.fps, len(video)
    rows = [
        [dataset[0].filepath, "walk", 0.0, 3 * step, 0.9],
        [f"videos/{Path(dataset[1].filepath).relative_to(tmp_path / 'videos')}", "bow", 2 * step, 99.0, ""],
        [dataset[0].filepath, "late", 50.0, 51.0, 0.5],  # after the end: no frame shows it
    ]
    with (tmp_path / "events.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["path", "label", "start_s", "end_s", "probability"], *rows])
    assert bridge.add_events(dataset, tmp_path / "events.csv") == 2
    (walk,), (bow,) = (sample["events"].detections for sample in dataset[:2])
    assert (walk.label, walk.support, walk.confidence) == ("walk", [1, 3], 0.9)
    assert (bow.label, bow.support, bow.confidence) == ("bow", [3, last], None)
    assert bridge.write_labels(dataset, tmp_path / "labels.csv", field="events") == 2
    written = rows_of(tmp_path / "labels.csv")
    assert [(row["label"], row["path"]) for row in written] == [
        ("walk", dataset[0].filepath),
        ("bow", dataset[1].filepath),
    ]
    assert float(written[0]["start_s"]) == 0
    assert float(written[0]["end_s"]) == pytest.approx(3 * step, abs=1e-6)
    assert float(written[1]["end_s"]) == pytest.approx(last * step, abs=1e-6)
    dataset[0]["kind"] = SimpleNamespace(label="outdoors")
    assert bridge.write_labels(Samples(dataset[:1]), tmp_path / "whole.csv", field="kind") == 1
    assert rows_of(tmp_path / "whole.csv")[0]["end_s"] == ""


@pytest.mark.parametrize(
    ("path", "probability", "message"),
    [
        ("/elsewhere/a.mp4", "0.9", r"events .*events\.csv' have no video of dataset 'mine'"),
        (None, "high", r"events\.csv' line 2: probability 'high': must be a number"),
    ],
)
def test_events_that_cannot_be_added_change_no_video(
    dataset: Samples, tmp_path: Path, path: str | None, probability: str, message: str
) -> None:
    for sample in dataset:
        sample["events"] = "corrected by hand"
    row = f"{path or dataset[0].filepath},bow,0,1,{probability}"
    (tmp_path / "events.csv").write_text(f"path,label,start_s,end_s,probability\n{row}\n")
    with pytest.raises(RSPNetError, match=message):
        bridge.add_events(dataset, tmp_path / "events.csv")
    assert {sample["events"] for sample in dataset} == {"corrected by hand"}
