"""Embedding videos: the command's files and the public `Embedder`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.clips_on_disk import write_videos

import rspnet
from rspnet.cli import main
from rspnet.core.files import sha256_of
from rspnet.data.annotations import read_folder
from rspnet.data.augment import normalise
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.video_clips import VideoClips
from rspnet.engine import runtime
from rspnet.engine.checkpoint import save_checkpoint


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
    return main(["embed", str(checkpoint), *more, *options])


def test_video_features_are_means_of_pooled_feature_maps(checkpoint: Path, videos: Path) -> None:
    """A twin that runs the backbone by hand, one clip at a time."""
    records = read_folder(videos)
    vectors = rspnet.Embedder(checkpoint, num_clips=3, precision="fp32").embed([record.path for record in records])
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
    assert rspnet.Embedder(checkpoint).embed([]).shape == (0, 256)
    with pytest.raises(rspnet.ConfigError, match=r"a list of paths, not one path: embed\(\['a\.mp4'\]\)"):
        rspnet.Embedder(checkpoint).embed("a.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_clips": 0}, "num_clips 0: must be at least 1"),
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
    with np.load(out / "features.npz") as saved:
        assert saved["features"].shape == (4, 256)
        np.testing.assert_allclose(np.linalg.norm(saved["motion"], axis=1), 1, rtol=1e-5)
        assert saved["name"].tolist() == [record.name for record in read_folder(videos)]
    result = json.loads((out / "result.json").read_text())
    assert result["protocol"]["weights_sha256"] == sha256_of(checkpoint)
    assert (result["protocol"]["num_frames"], result["protocol"]["size"]) == (4, 32)
    assert result["results"] == {"videos": 4, "skipped": 0, "vectors": 4, "file": "features.npz"}
    assert (out / "config.yaml").exists()


def test_parquet_holds_the_same_clip_vectors_as_npz(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    for kind in ("npz", "parquet"):
        assert embed(checkpoint, str(videos), "--out", str(tmp_path / kind), "--format", kind, "--level", "clip") == 0
    table = pq.read_table(tmp_path / "parquet" / "features.parquet")
    with np.load(tmp_path / "npz" / "features.npz") as saved:
        assert table.num_rows == 12
        np.testing.assert_array_equal(np.stack(table["features"].to_numpy()), saved["features"])
        assert table["first_frame"].to_pylist() == saved["first_frame"].tolist()
        assert saved["last_frame"][:3].tolist() == [3, 9, 15]


def test_unreadable_videos_are_named_and_left_out(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    good = str(read_folder(videos)[0].path)
    assert embed(checkpoint, good, str(broken), "--out", str(tmp_path / "some")) == 0
    assert "broken.mp4" in (tmp_path / "some" / "skipped.csv").read_text()
    assert "1 videos, 1 skipped" in capsys.readouterr().err
    assert embed(checkpoint, str(broken), "--out", str(tmp_path / "none")) == 2
    error = capsys.readouterr().err
    assert (
        f"none of 1 videos could be read: see '{tmp_path}/none/skipped.csv'; the first was '{broken}': not a" in error
    )
    assert embed(checkpoint, good, str(tmp_path / "gone.mp4"), "--out", str(tmp_path / "missing")) == 2
    assert f"video '{tmp_path}/gone.mp4' does not exist" in capsys.readouterr().err
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
    assert embed(checkpoint, "A", "B", "./A", "L", "B/../A/bad.mp4", "--out=out") == 0
    results = json.loads((tmp_path / "out" / "result.json").read_text())["results"]
    assert (results["videos"], results["skipped"]) == (2 * count, 2)
    rows = (tmp_path / "out" / "skipped.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["name", "A/bad.mp4", "B/bad.mp4"]
    names = np.load(tmp_path / "out" / "features.npz")["name"].tolist()
    assert len(set(names)) == 2 * count


def test_an_exported_folder_embeds_as_its_checkpoint(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    exported = tmp_path / "exported"
    assert main(["export", str(checkpoint), f"--out={exported}"]) == 0
    good = str(read_folder(videos)[0].path)
    for name, model in (("checkpoint", checkpoint), ("folder", exported)):
        assert embed(model, good, "--out", str(tmp_path / name)) == 0
    with np.load(tmp_path / "checkpoint" / "features.npz") as one, np.load(tmp_path / "folder" / "features.npz") as two:
        for column in ("features", "appearance", "motion"):
            np.testing.assert_array_equal(one[column], two[column])
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
    of_network = runtime.multiply_adds(network, (3, 4, 32, 32))
    assert set_to == [max(1, round(16 * of_network / (of_network + runtime._WORK_OF_LOADING)))] == [1]
    embedder = rspnet.Embedder(checkpoint, num_frames=64, size=224, device="cpu")
    embedder.share_cores(None)
    assert (set_to[-1], embedder.num_workers) == (15, 4)  # readers get a quarter of the cores at least
    embedder.share_cores(3)
    assert embedder.num_workers == 3
