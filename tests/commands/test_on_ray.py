"""Commands over a Ray cluster, without one: what is handed out is pickled, and comes back in another order."""

from __future__ import annotations

import csv
import pickle
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips_on_disk import write_labelled_videos
from helpers.crashing import plant_everywhere
from helpers.extras import need
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.core.ray_jobs import Lost, RayCluster, in_order, ray_map, root_cause
from rspnet.core.workers import LOST
from rspnet.data import reading
from rspnet.data.annotations import read_folder
from rspnet.data.checks.inspect_all import inspect_all
from rspnet.data.checks.inspection import Inspector
from rspnet.features import embedding_on_ray
from rspnet.features.read import read_features
from rspnet.features.timeline import Rule
from rspnet.features.window_classifier import WindowClassifier

LAST = "odd/5.avi"


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_labelled_videos(tmp_path_factory.mktemp("videos"), count=6)
    (folder / "even" / "bad.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt")


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> list[RayCluster]:
    """In the place of Ray: one worker, which does the last task first and loses the very last."""
    asked: list[RayCluster] = []

    def one_worker(make: Callable[[], Any], tasks: Iterable[Any], cluster: RayCluster) -> Iterator[tuple[int, Any]]:
        asked.append(cluster)
        work, todo = pickle.loads(pickle.dumps(make))(), pickle.loads(pickle.dumps(list(tasks)))
        results = list(enumerate(work(todo[:-1])))
        yield from pickle.loads(pickle.dumps(results[::-1]))
        yield len(todo) - 1, Lost(todo[-1])

    for module in (reading, embedding_on_ray):
        monkeypatch.setattr(module, "ray_map", one_worker)
    return asked


def reasons(folder: Path) -> dict[str, str]:
    with (folder / "skipped.csv").open(newline="") as file:
        return {Path(row["name"]).name: row["reason"] for row in csv.DictReader(file)}


def embed(model: Path, videos: Path, out: Path, *words: str) -> None:
    options = ["--num_clips=2", "--precision=fp32", "--num_workers=0", *words]
    assert main(["embed", f"--weights={model}", str(videos), f"--out={out}", *options]) == 0


def test_embed_stores_the_same_rows_and_names_what_was_lost(
    model: Path, videos: Path, tmp_path: Path, clusters: list[RayCluster]
) -> None:
    embed(model, videos, tmp_path / "here")
    embed(model, videos, tmp_path / "ray", "--on=ray", "--ray_address=head:6379", "--concurrency=3")
    assert clusters == [RayCluster("head:6379", 3, 1, 0)]
    here, ray = (read_features(tmp_path / name / "features.parquet") for name in ("here", "ray"))
    order = np.argsort(ray.table["name"].to_pylist())
    own = np.argsort(here.table["name"].to_pylist())[: len(order)]
    for kind in ("features", "motion", "appearance"):
        np.testing.assert_array_equal(getattr(here, kind)[own], getattr(ray, kind)[order])
    bad = reasons(tmp_path / "here")
    assert reasons(tmp_path / "ray") == bad | {Path(LAST).name: LOST}
    embed(model, videos, tmp_path / "ray")  # does the rest
    assert len(read_features(tmp_path / "ray" / "features.parquet").table) == len(here.table)


def test_index_makes_the_same_library(
    model: Path, videos: Path, tmp_path: Path, clusters: list[RayCluster], capsys: pytest.CaptureFixture[str]
) -> None:
    need("lancedb")
    words = ["index", str(videos), f"--out={tmp_path / 'library'}", f"--weights={model}", "--num_workers=0"]
    words += ["--window_s=0.4", "--hop_s=0.2", "--precision=fp32"]
    assert main([*words, "--on=ray", "--num_gpus=0"]) == 0
    assert "5 videos, " in capsys.readouterr().err
    assert main(words) == 0
    assert "1 video, 5 unchanged, 0 removed, 1 skipped" in capsys.readouterr().err


