"""Judged sets: their folds, what is decoded once, and the scores of a judge whose answers are known."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.videos import write_barcode_video
from torch import Tensor

from rspnet.core.errors import RSPNetError
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.video_clips import VideoClips
from rspnet.features.embedder import Embedder
from rspnet.lab.study import judge as judge_module
from rspnet.lab.study import judged as judged_module
from rspnet.lab.study.judge import Judge
from rspnet.lab.study.judged import JudgedSet, JudgedSpec, JudgedVideos, energy_of, read_judged
from rspnet.lab.study.row_scores import TaskScores, ridge_hits
from rspnet.lab.study.sets import StudySet, Task
from rspnet.lab.study.spec import StudyView
from rspnet.pretext.rspnet import RSPNet

GROUPED = JudgedSpec(label="label", folder="own", groups="who")


def write_table(root: Path, rows: list[str]) -> None:
    (root / "own").mkdir()
    (root / "own" / "clips.csv").write_text("\n".join(["path,label,who,split", *rows]) + "\n")


class Brightness:
    """Stands in for an embedder: the features of a clip are its first values."""

    num_frames, stride, size, fps, num_clips, batch_size = 4, 1, 32, None, 2, 3

    def clips(self, records: list[VideoRecord]) -> VideoClips:
        return VideoClips(records, EvenClips(ClipShape(4, 1, 32), 2))

    def encode(self, clips: Tensor) -> tuple[Any, None, None]:
        assert clips.dtype == torch.uint8
        return clips[:, :, 0, :8, 0].flatten(1).float().numpy(), None, None


def test_every_group_is_left_out_once_and_without_groups_the_split_counts(tmp_path: Path) -> None:
    write_table(tmp_path, ["a.avi,run,ann,train", "b.avi,sit,bob,train", "c.avi,sit,ann,test", "d.avi,run,eve,test"])
    found = read_judged(GROUPED, tmp_path, drawn_to=tmp_path)
    assert found.labels.tolist() == [0, 1, 1, 0]
    assert found.classes == 2
    assert found.records[2] == VideoRecord(tmp_path / "own" / "c.avi", "c.avi")
    assert [(train.tolist(), test.tolist()) for train, test in found.folds] == [
        ([1, 3], [0, 2]), ([0, 2, 3], [1]), ([0, 1, 2], [3]),
    ]  # fmt: skip
    split = read_judged(JudgedSpec(label="label", folder="own"), tmp_path, drawn_to=tmp_path)
    assert [(train.tolist(), test.tolist()) for train, test in split.folds] == [([0, 1], [2, 3])]


def test_sets_without_a_part_or_a_column_or_a_place_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, ["a.avi,run,ann,train", "b.avi,sit,ann,train"])
    with pytest.raises(RSPNetError, match="column who leaves nothing to train on, or to test"):
        read_judged(GROUPED, tmp_path, drawn_to=tmp_path)
    with pytest.raises(RSPNetError, match="no column 'kind'"):
        read_judged(JudgedSpec(label="kind", folder="own"), tmp_path, drawn_to=tmp_path)
    with pytest.raises(RSPNetError, match="either a folder or a number of drawn videos"):
        JudgedSpec(label="label")


def test_drawn_sets_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = judged_module.plan_clips
    monkeypatch.setattr(judged_module, "plan_clips", lambda **settings: plan(**settings, num_frames=4, size=32))
    spec = JudgedSpec(label="motion", drawn=6)
    found = read_judged(spec, tmp_path, drawn_to=tmp_path / "drawn")
    assert [(len(train), len(test)) for train, test in found.folds] == [(4, 2)]
    assert all(record.path.exists() for record in found.records)
    monkeypatch.setattr(judged_module, "write_set", lambda *_: pytest.fail("drawn again"))
    assert read_judged(spec, tmp_path, drawn_to=tmp_path / "drawn").labels.tolist() == found.labels.tolist()


def test_every_fold_is_asked_of_the_others_only() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1])
    vectors = np.eye(2, dtype=np.float32)[labels] + np.arange(8, dtype=np.float32)[:, None] / 100
    vectors[6] = vectors[7]  # the last fold's first video looks like the other class
    folds = [(np.array([0, 1, 2, 3]), np.array([6, 7])), (np.array([0, 1, 6, 7]), np.array([3, 2]))]
    hits = ridge_hits(vectors, labels, folds, descriptor="mean")
    assert hits["recall1"].tolist() == [True, True, False, True]  # of videos 2, 3, 6, 7
    assert hits["linear"].shape == (4,)


def test_clips_are_decoded_once_for_all_rows_of_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = []
    for number in range(3):
        write_barcode_video(tmp_path / f"{number}.avi", 12, size=(32, 32), codec="mpeg4")
        records.append(VideoRecord(tmp_path / f"{number}.avi", f"{number}.avi"))
    seen, embedder = JudgedVideos(), Brightness()
    first = seen.features(embedder, "own", records)  # type: ignore[arg-type]
    direct = [embedder.encode(sample.clips)[0] for sample in map(embedder.clips(records).__getitem__, range(3))]  # type: ignore[arg-type]
    np.testing.assert_array_equal(first, np.stack(direct))
    energies = seen.energies("own", records)
    assert energies.shape == (3, 1, 3 * 24 * 24)
    for name in ("read_clips", "open_video"):
        monkeypatch.setattr(judged_module, name, lambda *_, **__: pytest.fail("decoded again"))
    np.testing.assert_array_equal(seen.features(embedder, "own", records), first)  # type: ignore[arg-type]
    np.testing.assert_array_equal(seen.energies("own", records), energies)


def test_a_video_that_cannot_be_read_ends_the_study(tmp_path: Path) -> None:
    (tmp_path / "bad.avi").write_bytes(b"nothing")
    with pytest.raises(RSPNetError, match=r"bad\.avi: .*a study needs all its videos"):
        JudgedVideos().features(Brightness(), "own", [VideoRecord(tmp_path / "bad.avi", "bad.avi")])  # type: ignore[arg-type]


def test_energy_by_hand() -> None:
    frames = np.zeros((7, 24, 24, 3), np.uint8)
    frames[1, 2, 3] = 6  # on once, then off: two changes of 6 in the first two of six differences
    found = energy_of(frames).reshape(3, 24, 24)
    assert found[0, 2, 3] == 6
    assert found.sum() == 6


def test_a_judge_scores_the_own_tasks_and_the_judged_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies that hold the class, of a set whose test videos have one class that training lacks."""
    records = [VideoRecord(Path(f"{k}.avi"), f"{k}.avi") for k in range(24)]
    labels = np.arange(24) % 3
    task = Task(("a", "b", "c"), labels[:15], np.where(np.arange(9) == 4, -1, labels[15:]))
    videos = StudySet(records[:15], records[15:], np.arange(15) < 6, {"action": task})
    folds = [(np.flatnonzero(np.arange(24) % 4 != k), np.flatnonzero(np.arange(24) % 4 == k)) for k in range(4)]
    judge = Judge(
        StudyView(classifier="ridge", descriptor="mean_std"), videos, {"far": JudgedSet(records, labels, 3, folds)}
    )
    energy = {record.path: np.eye(4, dtype=np.float32)[label] for record, label in zip(records, labels, strict=True)}
    monkeypatch.setattr(judged_module, "motion_energy", energy.__getitem__)
    features, found = judge(None, seed=0)
    assert judge.classes == {"action": 3, "far": 3}
    assert features["train"].shape == (15, 1, 4)
    assert (len(found["action"].hits["linear"]), len(found["far"].hits["linear"])) == (8, 24)
    assert all(value == 1 for part in found.values() for value in part.scores.values())
    assert set(found["far"].scores) == {"linear", "recall1", "linear_whole", "recall1_whole"}
    assert asdict(judge.view)["classifier"] == "ridge"


