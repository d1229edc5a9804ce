"""Checkpoints: whole or not there, equal bytes for equal content, never executing what they hold."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from rspnet.core.errors import CheckpointError, RSPNetError
from rspnet.engine.checkpoint import LAST, CheckpointFolder, load_checkpoint, save_checkpoint

CONTENT = {"step": 3, "model": {"weight": torch.arange(6.0)}, "note": None, "rates": [0.1, 0.2]}


class Executed:
    """Unpickling this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.ckpt", CONTENT)
    loaded = load_checkpoint(tmp_path / "a.ckpt")
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
    assert not trap.exists()


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.ckpt"
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"a\.ckpt' is damaged"):
        load_checkpoint(path)


def test_foreign_and_later_files_are_named(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="no rspnet checkpoint"):
        load_checkpoint(tmp_path / "foreign.ckpt")
    torch.save({"format": "rspnet", "schema": 99}, tmp_path / "later.ckpt")
    with pytest.raises(CheckpointError, match="schema 99"):
        load_checkpoint(tmp_path / "later.ckpt")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "missing.ckpt")


@pytest.mark.parametrize("keep", [0, 2])
def test_only_the_newest_numbered_checkpoints_stay(tmp_path: Path, keep: int) -> None:
    folder = CheckpointFolder(tmp_path, keep=keep)
    assert folder.load_last() is None
    for step in (1, 2, 10, 3):
        folder.save({"step": step}, step=step, numbered=step != 3)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000002.ckpt", "step-00000010.ckpt"][:keep]
    assert folder.load_last()["step"] == 3  # type: ignore[index]


def test_a_failed_write_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=0)
    folder.save({"step": 1}, step=1, numbered=False)
    with pytest.raises((RSPNetError, AttributeError, pickle.PicklingError, TypeError)):
        folder.save({"step": 2, "model": lambda: None}, step=2, numbered=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_bytes_do_not_depend_on_where_equal_texts_and_containers_came_from(tmp_path: Path) -> None:
    shared = "exp_avg"
    other = "".join(["exp", "_avg"])
    assert shared is not other
    save_checkpoint(tmp_path / "a.ckpt", {"state": {0: {shared: 1}, 1: {shared: 2}}, "betas": (0.9, 0.99)})
    save_checkpoint(tmp_path / "b.ckpt", {"state": {0: {shared: 1}, 1: {other: 2}}, "betas": [0.9, 0.99]})
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
