"""A network that was trained at a rate (`--data.fps`) sees every video at that rate, whichever command shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.clips_on_disk import TINY, TINY_FINETUNE, write_labelled_videos
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.core.errors import ConfigError
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.checks.lengths import short_length
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.features.embedder import Embedder
from rspnet.features.read import read_features
from rspnet.models.weights import read_weights_file
from rspnet.pretext.pretrained import config_of_weights, load_pretrained
from rspnet.search.library_store import Store
from rspnet.video.clips import even_clips, tick_frames
from rspnet.video.reader import open_video

_RATE = 12.5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, and a network that was trained on them at half their rate."""
    root = tmp_path_factory.mktemp("rate")
    write_labelled_videos(root, count=12)
    words = [f"--out={root / 'run'}", *TINY, "--max_steps=2", f"--data.fps={_RATE}", "--data.speeds=[2]"]
    assert main(["pretrain", str(root / "set"), *words]) == 0
    return root


def stamp(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())["protocol"]
    return found


def test_frames_are_those_of_the_rate(root: Path) -> None:
    video = next((root / "set").rglob("*.mp4"))
    embedder = Embedder(str(root / "run"), num_clips=3)
    (found,) = embedder.stream([VideoRecord(video, video.name)])
    with open_video(video) as reader:
        assert reader.fps > 1.5 * _RATE
        shown = tick_frames(reader.times, _RATE)
    wanted = shown[even_clips(len(shown), num_frames=4, stride_frames=embedder.stride, num_clips=3)]
    assert (found.frames == wanted).all()
    native = even_clips(len(reader.times), num_frames=4, stride_frames=embedder.stride, num_clips=3)
    assert (found.frames != native).any()