@pytest.mark.parametrize("stream", ["motion", "both"])
@pytest.mark.parametrize("descriptor", ["mean_std", "mean_std_change"])
def test_a_judge_describes_a_video_as_an_embedder_does(
    stream: Any, descriptor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default descriptor joins what of early stages belongs to the motion stream."""
    network = RSPNet("two_stream_slim", queue_size=1, num_frames=4, size=16).eval()
    embedder = Embedder(network, num_clips=2, descriptor=descriptor, stream=stream)
    clips = torch.from_numpy(numpy_rng("clips").integers(0, 256, (6, 4, 16, 16, 3), np.uint8))
    features = embedder.encode(clips)[0].reshape(3, 2, -1)
    monkeypatch.setattr(JudgedVideos, "features", lambda *_: features)
    seen = []

    def noted(train: Any, *_: Any, **__: Any) -> TaskScores:
        seen.append(train)
        return TaskScores({}, {})

    monkeypatch.setattr(judge_module, "ridge_scores", noted)
    monkeypatch.setattr(Judge, "_add_whole", lambda *_: None)
    task = Task(("a",), np.zeros(3, np.int64), np.zeros(3, np.int64))
    videos = StudySet([], [], np.zeros(3, bool), {"action": task})
    Judge(StudyView(classifier="ridge", descriptor=descriptor, stream=stream), videos, {})(embedder, seed=0)
    np.testing.assert_array_equal(seen[0], np.stack([embedder.describe(video) for video in features]))
