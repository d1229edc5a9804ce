"""Trainings from Python: the example of the documents runs, errors are those of the commands, an interrupt is kept."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import write_labelled_videos, write_videos

import rspnet
from rspnet.config.parser import plain_options
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.loop import Loop
from rspnet.engine.stop import StopRequest
from rspnet.pretext.rspnet_method import RSPNetMethod

DOCUMENT = Path(__file__).parents[2] / "docs" / "python.md"
TINY: dict[str, Any] = {
    "data": {"num_frames": 4, "size": 32, "batch_size": 4, "num_workers": 0},
    "model": {"backbone": "r3d_10_slim", "queue_size": 3},
    "engine": {"device": "cpu", "precision": "fp32", "threads": 1, "loggers": ["csv"]},
    "max_steps": 4,
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.slow
def test_the_documented_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in docs/python.md, on small videos in the places that it names."""
    write_videos(tmp_path / "my_videos")
    write_labelled_videos(tmp_path / "made")
    (tmp_path / "made" / "set").rename(tmp_path / "my_actions")
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)[:1]
    found: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(example, str(DOCUMENT), "exec"), found)
    assert found["pretrained"].checkpoint == Path("runs/first/last.ckpt")
    assert 0 <= found["pretrained"].results["last"]["motion_accuracy"] <= 1
    assert 0 <= found["classifier"].results["scores"]["top1"]["value"] <= 1
    assert load_checkpoint(found["classifier"].checkpoint)["init_sha256"] is not None
    assert len(found["features"]) == 2


@pytest.mark.slow
def test_options_are_those_of_the_command_and_torch_is_left_as_it_was(videos: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(7)
    random = torch.get_rng_state()
    try:
        model = RSPNetMethod(backbone="r3d_10_slim", queue_size=3, momentum=0.9)
        done = rspnet.pretrain(videos, out=tmp_path / "run", recipe="small-cpu", **{**TINY, "model": model})
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), random)
        assert not [one for one in threading.enumerate() if one.name.startswith("checkpoint")]
        done.load()
        assert torch.equal(torch.get_rng_state(), random)
    finally:
        torch.set_num_threads(threads)
    kept = load_checkpoint(done.checkpoint)["config"]
    assert (kept["model"]["momentum"], kept["data"]["size"], kept["optim"]["name"]) == (0.9, 32, "adamw")
    assert done.load().config["queue_size"] == 3
    assert os.fspath(done) == str(tmp_path / "run" / "last.ckpt")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(str(path) for path in sorted(videos.rglob("*.mp4"))[:6]))
    assert rspnet.pretrain(listed, out=tmp_path / "listed", **{**TINY, "max_steps": 1}).results["videos"] == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": {"sise": 3}}, "does not accept option 'sise'"),
        ({"data": {"size": "large"}}, "--data.size 'large': must be a whole number"),
        ({"data": {"speeds": [1]}}, r"--data.speeds \[1\]: each must be above"),
        ({"modell": {}}, "there is no option 'modell': one of data, out, weights, model,"),
        ({"data": {3: 1}}, "option 3: options have names"),
        ({"recipe": 3}, "recipe 3: must be the name of a recipe"),
        ({"recipe": "none"}, "recipe 'pretrain/none': one of pretrain/"),
        ({"dry_run": True}, "dry_run is of the command line"),
        ({"data": {"root": "other"}}, r"videos '.*': --data.root says 'other'; give one of the two"),
        ({"weights": ""}, "--weights '': must not be empty"),
        ({"data": {"batch_size": 16}}, "--data.batch_size 16 is larger than an epoch"),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(
    options: dict[str, Any], message: str, videos: Path, tmp_path: Path
) -> None:
    with pytest.raises(rspnet.ConfigError, match=message):
        rspnet.pretrain(videos, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_results_do_not_go_among_the_videos(videos: Path) -> None:
    with pytest.raises(rspnet.ConfigError, match="is the folder of the videos: name another one"):
        rspnet.pretrain(videos, out=videos, **TINY)


def test_options_of_python_are_plain_values(tmp_path: Path) -> None:
    result = rspnet.TrainingResult(tmp_path, tmp_path / "last.ckpt")
    given = {
        "weights": result,
        "max_steps": np.int64(3),
        "data": {"speeds": (np.float32(2), 4), "size": torch.tensor(32)},
    }
    plain = {"weights": str(tmp_path / "last.ckpt"), "max_steps": 3, "data": {"speeds": [2.0, 4], "size": 32}}
    assert plain_options(given) == plain
    assert type(plain_options(given)["max_steps"]) is int


def test_several_processes_need_a_script(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.ps1", ">>> ", raising=False)
    with pytest.raises(rspnet.ConfigError, match="a notebook or a console trains in one process"):
        rspnet.pretrain(videos, out=tmp_path / "run", engine={"devices": 2})


@pytest.mark.slow
def test_an_interrupt_leaves_a_checkpoint_that_is_gone_on_with(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rspnet.pretrain(videos, out=tmp_path / "whole", **TINY)
    one_step = Loop._one_step

    def interrupted(loop: Loop, batch: Any) -> None:
        one_step(loop, batch)
        if loop.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_one_step", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"stopped at step 2; .* go on with resume=True"):
            rspnet.pretrain(videos, out=tmp_path / "cut", **TINY)
    assert load_checkpoint(tmp_path / "cut" / "last.ckpt")["step"] == 2
    rest = rspnet.pretrain(videos, out=tmp_path / "cut", resume=True, **TINY)
    first, second = (load_checkpoint(run.checkpoint)["model"] for run in (whole, rest))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_second_interrupt_does_not_end_the_program() -> None:
    with StopRequest(second="interrupt") as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.received
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_trains_without_hearing_signals() -> None:
    heard: list[bool] = []

    def wait() -> None:
        with StopRequest() as stop:
            heard.append(stop.received)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert heard == [False]
    assert signal.getsignal(signal.SIGINT) is before
