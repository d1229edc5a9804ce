"""Embedding over a real Ray cluster on this machine, whose head, nodes and workers die on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips_on_disk import write_labelled_videos
from helpers.ray_nodes import ray_nodes
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.features.read import read_features

if find_spec("ray") is None:
    pytest.skip("the extra rspnet[ray] is not installed", allow_module_level=True)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVERY_VIDEO_AT_ONCE = "import sys, rspnet.features.store as store, rspnet.cli as cli; store.PART_ROWS = 1; "
OPTIONS = ("--num_clips=2", "--precision=fp32", "--num_workers=0")


@contextmanager
def embedding(model: Path, videos: Path, out: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work, which stores every video by itself."""
    words = [
        "embed",
        f"--weights={model}",
        str(videos),
        f"--out={out}",
        *OPTIONS,
        "--on=ray",
        f"--ray_address={address}",
    ]
    code = f"{EVERY_VIDEO_AT_ONCE} sys.exit(cli.main({words!r}))"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def until(there: Callable[[], Any], *, of: subprocess.Popen[str]) -> Any:
    """What is there at last."""
    for _ in range(8000):
        if found := there():
            return found
        assert of.poll() is None, of.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not come")


def workers(address: str) -> list[int]:
    """The cluster's processes that hold a network."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::MapWorker(MapBatches(_Actor"):
                parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
                if address in (place.parent / parent / "cmdline").read_text():
                    found.append(int(place.name))
        except OSError:
            continue
    return found


def test_the_rows_are_those_of_one_machine_whatever_dies(tmp_path: Path) -> None:
    videos = write_labelled_videos(tmp_path / "videos", count=24)
    model = save_tiny_checkpoint(tmp_path / "model.ckpt")
    assert main(["embed", f"--weights={model}", str(videos), f"--out={tmp_path / 'here'}", *OPTIONS]) == 0
    parts = tmp_path / "ray" / "features.parquet"

    with ray_nodes(1) as cluster, embedding(model, videos, tmp_path / "ray", cluster.address) as first:
        until(lambda: list(parts.glob("part-*.parquet")), of=first)
        cluster.kill("head")
        told = first.communicate(timeout=300)
    assert first.returncode != 0, told
    stored = len(read_features(parts).table)
    assert 0 < stored < 24

    with ray_nodes(2) as cluster, embedding(model, videos, tmp_path / "ray", cluster.address) as second:
        # As the system does when memory is short.
        os.kill(until(lambda: workers(cluster.address), of=second)[0], signal.SIGKILL)
        until(lambda: len(list(parts.glob("part-*.parquet"))) > stored, of=second)
        cluster.kill("node")
        told = second.communicate(timeout=400)
    assert second.returncode == 0, told
    assert f"{24 - stored} videos, {stored} unchanged, 0 skipped" in told[1]
    here, ray = (read_features(tmp_path / name / "features.parquet") for name in ("here", "ray"))
    own, other = (np.argsort(found.table["path"].to_pylist()) for found in (here, ray))
    assert ray.table.drop_columns("name").column_names == here.table.drop_columns("name").column_names
    for kind in ("features", "motion", "appearance"):
        np.testing.assert_array_equal(getattr(here, kind)[own], getattr(ray, kind)[other])
