"""The run folder: one command's, never overwritten by another's."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rspnet.cli import parse
from rspnet.config.embed import EmbedConfig
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import write_text
from rspnet.runs.run_folder import open_run_folder

CONFIG = EmbedConfig(weights="last.ckpt", videos=["a.mp4"])


def test_a_run_of_another_command_is_not_overwritten(tmp_path: Path) -> None:
    folder = open_run_folder(str(tmp_path / "run"), CONFIG, command="embed")
    before = (folder / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=r"run' holds a run of rspnet embed: name another folder"):
        open_run_folder(str(folder), CONFIG, command="probe")
    assert (folder / "config.yaml").read_bytes() == before
    (folder / "skipped.csv").touch()
    open_run_folder(str(folder), CONFIG, command="embed")
    assert not (folder / "skipped.csv").exists()  # the second run has not skipped anything yet
    assert parse("embed", [*CONFIG.videos, "--config", str(folder / "config.yaml")]) == CONFIG


def test_a_result_of_other_options_is_not_lost_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = open_run_folder(str(tmp_path / "run"), CONFIG, command="embed")
    result = folder / "result.json"
    result.touch()
    same = replace(CONFIG, out=str(folder), num_workers=1, device="cpu")  # options of the machine
    open_run_folder(str(folder), same, command="embed")
    other = replace(same, fps=5.0, weights="b.ckpt", videos=["b.mp4"], hop_s=None)
    open_run_folder(str(folder), other, command="embed", goes_on=True)
    assert result.exists()
    assert capsys.readouterr().err == ""
    open_run_folder(str(folder), same, command="embed")
    said = f'note: the result in {str(folder)!r} was of fps 5.0, videos ["b.mp4"], weights b.ckpt: it is replaced\n'
    assert capsys.readouterr().err == said
    assert not result.exists()


@pytest.mark.parametrize("old", [b"", b"out: features\n", b"# my own notes\n", b"\xff\xfe"])
def test_a_folder_of_no_known_command_may_be_used(tmp_path: Path, old: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(old)
    open_run_folder(str(tmp_path), CONFIG, command="embed")


def test_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file: name a folder"):
        open_run_folder(str(tmp_path / "file"), CONFIG, command="embed")
    with pytest.raises(ConfigError, match="--out 's3://b/x' is an address"):
        open_run_folder("s3://b/x", CONFIG, command="embed")
    with pytest.raises(ConfigError, match="'s3://b/x/y' is an address"):  # what pathlib makes of it
        write_text(Path("s3://b/x") / "y", "text")


def test_a_folder_that_another_process_works_in_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    holder = subprocess.Popen(["flock", str(folder / ".lock"), "sleep", "60"])
    try:
        while not (folder / ".lock").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        with pytest.raises(RSPNetError, match="run' is in use by another run of rspnet"):
            open_run_folder(str(folder), CONFIG, command="embed")
        assert {path.name for path in folder.iterdir()} == {".lock"}
    finally:
        holder.kill()
        holder.wait()
