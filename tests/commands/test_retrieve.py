"""`rspnet retrieve` against plain NumPy, its protocols, and its cache."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import listed, write_listed_videos
from helpers.tiny_model import save_tiny_checkpoint
from reference.whitening_reference import cosines

from rspnet.cli import main
from rspnet.commands.retrieve import TrainingView, VideoSet, drop_incomplete_batch, per_class_rows, score, summary
from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.synthetic.procedural import read_set
from rspnet.data.video_clips import VideoClips
from rspnet.features.embedder import Embedder
from rspnet.features.feature_cache import FeatureCache

HUMAN_MOTION = Path(__file__).resolve().parents[3] / "shared" / "data" / "human-motion"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """24 labelled videos (18 to train, 6 to test), their list, and a checkpoint."""
    root = write_listed_videos(tmp_path_factory.mktemp("set"))
    save_tiny_checkpoint(root / "model.ckpt")
    return root


def run(root: Path, out: Path, *options: str, code: int = 0) -> dict:
    words = [str(root / "model.ckpt"), *listed(root)]
    fixed = [f"--out={out}", f"--cache={out.parent / 'cache'}", "--num_workers=0", "--num_clips=2", "--precision=fp32"]
    assert main(["retrieve", *words, *fixed, *options]) == code
    return json.loads((out / "result.json").read_text()) if code == 0 else {}


def by_split(root: Path, split: str) -> list:
    return [record for record in read_set(root) if record.clip.split == split]


@pytest.mark.parametrize(
    ("protocol", "pooling", "descriptor"), [("ours", "average", "mean_std_change"), ("paper", "max", "mean")]
)
def test_scores_equal_a_plain_numpy_ranking(videos, tmp_path, protocol, pooling, descriptor):
    result = run(videos, tmp_path / "run", f"--protocol={protocol}")
    assert result["protocol"]["pooling"] == pooling
    assert result["protocol"]["descriptor"] == descriptor
    embedder = Embedder(videos / "model.ckpt", num_clips=2, pooling=pooling, descriptor=descriptor, precision="fp32")
    train, test = by_split(videos, "train"), by_split(videos, "test")
    gallery, queries = (embedder.embed([r.path for r in part]).astype(np.float64) for part in (train, test))
    if descriptor != "mean":
        similarity = cosines(gallery, queries)
    else:
        gallery, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (gallery, queries))
        similarity = queries @ gallery.T
    assert result["protocol"]["comparison"] == ("cosine" if descriptor == "mean" else "whitened cosine")
    order = np.argsort(-similarity, axis=1, kind="stable")
    right = np.array([[train[i].clip.motion == q.clip.motion for i in row] for q, row in zip(test, order, strict=True)])
    for k in (1, 5, 10):
        assert result["results"][f"recall@{k}"]["value"] == pytest.approx(right[:, :k].any(axis=1).mean())
    precisions = [np.mean([(i + 1) / (p + 1) for i, p in enumerate(np.flatnonzero(row))]) for row in right]
    assert result["results"]["mAP"]["value"] == pytest.approx(np.mean(precisions))
    assert "recall@20" not in result["results"]  # the gallery has 18 videos
    rows = list(csv.DictReader((tmp_path / "run" / "per_class.csv").read_text().splitlines()))
    assert sum(int(row["queries"]) for row in rows) == 6
    for row in rows:
        chosen = [q.clip.motion == row["class"] for q in test]
        assert float(row["recall@5"]) == pytest.approx(right[chosen, :5].any(axis=1).mean(), abs=1e-6)


def test_features_come_from_the_cache_until_something_changes(videos, tmp_path):
    first = run(videos, tmp_path / "a")
    assert first["results"]["features_from_cache"] == 0
    again = run(videos, tmp_path / "b")
    assert again["results"]["features_from_cache"] == 24
    assert again["results"]["recall@1"] == first["results"]["recall@1"]
    assert run(videos, tmp_path / "c", "--pooling=max")["results"]["features_from_cache"] == 0
    path = by_split(videos, "train")[0].path
    os.utime(path, ns=(1, 1))
    assert run(videos, tmp_path / "d")["results"]["features_from_cache"] == 24
    content = path.read_bytes()
    path.write_bytes(content + bytes(8))
    assert run(videos, tmp_path / "e")["results"]["features_from_cache"] == 23
    path.write_bytes(content)


def test_the_official_protocol_drops_a_batch_and_crops_the_gallery(videos, tmp_path):
    official = run(videos, tmp_path / "run", "--protocol=official", "--official_batch=5")
    assert official["results"]["gallery_videos"] == 15
    assert official["results"]["queries"] == 6
    assert official["protocol"]["gallery_view"] == "training"
    assert official["protocol"]["pooling"] == "average"
    cropped = run(videos, tmp_path / "all", "--protocol=official", "--official_batch=18")["results"]
    centred = run(videos, tmp_path / "ours")["results"]
    assert cropped["gallery_videos"] == centred["gallery_videos"] == 18
    assert cropped["mAP"] != centred["mAP"]
    with pytest.raises(RSPNetError, match="drops the incomplete last batch of 5, and the gallery has only 3 videos"):
        drop_incomplete_batch([VideoRecord(Path("a"), "a")] * 3, 5)


def test_crops_that_go_by_a_videos_name_are_kept_by_it(videos, tmp_path):
    official = ("--protocol=official", "--official_batch=18")
    named = tmp_path / "named.csv"
    paths = [(r.path, r.clip.motion, r.clip.split) for r in read_set(videos)]
    named.write_text("path,label,split\n" + "".join(f"{path},{label},{split}\n" for path, label, split in paths))
    words = ["retrieve", str(named), f"--weights={videos / 'model.ckpt'}", "--num_workers=0", "--num_clips=2"]
    words += ["--precision=fp32", *official]
    run(videos, tmp_path / "a", *official)  # the same files by other names, into the cache
    found = []
    for out, cache in (("b", "cache"), ("c", "another")):
        assert main([*words, f"--out={tmp_path / out}", f"--cache={tmp_path / cache}"]) == 0
        found.append(json.loads((tmp_path / out / "result.json").read_text())["results"])
    assert found[0]["features_from_cache"] == 6  # of the test videos, which are not cropped
    assert found[1]["features_from_cache"] == 0
    assert found[0]["mAP"] == found[1]["mAP"]


def test_the_training_view_is_random_by_seed_name_and_clip_only(videos):
    records = [VideoRecord(r.path, r.clip.name, 0) for r in by_split(videos, "train")[:2]]
    even = EvenClips(ClipShape(num_frames=4, stride_frames=1, size=16), num_clips=2)
    one, same, other = (VideoClips(records, TrainingView(even, seed))[0].clips for seed in (0, 0, 1))
    assert one.shape == (2, 4, 16, 16, 3)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_hand_made_scores_have_hand_made_figures():
    def video_set(vectors, labels):
        records = [VideoRecord(Path(f"{i}"), f"{i}", label, f"c{label}") for i, label in enumerate(labels)]
        return VideoSet(records, torch.tensor(vectors, dtype=torch.float32))

    # Query 0 ranks 1 (wrong), 0 (right), 2 (right): AP = (1/2 + 2/3) / 2. Query 1, class 7, has nothing to find.
    scores = score(video_set([[1, 0.2], [0, 1]], [3, 7]), video_set([[1, 0], [1, 0.3], [0, 1]], [3, 4, 3]))
    assert scores.hits[1].tolist() == [False, False]
    assert list(scores.hits) == [1]
    assert scores.average_precision[0] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert np.isnan(scores.average_precision[1])
    assert summary(scores, seed=0)["mAP"]["value"] == pytest.approx(7 / 24)  # a miss, as to recall
    rows = per_class_rows(scores, {3: "c3", 7: "c7"})
    assert rows[0] == {"class": "c3", "queries": 1, "recall@1": 0.0, "mAP": round(7 / 12, 6)}
    assert rows[1]["mAP"] == ""


def test_the_cache_goes_by_content_and_a_damaged_file_is_made_again(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"x")
    cache = FeatureCache(tmp_path / "cache", tensors_sha256="w", view={"size": 32})
    assert cache.get(video) is None
    cache.put(video, np.arange(3, dtype=np.float32))
    assert cache.get(video).tolist() == [0, 1, 2]
    assert FeatureCache(tmp_path / "cache", tensors_sha256="v", view={"size": 32}).get(video) is None
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(b"x")
    assert cache.get(copy).tolist() == [0, 1, 2]
    copy.write_bytes(b"y")
    assert cache.get(copy) is None
    (file,) = cache.folder.rglob("*.npy")
    file.write_bytes(file.read_bytes()[:70])
    assert cache.get(video) is None
    video.unlink()
    assert cache.get(video) is None


def test_unreadable_videos_are_named_and_left_out(videos, tmp_path, capsys):
    lines = (videos / "labels.csv").read_text().splitlines()
    for name in ("broken.mp4", "broken2.mp4"):
        (videos / name).write_bytes(b"no video")
    (videos / "with_broken.csv").write_text("\n".join([*lines, "broken.mp4,zoom,train"]))
    result = run(videos, tmp_path / "run", f"--data.list={videos / 'with_broken.csv'}")
    assert result["results"]["skipped"] == 1
    assert result["results"]["gallery_videos"] == 18
    assert "broken.mp4" in (tmp_path / "run" / "skipped.csv").read_text()
    (videos / "only_broken.csv").write_text(
        "path,label,split\nbroken.mp4,zoom,train\nbroken2.mp4,pan,train\n" + lines[-1].rsplit(",", 1)[0] + ",test"
    )
    run(videos, tmp_path / "none", f"--data.list={videos / 'only_broken.csv'}", code=2)
    assert "none of the 2 training videos could be read" in capsys.readouterr().err


@pytest.mark.skipif(not HUMAN_MOTION.is_dir(), reason=f"no {HUMAN_MOTION}")
def test_a_published_layout_with_a_few_videos(tmp_path):
    root = tmp_path / "ucf"
    (root / "ucfTrainTestlist").mkdir(parents=True)
    (root / "UCF-101").symlink_to(HUMAN_MOTION / "UCF-101", target_is_directory=True)
    lists = HUMAN_MOTION / "ucfTrainTestlist"
    (root / "ucfTrainTestlist" / "classInd.txt").write_text((lists / "classInd.txt").read_text())
    for name, step in (("trainlist01.txt", 120), ("testlist01.txt", 90)):
        kept = (lists / name).read_text().splitlines()[::step]
        (root / "ucfTrainTestlist" / name).write_text("\n".join(kept))
    save_tiny_checkpoint(root / "model.ckpt")
    words = [f"--data.root={root}", "--num_workers=0", "--num_clips=1", f"--cache={tmp_path / 'c'}"]
    assert main(["retrieve", f"--weights={root / 'model.ckpt'}", *words, f"--out={tmp_path / 'run'}"]) == 0
    counts = json.loads((tmp_path / "run" / "result.json").read_text())["results"]
    assert (counts["gallery_videos"], counts["queries"], counts["skipped"]) == (8, 4, 0)
