"""The choice as the command makes it: said, with the options that ask for the same, and kept for a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers.clips_on_disk import write_videos

from rspnet.cli import main
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.checks.lengths import short_length


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("few"), count=10, num_frames=20)


@pytest.mark.slow
def test_a_folder_is_enough(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rspnet.runs.training_preview.SECONDS", 0.0)
    assert main(["pretrain", str(videos), "--dry-run", "--engine.device=cpu"]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "recipe pretrain/small-cpu: a small network, as there is no GPU" in text
    assert "batch 4 clips a step: at most half of the videos" in text
    assert "the same as --recipe pretrain/small-cpu" in text
    assert "steps 500 of 4 clips (20 an epoch)" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("weights", [[], ["--weights=rspnet-small"]])
def test_a_resumed_run_keeps_its_settings(
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    weights: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--recipe=pretrain/small-cpu", "--data.num_frames=4", "--data.size=32", "--data.batch_size=4"]
    machine = ["--data.num_workers=0", "--engine.device=cpu", "--engine.loggers=[csv]"]
    assert main(["pretrain", str(videos), *small, "--max_steps=2", *machine, *weights]) == 0
    out = tmp_path / "runs" / f"pretrain-{videos.name}"
    settings = yaml.safe_load((out / "config.yaml").read_text())
    assert settings["weights"] == ("rspnet-small" if weights else None)
    capsys.readouterr()
    assert main(["pretrain", str(videos), "--resume", *machine]) == 0
    assert "note: settings as in " in capsys.readouterr().err
    again = yaml.safe_load((out / "config.yaml").read_text())
    assert again.pop("resume")
    assert not settings.pop("resume")
    assert {**again, "engine": {}} == {**settings, "engine": {}}


def test_length_is_that_of_nine_in_ten_and_bad_files_do_not_count(videos: Path, tmp_path: Path) -> None:
    records = read_folder(videos)
    assert short_length(records) == 20
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    assert short_length([*records, VideoRecord(broken, "broken.mp4")]) == 20
    assert short_length([VideoRecord(broken, "broken.mp4")]) is None
