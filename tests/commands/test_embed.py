"""Embedding videos: the command's files and the public `Embedder`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.clips_on_disk import write_videos
from helpers.tiny_model import save_tiny_checkpoint

import rspnet
from rspnet.cli import main
from rspnet.core.files import sha256_of
from rspnet.data.annotations import read_folder
from rspnet.data.augment import normalise
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.video_clips import VideoClips
from rspnet.engine import runtime
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.engine.multiply_adds import multiply_adds
from rspnet.features.store import FeatureWriter
from rspnet.video.reader import View


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), count=4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = rspnet.RSPNet("r3d_10_slim", queue_size=8, num_frames=4, size=32)
    path = tmp_path_factory.mktemp("model") / "last.ckpt"
    save_checkpoint(path, {"model": model.state_dict(), "model_config": model.config})
    return path


def embed(checkpoint: Path, *more: str) -> int:
    options = ["--num_clips", "3", "--num_workers", "0", "--precision", "fp32"]
    return main(["embed", f"--weights={checkpoint}", *options, *more])


def test_video_features_are_means_of_pooled_feature_maps(checkpoint: Path, videos: Path) -> None:
    """A twin that runs the backbone by hand, one clip at a time."""
    records = read_folder(videos)
    embedder = rspnet.Embedder(checkpoint, num_clips=3, descriptor="mean", precision="fp32")
    vectors = embedder.embed([record.path for record in records])
    model = rspnet.load_pretrained(checkpoint)
    samples = VideoClips(records, EvenClips(ClipShape(4, 1, 32), num_clips=3))
    for row, sample in zip(vectors, (samples[i] for i in range(len(records))), strict=True):
        with torch.no_grad():
            maps = [model.backbone.forward_features(normalise(clip[None])) for clip in sample.clips]
        by_hand = torch.stack([one.double().mean(dim=(0, 2, 3, 4)) for one in maps]).mean(dim=0)
        np.testing.assert_allclose(row, by_hand.numpy(), rtol=1e-4, atol=1e-5)
    assert vectors.shape == (4, model.backbone.num_features)


def test_embedder_does_not_depend_on_batching_or_workers(checkpoint: Path, videos: Path) -> None:
    paths = [record.path for record in read_folder(videos)]
    base = rspnet.Embedder(checkpoint, num_clips=3, precision="fp32").embed(paths)
    other = rspnet.Embedder(checkpoint, num_clips=3, precision="fp32", batch_size=2, num_workers=1).embed(paths)
    np.testing.assert_allclose(base, other, rtol=1e-5, atol=1e-6)


def test_embedder_names_a_video_it_cannot_read(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.raises(rspnet.DecodeError, match=r"broken\.mp4"):
        rspnet.Embedder(checkpoint, num_clips=1).embed([broken])
    assert rspnet.Embedder(checkpoint).embed([]).shape == (0, 768)
    with pytest.raises(rspnet.ConfigError, match=r"a list of paths, not one path: embed\(\['a\.mp4'\]\)"):
        rspnet.Embedder(checkpoint).embed("a.mp4")


def test_embedder_goes_on_past_a_video_it_cannot_read(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    first, last = (record.path for record in read_folder(videos)[:2])
    embedder = rspnet.Embedder(checkpoint, num_clips=2, precision="fp32")
    found = embedder.embed([first, broken, str(last)], on_error="skip")
    assert found.paths == [str(first), str(last)]
    assert [skip.name for skip in found.skipped] == [str(broken)]
    np.testing.assert_array_equal(found.features, embedder.embed([first, last]))
    for name in ("motion", "appearance"):  # unit vectors of the mean of the clips' head vectors
        heads = [getattr(result, name).mean(axis=0) for result in embedder.stream(read_folder(videos)[:2])]
        unit = np.stack([head / np.linalg.norm(head) for head in heads])
        np.testing.assert_allclose(getattr(found, name), unit, rtol=1e-5, atol=1e-6)
    nothing = embedder.embed([broken], on_error="skip")
    assert (nothing.features.shape, nothing.motion.shape, nothing.appearance.shape) == ((0, 768), (0, 128), (0, 128))
    with pytest.raises(rspnet.ConfigError, match="unknown on_error 'ignore'; choose one of raise, skip"):
        embedder.embed([first], on_error="ignore")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "num_clips 0: must be at least 1"),
        ({"num_clips": 2.5}, "num_clips 2.5: must be a whole number"),
        ({"num_clips": "3"}, "num_clips '3': must be a whole number"),
        ({"num_frames": 0}, "num_frames 0: must be at least 2"),
        ({"size": -3}, "size -3: must be at least 1"),
        ({"batch_size": 0}, "batch_size 0: must be at least 1"),
        ({"num_workers": -1}, "num_workers -1: must be at least 0"),
        ({"pooling": "mean"}, "unknown pooling 'mean'; choose one of average, max"),
        ({"precision": "int8"}, "unknown precision 'int8'; choose one of auto, bf16, fp32, fp16"),
        ({"device": "tpu"}, "unknown device 'tpu'; choose one of auto, cpu, cuda"),
    ],
)
def test_embedder_refuses_what_it_cannot_do(checkpoint: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(rspnet.ConfigError, match=message):
        rspnet.Embedder(checkpoint, **options)


def test_command_writes_vectors_config_and_result(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    assert embed(checkpoint, str(videos), "--out", str(out)) == 0
    found = rspnet.read_features(out)
    records = read_folder(videos)
    by_hand = rspnet.Embedder(checkpoint, num_clips=3, precision="fp32").embed([record.path for record in records])
    np.testing.assert_allclose(found.features, by_hand, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.motion, axis=1), 1, rtol=1e-5)
    assert found.table["name"].to_pylist() == [record.name for record in records]
    assert found.table["content"].to_pylist() == [sha256_of(record.path) for record in records]
    result = json.loads((out / "result.json").read_text())
    assert result["protocol"]["weights_sha256"] == sha256_of(checkpoint)
    assert (result["protocol"]["num_frames"], result["protocol"]["size"]) == (4, 32)
    counts = {"videos": 4, "new": 4, "unchanged": 0, "dropped": 0, "skipped": 0, "vectors": 4}
    assert result["results"] == counts | {"file": "features.parquet"}
    assert (out / "config.yaml").exists()


def test_npz_holds_the_same_clip_vectors_as_parquet(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "npz"
    assert embed(checkpoint, str(videos), "--out", str(out), "--format", "npz", "--level", "clip") == 0
    table = pq.read_table(out / "features.parquet")
    with np.load(out / "features.npz", allow_pickle=False) as saved:
        assert table.num_rows == 12
        for column in ("features", "appearance", "motion"):
            np.testing.assert_array_equal(np.stack(table[column].to_numpy()), saved[column])
        assert table["path"].to_pylist() == saved["path"].tolist()
        assert table["first_frame"].to_pylist() == saved["first_frame"].tolist()
        assert saved["last_frame"][:3].tolist() == [3, 9, 15]
        np.testing.assert_allclose(saved["start_s"][:3] * saved["fps"][:3], [0, 6, 12], atol=1e-6)
        np.testing.assert_allclose(saved["end_s"][:3] * saved["fps"][:3], [4, 10, 16], atol=1e-6)


def test_windows_have_their_times_and_vectors(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    """A twin that reads the frames each window names and runs the backbone by hand."""
    out = tmp_path / "windows"
    options = ["--window_s=0.2", "--hop_s=0.1", "--num_clips=1", "--dtype=float16"]
    assert embed(checkpoint, str(videos), "--out", str(out), *options) == 0
    found = rspnet.read_features(out)
    model = rspnet.load_pretrained(checkpoint)
    assert found.features.dtype == np.float16
    for row in found.table.select(["path", "start_s", "end_s", "first_frame", "last_frame", "window"]).to_pylist():
        with rspnet.open_video(row["path"]) as video:
            assert row["start_s"] == pytest.approx(0.1 * row["window"])
            assert row["end_s"] <= len(video) / video.fps + 1e-6
            inside = np.flatnonzero((video.times >= row["start_s"] - 1e-6) & (video.times < row["end_s"] - 1e-6))
            assert inside[0] <= row["first_frame"] <= row["last_frame"] <= inside[-1]
    row = found.table.slice(1, 1).to_pylist()[0]
    with rspnet.open_video(row["path"]) as video:
        frames = np.arange(row["first_frame"], row["last_frame"] + 1)
        assert len(frames) == 4
        side = min(video.height, video.width)
        box = ((video.height - side) // 2, (video.width - side) // 2, side, side)
        (clip,) = video.read_views([View(frames.tolist(), box=box, size=(32, 32))])
    with torch.no_grad():
        by_hand = model.backbone.forward_features(normalise(torch.as_tensor(clip)[None])).mean(dim=(2, 3, 4))[0]
    np.testing.assert_allclose(found.features[1].astype(np.float32), by_hand.numpy(), rtol=2e-3, atol=2e-3)


def table_of(folder: Path) -> Any:
    """All rows but the times of change."""
    return rspnet.read_features(folder).table.drop_columns(["mtime_ns"])


def test_only_new_and_changed_videos_are_done_again(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, out = tmp_path / "own", tmp_path / "out"
    shutil.copytree(videos, own)
    words = [str(own), "--out", str(out), "--window_s=0.2"]
    assert embed(checkpoint, *words) == 0
    first = table_of(out)
    assert embed(checkpoint, *words) == 0
    assert "0 videos, 4 unchanged, 0 skipped" in capsys.readouterr().err
    one, two, three, _ = (record.path for record in read_folder(own))
    two.write_bytes(one.read_bytes())
    three.touch()
    shutil.copy(one, own / "zz.mp4")
    assert embed(checkpoint, *words) == 0
    assert "2 videos, 3 unchanged, 0 skipped" in capsys.readouterr().err
    second = table_of(out)
    contents = dict(zip(second["path"].to_pylist(), second["content"].to_pylist(), strict=True))
    assert contents[str(two)] == contents[str(one)] == sha256_of(one)
    (own / "zz.mp4").unlink()
    assert embed(checkpoint, *words) == 0
    assert str(own / "zz.mp4") in table_of(out)["path"].to_pylist()
    capsys.readouterr()
    assert embed(checkpoint, *words, "--drop_gone=true") == 0
    assert "0 videos, 4 unchanged, 0 skipped, 1 forgotten" in capsys.readouterr().err
    shutil.copy(videos / two.relative_to(own), two)
    assert embed(checkpoint, *words) == 0
    assert table_of(out).equals(first)


def test_other_weights_and_views_are_refused_by_name(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(videos), "--out", str(tmp_path / "out")]
    assert embed(checkpoint, *words, "--window_s=0.2") == 0
    before = table_of(tmp_path / "out")
    other = save_tiny_checkpoint(tmp_path / "other.ckpt")
    for model, options, message in (
        (checkpoint, ["--window_s=0.3"], "was made with hop_s 0.1, not 0.15"),
        (checkpoint, ["--window_s=0.2", "--fps=12"], "was made with fps None, not 12"),
        (checkpoint, ["--window_s=0.2", "--dtype=float16"], "was made with dtype float32, not float16"),
        (checkpoint, ["--window_s=0.2", "--num_clips=2"], "was made with num_clips 3, not 2"),
        (checkpoint, [], "was made with hop_s 0.1, not None"),
        (other, ["--window_s=0.2"], "was made with weights_sha256"),
    ):
        assert embed(model, *words, *options) == 2
        assert message in capsys.readouterr().err
    assert table_of(tmp_path / "out").equals(before)


def test_a_dry_run_says_what_it_costs_and_writes_nothing(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed(checkpoint, str(videos), "--out", str(tmp_path / "out"), "--window_s=0.2", "--dry_run") == 0
    said = capsys.readouterr().out
    assert re.search(r"4 videos to do, 0 unchanged, 0 to forget: about \d+ s on the CPU", said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_flushes_and_the_next_run_goes_on_to_the_same_table(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch, workers: int
) -> None:
    words = [str(videos), "--window_s=0.05", f"--num_workers={workers}"]
    assert embed(checkpoint, *words, "--out", str(tmp_path / "straight")) == 0
    own, left = FeatureWriter.add, [2]

    def stopped(self: FeatureWriter, *arguments: Any, **options: Any) -> None:
        own(self, *arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(FeatureWriter, "add", stopped)
    capsys.readouterr()
    assert embed(checkpoint, *words, "--out", str(tmp_path / "stopped")) == 130
    assert "run it again to go on" in capsys.readouterr().err
    assert 0 < len(rspnet.read_features(tmp_path / "stopped")) < len(rspnet.read_features(tmp_path / "straight"))
    assert not (tmp_path / "stopped" / "result.json").exists()
    assert embed(checkpoint, *words, "--out", str(tmp_path / "stopped")) == 0
    assert table_of(tmp_path / "stopped").equals(table_of(tmp_path / "straight"))


def test_unreadable_videos_are_named_and_left_out(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    good = str(read_folder(videos)[0].path)
    assert embed(checkpoint, good, str(broken), "--out", str(tmp_path / "some")) == 0
    assert "broken.mp4" in (tmp_path / "some" / "skipped.csv").read_text()
    assert "1 video, 0 unchanged, 1 skipped" in capsys.readouterr().err
    assert embed(checkpoint, str(broken), "--out", str(tmp_path / "none")) == 2
    error = capsys.readouterr().err
    assert f"none of 1 video could be read: see '{tmp_path}/none/skipped.csv'; the first was '{broken}': not a" in error
    assert embed(checkpoint, good, str(tmp_path / "gone.mp4"), "--out", str(tmp_path / "missing")) == 2
    assert f"'{tmp_path}/gone.mp4' does not exist: name a video" in capsys.readouterr().err
    assert not (tmp_path / "missing").exists()


def test_equal_names_in_two_folders_and_one_folder_by_three_names(
    checkpoint: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("A", "B"):
        shutil.copytree(videos, tmp_path / folder)
        (tmp_path / folder / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "L").symlink_to(tmp_path / "A")
    monkeypatch.chdir(tmp_path)
    count = len(read_folder(videos))
    assert embed(checkpoint, "A", "B", "./A", "L", "B/../A/bad.mp4", "--out=out", "--format=npz") == 0
    results = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
    assert (results["videos"], results["skipped"]) == (2 * count, 2)
    rows = (tmp_path / "out" / "skipped.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["name", "A/bad.mp4", "B/bad.mp4"]
    names = rspnet.read_features(tmp_path / "out").table["name"].to_pylist()
    assert len(set(names)) == 2 * count


def test_an_exported_folder_embeds_as_its_checkpoint(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    exported = tmp_path / "exported"
    assert main(["export", str(checkpoint), f"--out={exported}"]) == 0
    good = str(read_folder(videos)[0].path)
    for name, model in (("checkpoint", checkpoint), ("folder", exported)):
        assert embed(model, good, "--out", str(tmp_path / name)) == 0
    one, two = (rspnet.read_features(tmp_path / name) for name in ("checkpoint", "folder"))
    for column in ("features", "appearance", "motion"):
        np.testing.assert_array_equal(getattr(one, column), getattr(two, column))
    stamp = json.loads((tmp_path / "folder" / "result.json").read_text())["protocol"]
    assert stamp["weights_sha256"] == sha256_of(exported / "model.safetensors")


def test_the_cores_are_shared_by_network_and_readers_as_in_pre_training(
    checkpoint: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the work that a clip is to both: this network takes less than reading does."""
    set_to: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(runtime, "available_cores", lambda: 16)
    assert embed(checkpoint, str(videos), "--out", str(tmp_path / "run")) == 0
    network = rspnet.load_pretrained(checkpoint).backbone
    of_network = multiply_adds(network, (3, 4, 32, 32))
    assert set_to == [max(1, round(16 * of_network / (of_network + runtime._WORK_OF_LOADING)))] == [1]
    embedder = rspnet.Embedder(checkpoint, num_frames=64, size=224, device="cpu")
    embedder.share_cores(None)
    assert (set_to[-1], embedder.num_workers) == (15, 4)  # readers get a quarter of the cores at least
    embedder.share_cores(3)
    assert embedder.num_workers == 3


def test_the_descriptor_of_a_row_is_that_of_its_clips(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    words = [str(videos), "--window_s=0.4", "--num_clips=3", "--hop_s=0.2"]
    assert embed(checkpoint, *words, "--out", str(tmp_path / "both")) == 0
    assert embed(checkpoint, *words, "--out", str(tmp_path / "mean"), "--descriptor=mean") == 0
    both, mean = (rspnet.read_features(tmp_path / name).features for name in ("both", "mean"))
    length = np.linalg.norm(mean, axis=1, keepdims=True) ** 0.5
    np.testing.assert_allclose(both[:, :256], mean / length, rtol=1e-5)  # and their deviation and change
    assert both.shape[1] == 768
    assert both[:, 256:].std(axis=1).min() > 0
    assert embed(checkpoint, str(videos), "--level", "clip", "--descriptor=mean_std") == 2