def test_a_video_that_ends_its_decoder_costs_one_task(
    model: Path, videos: Path, tmp_path: Path, clusters: list[RayCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the command: the worker of the cluster lives on and does the other videos of its block."""
    few = tmp_path / "few"
    few.mkdir()
    for name in ("a.avi", "abort.avi", "b.avi", "c.avi"):
        shutil.copyfile(videos / LAST, few / name)
    with monkeypatch.context() as planted:
        plant_everywhere(planted)
        for words, place in (
            (["transcode", str(few), f"--out={tmp_path / 'small'}", "--short_side=32"], "small/.transcode"),
            (["pack", str(few), f"--out={tmp_path / 'shards'}"], "shards/.pack"),
        ):
            assert main([*words, "--on=ray"]) == 1
            assert reasons(tmp_path / place) == {"abort.avi": "the decoder crashed (SIGABRT)", "c.avi": LOST}
    for root in ("small", "shards"):
        assert [record.name for record in read_folder(tmp_path / root)] == ["a.avi", "b.avi"]
    assert main([*words, "--num_workers=1"]) == 1  # does what was lost; the other one is known to be bad
    assert [record.name for record in read_folder(tmp_path / "shards")] == ["a.avi", "b.avi", "c.avi"]


def test_classifying_embeds_over_the_cluster(
    model: Path, videos: Path, tmp_path: Path, clusters: list[RayCluster]
) -> None:
    embed(model, videos, tmp_path / "here")
    here = read_features(tmp_path / "here")
    assert here.stamp is not None
    weights = np.zeros((2, here.stamp.vectors["features"]))
    place = tmp_path / "classifier.npz"
    WindowClassifier(("a", "b"), True, weights, np.zeros(2), (Rule(), Rule()), ("features",), here.stamp).save(place)
    words = ["classify", "run", str(place), str(videos), f"--out={tmp_path / 'out'}", "--num_workers=0"]
    assert main([*words, "--on=ray"]) == 0
    assert clusters == [RayCluster(None, None, 1, 0)]
    found = read_features(tmp_path / "out")
    assert set(found.table["path"].to_pylist()) == set(here.table["path"].to_pylist()) - {str(videos / LAST)}
    assert reasons(tmp_path / "out") == reasons(tmp_path / "here") | {Path(LAST).name: LOST}


def test_inspecting_gives_the_same_reports_in_order(videos: Path, tmp_path: Path, clusters: list[RayCluster]) -> None:
    records, inspector = read_folder(videos), Inspector(num_frames=4, speeds=(2,))
    here = list(inspect_all(records, inspector, memory=tmp_path / "here", workers=1))
    ray = list(inspect_all(records, inspector, memory=tmp_path / "ray", workers=1, cluster=RayCluster()))
    assert ray[:-1] == here[:-1]
    assert [(finding.kind, finding.detail) for finding in ray[-1].findings] == [("crash", LOST)]
    assert list(inspect_all(records, inspector, memory=tmp_path / "ray", workers=1)) == here


def test_results_wait_for_their_turn() -> None:
    given = iter([(1, "b"), (0, "a"), (2, "c"), (4, "e"), (3, "d")])
    found = in_order(given)
    assert (next(found), next(found), next(found)) == ("a", "b", "c")
    assert next(given) == (4, "e")
    assert list(found) == ["d"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ray_address=head:1"], "--ray_address head:1: is for --on ray"),
        (["--concurrency=2"], "--concurrency 2: is for --on ray"),
        (["--num_gpus=1"], "--num_gpus 1.0: is for --on ray"),
        (["--on=ray", "--concurrency=0"], "--concurrency 0: must be at least 1"),
        (["--on=ray", "--num_gpus=-1"], "--num_gpus -1.0: must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_named(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "--weights=model.ckpt", "videos", *words]) == 2
    assert told in capsys.readouterr().err


def test_ray_is_named_where_it_is_missing(
    model: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["embed", f"--weights={model}", str(videos), f"--out={tmp_path}", "--on=ray"]) == 2
    assert "pip install 'rspnet[ray]'" in capsys.readouterr().err
    assert list(ray_map(list, [], RayCluster())) == []  # which needs no Ray


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("\x1b[36mray::Worker\x1b[39m died\n  File x\nImportError: no module\nSee the log", "ImportError: no module"),
        ("Traceback\nray.exceptions.RaySystemError: first\ntraceback: Traceback\nValueError: last", "ValueError: last"),
        ("the node\n  is gone", "the node is gone"),
    ],
)
def test_an_error_of_ray_is_told_by_its_root_cause(text: str, cause: str) -> None:
    assert root_cause(text) == cause
