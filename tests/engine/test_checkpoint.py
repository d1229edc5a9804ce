"""Checkpoints: whole or not there, equal bytes for equal content, never executing what they hold."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rspnet.core.checkpoint_format import SCHEMA
from rspnet.core.errors import CheckpointError, RSPNetError
from rspnet.core.run_files import LAST
from rspnet.engine import checkpoint
from rspnet.engine.checkpoint import CheckpointFolder, load_checkpoint, save_checkpoint

CONTENT = {"step": 3, "model": {"weight": torch.arange(6.0)}, "note": None, "rates": [0.1, 0.2]}


class Executed:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def save(folder: CheckpointFolder, content: dict, *, step: int, numbered: bool) -> None:
    folder.save(content, step=step, numbered=numbered)
    folder.wait()


def test_round_trip_and_plain_torch_reads_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.ckpt", CONTENT)
    for loaded in (load_checkpoint(tmp_path / "a.ckpt"), torch.load(tmp_path / "a.ckpt", weights_only=True)):
        assert loaded["schema"] == SCHEMA
        assert loaded["step"] == 3
        assert loaded["rates"] == [0.1, 0.2]
        assert torch.equal(loaded["model"]["weight"], torch.arange(6.0))


def test_equal_content_gives_equal_bytes_whatever_the_name(tmp_path: Path) -> None:
    for name in ("a.ckpt", "another.ckpt"):
        save_checkpoint(tmp_path / name, CONTENT)
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "another.ckpt").read_bytes()


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    with (tmp_path / "bad.ckpt").open("wb") as file:
        pickle.dump(Executed(trap), file)
    torch.save({"format": "rspnet", "schema": 1, "model": Executed(trap)}, tmp_path / "bad2.ckpt")
    for name in ("bad.ckpt", "bad2.ckpt"):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name)
    save_checkpoint(tmp_path / "sealed.ckpt", {"model": Executed(trap)})  # a right checksum is no licence
    with pytest.raises(CheckpointError, match=r"refused weights .*sealed.ckpt': it asks to run code"):
        load_checkpoint(tmp_path / "sealed.ckpt")
    assert not trap.exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99, -1])
def test_a_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"a\.ckpt'.* damaged"):
        load_checkpoint(path)


def test_no_byte_can_be_altered_unseen(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    random.seed(0)
    places = {*random.sample(range(len(whole)), 300), *range(len(whole) - 80, len(whole))}
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path)


def test_schema_1_is_still_read(tmp_path: Path) -> None:
    """A file as written before there were checksums."""
    old = {"format": "rspnet", "schema": 1, "task": "pretrain", "step": 7, "model": {"weight": torch.ones(2)}}
    with (tmp_path / "old.ckpt").open("wb") as file:
        torch.save(old, file)
    loaded = load_checkpoint(tmp_path / "old.ckpt")
    assert loaded.pop("made_with") == {}
    assert loaded.pop("videos_sha256") is None
    assert loaded.pop("schema") == SCHEMA
    assert torch.equal(loaded.pop("model")["weight"], torch.ones(2))
    assert loaded == {"format": "rspnet", "task": "pretrain", "step": 7}


def test_foreign_and_later_files_are_named(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="no rspnet checkpoint"):
        load_checkpoint(tmp_path / "foreign.ckpt")
    torch.save({"format": "rspnet", "schema": 99}, tmp_path / "later.ckpt")
    with pytest.raises(CheckpointError, match="schema 99"):
        load_checkpoint(tmp_path / "later.ckpt")
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "missing.ckpt")


@pytest.mark.parametrize("keep", [0, 2])
def test_the_newest_numbered_checkpoints_before_the_last_stay(tmp_path: Path, keep: int) -> None:
    folder = CheckpointFolder(tmp_path, keep=keep)
    assert folder.load_last() is None
    for step in (1, 2, 3, 10, 11):
        save(folder, {"step": step}, step=step, numbered=step != 11)
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        "step-00000002.ckpt",
        "step-00000003.ckpt",
        "step-00000010.ckpt",
    ][: 3 if keep else 0]
    assert folder.load_last()["step"] == 11  # type: ignore[index]


def test_a_damaged_checkpoint_falls_back_on_the_one_before(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=1)
    for step in (1, 2):
        save(folder, {"step": step}, step=step, numbered=True)
    damage(tmp_path / LAST)  # and with it step 2, which is the same file
    told: list[str] = []
    assert folder.load_last(tell=told.append)["step"] == 1  # type: ignore[index]
    assert [text.split("'")[1].rsplit("/", 1)[1] for text in told] == [LAST, "step-00000002.ckpt"]
    assert all(text.endswith("falling back on the checkpoint before it") for text in told)
    assert load_checkpoint(tmp_path / LAST)["step"] == 1  # other commands read it
    (tmp_path / LAST).unlink()
    assert folder.load_last()["step"] == 1  # type: ignore[index]
    damage(tmp_path / "step-00000001.ckpt")
    damage(tmp_path / LAST)
    with pytest.raises(CheckpointError, match="damaged"):
        folder.load_last()


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"damage")


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=0)
    save(folder, {"step": 1}, step=1, numbered=False)
    with pytest.raises((RSPNetError, AttributeError, pickle.PicklingError, TypeError)):
        save(folder, {"step": 2, "model": lambda: None}, step=2, numbered=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A tmpfs at a new folder; tests skip where none can be mounted."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip() if done else 'not root'}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "disk", "size=1m")


@pytest.fixture
def read_only(small_disk: Path) -> Callable[[], None]:
    def remount() -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    return remount


def test_a_full_disk_is_one_clear_error_and_the_previous_checkpoint_stays(small_disk: Path) -> None:
    folder = CheckpointFolder(small_disk, keep=1)
    save(folder, {"step": 1, "model": torch.zeros(100_000)}, step=1, numbered=True)
    with pytest.raises(RSPNetError, match=r"^cannot write '.*ckpt': No space left on device$"):
        save(folder, {"step": 2, "model": torch.zeros(1_000_000)}, step=2, numbered=True)
    assert folder.load_last()["step"] == 1  # type: ignore[index]
    assert sorted(path.name for path in small_disk.iterdir()) == [LAST, "step-00000001.ckpt"]
    save(folder, {"step": 3}, step=3, numbered=False)  # what fits is written again
    assert folder.load_last()["step"] == 3  # type: ignore[index]


def test_a_read_only_folder_is_one_clear_error(small_disk: Path, read_only: Callable[[], None]) -> None:
    folder = CheckpointFolder(small_disk, keep=1)
    save(folder, {"step": 1}, step=1, numbered=False)
    read_only()
    with pytest.raises(RSPNetError, match=r"^cannot write '.*last\.ckpt': Read-only file system$"):
        save(folder, {"step": 2}, step=2, numbered=False)
    assert folder.load_last()["step"] == 1  # type: ignore[index]


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    write = checkpoint._write
    monkeypatch.setattr(checkpoint, "_write", lambda *arguments: gate.wait(30) and write(*arguments))
    folder = CheckpointFolder(tmp_path, keep=0)
    weights = torch.ones(3)
    folder.save({"step": 1, "model": weights}, step=1, numbered=False)
    weights += 1  # the next step
    folder.poll()
    assert not (tmp_path / LAST).exists()
    gate.set()
    folder.wait()
    assert torch.equal(load_checkpoint(tmp_path / LAST)["model"], torch.ones(3))


def test_a_failure_in_the_background_is_raised_by_the_next_call(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "a file", keep=0)
    (tmp_path / "a file").touch()
    folder.save({"step": 1}, step=1, numbered=False)
    assert folder._writing is not None
    folder._writing.exception(timeout=30)
    with pytest.raises(RSPNetError, match="cannot write"):
        folder.poll()
    folder.poll()


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = (".last.ckpt.1.2.tmp", ".best.ckpt.1.2.tmp", ".step-00000001.ckpt.1.2.tmp", ".metrics.csv.1.2.tmp")
    for name in (*left, ".skipped.csv.1.2.tmp", LAST):
        (tmp_path / name).touch()
    CheckpointFolder(tmp_path, keep=0).remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".skipped.csv.1.2.tmp", LAST]


def test_bytes_do_not_depend_on_where_equal_texts_and_containers_came_from(tmp_path: Path) -> None:
    shared = "exp_avg"
    other = "".join(["exp", "_avg"])
    assert shared is not other
    save_checkpoint(tmp_path / "a.ckpt", {"state": {0: {shared: 1}, 1: {shared: 2}}, "betas": (0.9, 0.99)})
    save_checkpoint(tmp_path / "b.ckpt", {"state": {0: {shared: 1}, 1: {other: 2}}, "betas": [0.9, 0.99]})
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