def test_every_stamp_says_the_rate(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos, run = str(root / "set"), f"--weights={root / 'run'}"
    quick = ["--num_clips=2", "--num_workers=0", "--device=cpu"]
    labelled = ["--data.kind=folders", "--data.test_share=0.5", f"--cache={tmp_path / 'cache'}"]
    for command in ("probe", "retrieve"):
        assert main([command, videos, run, *quick, *labelled, f"--out={tmp_path / command}"]) == 0
        assert stamp(tmp_path / command)["fps"] == _RATE
    assert main(["embed", videos, run, *quick, f"--out={tmp_path / 'embed'}"]) == 0
    assert main(["embed", videos, run, *quick, f"--out={tmp_path / 'told'}", f"--fps={_RATE}"]) == 0
    assert main(["embed", videos, run, *quick, f"--out={tmp_path / 'other'}", "--fps=25"]) == 0
    own, told, other = (read_features(tmp_path / name).features for name in ("embed", "told", "other"))
    assert (own == told).all()
    assert (own != other).any()
    for command, cure in (("probe", f"--fps {_RATE}"), ("retrieve", f"--fps {_RATE}")):
        native = tmp_path / f"{command}-native"
        assert main([command, videos, run, *quick, *labelled, "--fps=0", f"--out={native}"]) == 0
        assert stamp(native)["fps"] is None
        capsys.readouterr()
        assert main(["compare", str(tmp_path / command), str(native)]) == 2
        assert cure in capsys.readouterr().err
        assert main(["compare", str(native), str(tmp_path / command)]) == 2
        assert "--fps 0)" in capsys.readouterr().err
    window = ["--window_s=0.4", "--hop_s=0.2", "--num_workers=0", "--device=cpu"]
    assert main(["index", videos, run, *window, f"--out={tmp_path / 'library'}"]) == 0
    assert Store(str(tmp_path / "library")).about.clip.fps == _RATE
    assert main(["index", videos, run, *window, "--fps=0", f"--out={tmp_path / 'library'}"]) == 2
    assert f"was made with --fps {_RATE}, not 0: keep it" in capsys.readouterr().err


def test_exports_and_classifiers_keep_it(root: Path, tmp_path: Path) -> None:
    run = root / "run"
    assert main(["export", str(run), f"--out={tmp_path / 'export'}"]) == 0
    assert load_pretrained(tmp_path / "export").fps == _RATE
    words = [
        f"--out={tmp_path / 'tuned'}",
        *TINY_FINETUNE[2:],
        "--data.kind=folders",
        "--max_steps=1",
        f"--weights={run}",
        "--clips.stride=2",
    ]
    assert main(["finetune", str(root / "set"), *words]) == 0
    assert stamp(tmp_path / "tuned")["fps"] == _RATE
    assert load_pretrained(tmp_path / "tuned").fps == _RATE
    assert main(["export", str(tmp_path / "tuned"), f"--out={tmp_path / 'classes'}"]) == 0
    own, exported = (load_pretrained(tmp_path / name).config for name in ("tuned", "classes"))
    assert exported == own
    assert own["stride"] > 1
    description = tmp_path / "classes" / "model.json"
    earlier = json.loads(description.read_text())  # which had both among the options of the training alone
    description.write_text(json.dumps({key: value for key, value in earlier.items() if key not in ("fps", "stride")}))
    assert load_pretrained(tmp_path / "classes").config == own


def test_checkpoints_that_hold_it_among_their_options_alone(root: Path, tmp_path: Path) -> None:
    content = read_weights_file(root / "run" / LAST)
    assert content["model_config"].pop("fps") == _RATE
    save_checkpoint(tmp_path / "old.ckpt", content)
    assert load_pretrained(tmp_path / "old.ckpt").fps == _RATE
    assert config_of_weights(tmp_path / "old.ckpt")["fps"] == _RATE
    vectors = [
        Embedder(str(path)).embed([next((root / "set").rglob("*.mp4"))])
        for path in (root / "run", tmp_path / "old.ckpt")
    ]
    np.testing.assert_array_equal(*vectors)


def test_a_run_of_an_earlier_version_goes_on_at_native_frames(root: Path, tmp_path: Path) -> None:
    """It started from weights with a rate and did not know: its own command still resumes it, and says no rate."""
    weights = f"--weights={root / 'run'}"
    tune = ["finetune", str(root / "set"), *TINY_FINETUNE[2:], "--data.kind=folders", "--max_steps=2", weights]
    further = ["pretrain", str(root / "set"), *TINY[2:], "--max_steps=2", weights]
    for words, section in ((tune, "clips"), (further, "data")):
        out = tmp_path / section
        assert main([*words, f"--out={out}", f"--{section}.fps=null"]) == 0
        assert yaml.safe_load((out / "config.yaml").read_text())[section]["fps"] is None
        assert main([*words, f"--out={out}", "--resume"]) == 0
        assert yaml.safe_load((out / "config.yaml").read_text())[section]["fps"] is None


def test_videos_are_as_long_as_they_have_ticks(root: Path) -> None:
    records = read_folder(root / "set")
    native = short_length(records)
    assert native is not None
    assert short_length(records, fps=_RATE) == (native + 1) // 2


def test_a_run_that_never_began_takes_the_clips_of_its_weights(root: Path, tmp_path: Path) -> None:
    """A folder with settings and no checkpoint holds nothing to go on with: the settings do not count."""
    other = save_tiny_checkpoint(tmp_path / "other.ckpt", num_frames=8, feature_dim=128)
    tune = ["finetune", str(root / "set"), "--data.kind=folders", "--clips.num_clips=1", "--clips.num_workers=0"]
    further = ["pretrain", str(root / "set"), *TINY[2:]]
    for words, section in ((tune, "clips"), (further, "data")):
        out = tmp_path / section
        assert main([*words, f"--weights={other}", "--max_steps=1", f"--out={out}"]) == 0
        for path in out.glob("*.ckpt"):
            path.unlink()
        assert main([*words, f"--weights={root / 'run'}", "--max_steps=1", f"--out={out}", "--resume"]) == 0
        found = yaml.safe_load((out / "config.yaml").read_text())[section]
        assert (found["fps"], found["num_frames"]) == (_RATE, 4)


@pytest.mark.parametrize("fps", [-1, float("inf"), float("nan"), "x"])
def test_rates_that_are_none(root: Path, fps: Any) -> None:
    with pytest.raises(ConfigError, match="must be a number of frames a second, or 0"):
        Embedder(str(root / "run"), fps=fps)
    assert Embedder(str(root / "run"), fps=0).fps is None
    assert repr(Embedder(str(root / "run"), fps=15).fps) == "15.0"
