"""Commands over a real Ray cluster on this machine, whose head, nodes and workers die on the way."""

from __future__ import annotations

import csv
import json
import os
import shutil
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
import pyarrow.csv
import pytest
from helpers.clips_on_disk import write_labelled_videos
from helpers.ray_nodes import ray_nodes
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.data.annotations import read_folder
from rspnet.features.read import read_features
from rspnet.features.store import Stamp
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import WindowClassifier

if find_spec("ray") is None:
    pytest.skip("the extra rspnet[ray] is not installed", allow_module_level=True)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVERY_VIDEO_AT_ONCE = "import sys, rspnet.features.store as store, rspnet.cli as cli; store.PART_ROWS = 1; "
SLOWLY = "from helpers import slow_work; slow_work.plant(); "
OPTIONS = ("--num_clips=2", "--precision=fp32", "--num_workers=0")


@contextmanager
def embedding(model: Path, videos: Path, out: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work, which stores every video by itself, slowly."""
    words = [
        "embed",
        f"--weights={model}",
        str(videos),
        f"--out={out}",
        *OPTIONS,
        "--on=ray",
        f"--ray_address={address}",
    ]
    code = f"{EVERY_VIDEO_AT_ONCE} {SLOWLY} sys.exit(cli.main({words!r}))"
    here = str(Path(__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": here,
        "OMP_NUM_THREADS": "1",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    }
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


def run_commands(address: str, videos: Path, model: Path, classifier: Path, out: Path) -> list[int]:
    """Exit codes of all other commands that take videos to the cluster."""
    commands = [
        ["doctor", str(videos), f"--out={out / 'doctor'}", "--num_frames=4"],
        ["transcode", str(videos), f"--out={out / 'small'}", "--short_side=32"],
        ["pack", str(videos), f"--out={out / 'shards'}"],
        ["index", str(videos), f"--weights={model}", f"--store={out / 'library'}", "--num_workers=0"],
        ["classify", "run", str(classifier), str(videos), f"--out={out / 'timeline'}", "--num_workers=0"],
    ]
    commands = [[*words, "--concurrency=1"] for words in commands]  # every worker is a process that imports all
    words = [sys.executable, "-W", "ignore", "-m", "helpers.ray_commands", address, json.dumps(commands)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(words, env=environment, text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def reasons(table: Path) -> dict[str, str]:
    with table.open(newline="") as file:
        return {row["name"]: row["reason"] for row in csv.DictReader(file)}


def no_classifier(path: Path, stamp: Stamp) -> Path:
    """A classifier that finds both of its classes as likely everywhere."""
    weights = np.zeros((2, stamp.vectors["features"]))
    WindowClassifier(("a", "b"), True, weights, np.zeros(2), (Rule(), Rule()), ("features",), stamp).save(path)
    return path


def test_the_rows_are_those_of_one_machine_whatever_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One cluster serves all commands; on the way it loses a worker, a node, and at last its head."""
    videos = write_labelled_videos(tmp_path / "videos", count=24)
    model = save_tiny_checkpoint(tmp_path / "model.ckpt", backbone="r3d_10_slim")
    assert main(["embed", f"--weights={model}", str(videos), f"--out={tmp_path / 'here'}", *OPTIONS]) == 0
    here = read_features(tmp_path / "here")
    few = tmp_path / "few"
    few.mkdir()
    for name, place in (("a.mp4", 0), ("abort.mp4", 1), ("b.avi", -1)):
        path = sorted(videos.rglob(f"*{Path(name).suffix}"))[place]
        shutil.copyfile(path, few / name)
    classifier = no_classifier(tmp_path / "classifier.npz", here.stamp)

    with ray_nodes(2) as cluster:
        assert run_commands(cluster.address, few, model, classifier, tmp_path) == [
            1,
            1,
            1,
            0,
            0,
        ]  # a crash costs one video
        for table in ("small/.transcode/skipped.csv", "shards/.pack/skipped.csv"):
            assert {name: "crashed" in why for name, why in reasons(tmp_path / table).items()} == {"abort.mp4": True}
        assert {path.name for path in (tmp_path / "small").glob("?.*")} == {"a.mp4", "b.avi"}
        assert main(["search", str(tmp_path / "library"), str(few / "a.mp4"), "--json", "--k=9"]) == 0
        assert {Path(hit["path"]).name for hit in json.loads(capsys.readouterr().out)["hits"]} == {"abort.mp4", "b.avi"}
        assert len(set(pyarrow.csv.read_csv(tmp_path / "timeline" / "events.csv")["path"].to_pylist())) == 3
        with embedding(model, videos, tmp_path / "ray", cluster.address) as first:
            # As the system does when memory is short.
            os.kill(until(lambda: workers(cluster.address), of=first)[0], signal.SIGKILL)
            until(lambda: list((tmp_path / "ray").glob("features.parquet/part-*.parquet")), of=first)
            cluster.kill("node")
            told = first.communicate(timeout=400)
        assert first.returncode == 0, told
        assert "24 videos, 0 unchanged, 0 skipped" in told[1]
        with embedding(model, videos, tmp_path / "lost", cluster.address) as second:
            until(lambda: list((tmp_path / "lost").glob("features.parquet/part-*.parquet")), of=second)
            for worker in workers(cluster.address):
                os.kill(worker, signal.SIGSTOP)  # so that the rest is not done before the head is dead
            cluster.kill("head")
            told = second.communicate(timeout=300)
    assert second.returncode != 0, told
    stored = len(read_features(tmp_path / "lost").table)
    assert 0 < stored < 24
    assert main(["embed", f"--weights={model}", str(videos), f"--out={tmp_path / 'lost'}", *OPTIONS]) == 0
    own = np.argsort(here.table["path"].to_pylist())
    for name in ("ray", "lost"):
        found = read_features(tmp_path / name)
        other = np.argsort(found.table["path"].to_pylist())
        assert found.table.drop_columns("name").column_names == here.table.drop_columns("name").column_names
        for kind in ("features", "motion", "appearance"):
            np.testing.assert_array_equal(getattr(here, kind)[own], getattr(found, kind)[other])

    crashed = {"abort.mp4": "the decoder crashed (SIGABRT)"}  # one task is lost, not the job
    assert "SIGABRT" in (tmp_path / "doctor" / "report.csv").read_text()
    assert reasons(tmp_path / "small" / ".transcode" / "skipped.csv") == crashed
    assert reasons(tmp_path / "shards" / ".pack" / "skipped.csv") == crashed
    assert sorted(record.name for record in read_folder(tmp_path / "small")) == ["a.mp4", "b.avi"]
    assert [record.name for record in read_folder(tmp_path / "shards")] == ["a.mp4", "b.avi"]
    assert len(read_features(tmp_path / "timeline").table) == 3  # here nothing is planted
