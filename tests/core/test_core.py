"""Seeds, safe files, errors that cross processes."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from rspnet.core.distributed import average_in_place, gather_batch
from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.files import atomic_path, sha256_of, write_json
from rspnet.core.ranks import gather_objects
from rspnet.core.rng import derive_seed, numpy_rng, torch_rng


def test_seeds_are_what_they_always_were() -> None:
    """Golden values: a change here would change every experiment."""
    assert derive_seed(0) == 2631537505891389924
    assert derive_seed(0, "order", 3) == 8244215730568551301


def test_seeds_depend_on_every_key_and_on_order() -> None:
    keys = [(0, 1), (1, 0), (0, "1"), (0, 1, 0), (0,)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)
    assert np.array_equal(numpy_rng(1, "a").random(4), numpy_rng(1, "a").random(4))
    assert torch.equal(torch.rand(4, generator=torch_rng(1, "a")), torch.rand(4, generator=torch_rng(1, "a")))


def write_half(path: Path, error: Exception) -> None:
    """Fail in the middle of an atomic write."""
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path, RuntimeError())
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]


def test_writing_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RSPNetError, match="cannot write"), atomic_path(tmp_path / "file" / "inside"):
        pass


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match="No space left"):
        write_half(tmp_path / "file", OSError(28, os.strerror(28)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["l" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_file_systems_take(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, {})
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_a_reader_that_has_gone_is_no_fault_of_the_file_being_written(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError):
        write_half(tmp_path / "file", BrokenPipeError(32, os.strerror(32)))
    assert not list(tmp_path.iterdir())


def test_json_with_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_written_files_are_readable_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) & stat.S_IRUSR


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_decode_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(DecodeError("a b.mp4", "no video stream")))
    assert isinstance(error, DecodeError)
    assert str(error) == "cannot decode 'a b.mp4': no video stream"


def test_collectives_are_the_identity_in_one_process() -> None:
    tensor = torch.arange(4.0)
    average_in_place([tensor])
    assert torch.equal(tensor, torch.arange(4.0))
    assert gather_batch(tensor) is tensor
    assert gather_objects("a") == ["a"]
