"""The training bench trains the same model on the same frames both ways."""

from pathlib import Path

import pytest
import torch
from helpers.videos import write_barcode_video

from rspnet.config.tools import BenchConfig
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.data.annotations import read_folder
from rspnet.data.batches import make_views
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import PairReader
from rspnet.data.presets import AugmentPreset
from rspnet.data.sampler import PairSampler
from rspnet.lab.bench.bench_train import PlainReader
from rspnet.lab.bench.run_bench import run_bench


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for name in ("a.mp4", "b.mp4"):
        write_barcode_video(root / name, 50, gop=16)
    return root


def test_both_routes_show_the_same_clips(folder: Path) -> None:
    """Frame by frame: nearer to each other than to the frame two steps on (ours resizes with antialiasing)."""
    preset = AugmentPreset(grayscale_p=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    dataset = ClipPairDataset(read_folder(folder), num_frames=16, speeds=(2,), size=112, preset=preset, seed=3)
    requests = next(iter(PairSampler(2, batch_size=2, seed=3, speeds=(2,), total_steps=1)))
    plain = PlainReader(dataset)(requests)
    batch = PairReader(dataset)((requests, {}))
    ours = make_views(batch)
    for expected, found in zip(plain, ours, strict=True):
        assert expected.shape == found.shape == (2, 3, 16, 112, 112)
        for frame in range(14):
            gap = (expected[:, :, frame] - found[:, :, frame]).abs().mean()
            assert gap < (expected[:, :, frame] - found[:, :, frame + 2]).abs().mean()


def test_a_video_without_a_window_is_named(folder: Path) -> None:
    preset = AugmentPreset()
    dataset = ClipPairDataset(read_folder(folder), num_frames=40, speeds=(2,), size=32, preset=preset, seed=3)
    requests = next(iter(PairSampler(2, batch_size=2, seed=3, speeds=(2,), total_steps=1)))
    with pytest.raises(RSPNetError, match=r"[ab]\.mp4': "):
        PlainReader(dataset)(requests)


def test_rows(folder: Path) -> None:
    threads = torch.get_num_threads()
    config = BenchConfig(name="train", backbone="r3d_10_slim", batch_size=2, repeats=1, videos=[str(folder)])
    result = run_bench(config)
    plain, ours = result["rows"]
    assert (plain["route"], ours["route"]) == ("plain", "ours")
    assert result["speedup"] == pytest.approx(ours["clips_per_s"] / plain["clips_per_s"])
    assert 0 < ours["data_share"] < 1
    assert abs(plain["last_loss"] - ours["last_loss"]) < 2
    assert torch.get_num_threads() == threads


def test_what_is_needed(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--videos FOLDER"):
        BenchConfig(name="train")
    with pytest.raises(RSPNetError, match="2 videos: fewer than --batch_size 4"):
        run_bench(BenchConfig(name="train", backbone="r3d_10_slim", videos=[str(folder)]))
