"""`rspnet pretrain` says before the first step how many videos it will leave out."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.clips_on_disk import TINY, write_videos

from rspnet.cli import main


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("rspnet.runs.training_preview.SECONDS", 0.0)
    folder = write_videos(tmp_path / "videos", count=8)
    (folder / "empty.mp4").touch()
    return folder


@pytest.mark.parametrize("options", [["--dry-run"], ["--max_steps=1", "--data.max_skipped=0.05"]])
def test_it_is_told(videos: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["pretrain", *TINY, f"--data.root={videos}", f"--out={tmp_path / 'run'}", *options])
    text = " ".join(capsys.readouterr().err.split())
    assert "looked at all 9 videos in " in text
    assert "s (containers and times, not pictures): 1 (11.1%) will be skipped, such as 'empty.mp4': the file is" in text
    assert "that is more than --data.max_skipped 5.0%, at which the run ends; rspnet doctor names" in text


def test_none_has_to_be(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (videos / "empty.mp4").unlink()
    assert main(["pretrain", *TINY, f"--data.root={videos}", f"--out={tmp_path / 'run'}", "--dry-run"]) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "(containers and times, not pictures): none has to be skipped" in text
    assert "note:" not in text.split("none has to be skipped")[1]
