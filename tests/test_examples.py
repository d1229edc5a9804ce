"""The notebooks in examples/ run as they stand, on the videos that they make, in tiny sizes."""

from __future__ import annotations

import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.extras import need

from rspnet.config import old_words
from rspnet.models import registry
from rspnet.pretext import methods
from rspnet.pretext.rspnet import RSPNet

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    """Threads, and the names of backbones and methods."""
    threads, names, known = torch.get_num_threads(), dict(registry._BUILDERS), dict(methods._METHODS)
    yield
    torch.set_num_threads(threads)
    methods._METHODS.clear()
    methods._METHODS.update(known)
    registry._BUILDERS.clear()
    registry._BUILDERS.update(names)


@pytest.fixture(autouse=True)
def no_old_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users copy has no name that "goes with the next version"."""
    monkeypatch.setattr(old_words, "advise", pytest.fail)


def run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, videos: int) -> dict[str, Any]:
    """Run an example as `python examples/NAME.py` does; returns its variables."""
    monkeypatch.setenv("EXAMPLE_OUT", str(tmp_path))
    monkeypatch.setenv("EXAMPLE_VIDEOS", str(videos))
    monkeypatch.setenv("EXAMPLE_STEPS", "3")
    monkeypatch.delenv("MY_VIDEOS", raising=False)
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.mark.slow
def test_features_of_my_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run("features_of_my_folder", monkeypatch, tmp_path, videos=3)
    assert len(found["found"]) == 3 * 3  # videos of 3.2 s, windows of 2 s every second
    assert found["names"][found["nearest"]] != found["names"][0]


@pytest.mark.slow
def test_find_this_motion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("lancedb")
    found = run("find_this_motion", monkeypatch, tmp_path, videos=4)
    for hits in (found["by_motion"], found["by_appearance"]):
        assert len(hits) == 3
        assert str(found["query"].resolve()) not in {hit.path for hit in hits}
    assert len(found["better"]) == 2  # of four videos two show what is asked with


@pytest.mark.slow
def test_ten_labels_to_a_timeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("sklearn")
    found = run("ten_labels_to_a_timeline", monkeypatch, tmp_path, videos=2)
    assert len(found["labels"]) == 4
    assert {row["label"] for row in found["events"]} <= {"bow", "jumping jack"}
    assert (Path(found["timeline"]) / "timeline.html").is_file()


@pytest.mark.slow
def test_my_own_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run("my_own_backbone", monkeypatch, tmp_path, videos=10)
    assert found["vectors"].shape == (4, 3 * 64)  # mean, spread and change
    assert found["run"].load().config["backbone"] == "two_layers"


@pytest.mark.slow
def test_my_own_rsp_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run("my_own_rsp_loss", monkeypatch, tmp_path, videos=10)
    model = found["model"]
    assert isinstance(model, RSPNet)
    assert model.config["method"] == "soft_rsp"
    query, same, other = torch.eye(3)[None, :1].repeat(3, 1, 1) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    by_hand = math.log1p(math.exp(-(0.8 - 0.6) / 0.07))
    assert model.motion_loss(query, same, other).item() == pytest.approx(by_hand, rel=1e-5)


def test_no_shipped_command_gives_weights_by_place() -> None:
    root = EXAMPLES.parent
    by_place = re.compile(r"\b(embed|predict|probe|retrieve)[\"', ]+rspnet-small")
    for path in [root / "Dockerfile", *EXAMPLES.glob("*.py"), *(root / "benchmarks").glob("*.py")]:
        assert not by_place.search(path.read_text(encoding="utf-8")), path


def test_every_example_is_run_here_and_named_in_the_documents() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert {name.removeprefix("test_") for name in globals() if name.startswith("test_")} >= names
    page = (EXAMPLES.parent / "docs" / "python.md").read_text(encoding="utf-8")
    assert all(f"(../examples/{name}.py)" in page for name in names)
