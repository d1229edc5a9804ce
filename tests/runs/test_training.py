"""One job, one `train`: a toy that knows nothing of videos runs, is kept and goes on exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.states import same
from helpers.stopping import stop_after
from torch import Tensor, nn

from rspnet.config.pretrain import PairDataConfig
from rspnet.core.errors import ConfigError
from rspnet.core.rng import numpy_rng
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord
from rspnet.data.skipped import Skip
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.optim import Schedule
from rspnet.runs.pretraining_data import PretrainingClips
from rspnet.runs.training import BatchShare, Engine, Job, OptimizerSettings, TrainingProcess, train

ENGINE = Engine(device=torch.device("cpu"), precision="fp32", threads=1, log_every=2)


class Line(nn.Linear):
    config: Mapping[str, Any] = {"kind": "line"}


@dataclass(frozen=True)
class Points:
    x: Tensor
    y: Tensor
    skipped: tuple[Skip, ...] = ()


def batches(part: BatchShare) -> Iterator[Points]:
    for step in range(part.start_step, 6):
        x = torch.from_numpy(numpy_rng(0, "points", step).standard_normal((4, 1)).astype("float32"))
        yield Points(x, 3 * x + 1, (Skip("bad.mp4", "no video"),) if step == 1 else ())


def fit(process: TrainingProcess, batch: Points, _step: int) -> dict[str, Tensor]:
    loss = (process.network(batch.x) - batch.y).square().mean()
    process.fabric.backward(loss)
    return {"loss": loss.detach()}


@dataclass
class Notes:
    """A judge that keeps the weights of the second epoch."""

    steps: list[int] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        return {"notes": self.steps}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.steps = list(saved["notes"])

    def after_epoch(self, process: TrainingProcess, step: int, console: Any) -> str | None:
        self.steps.append(step)
        return "second.ckpt" if step == 4 else None


def line_job(out: Path, **changes: Any) -> Job:
    torch.manual_seed(1)
    line = Line(1, 1)
    job = Job(
        command="line",
        out=str(out),
        settings={"out": str(out), "points": 4},
        kept_settings={"points": 4},
        differences=lambda saved: [("points", saved["points"], 4)],
        records=[VideoRecord(Path(name), name) for name in ("a.mp4", "bad.mp4")],
        max_skipped=(0.5, "--line.max_skipped"),
        model=line,
        trained=line,
        parameters=list(line.parameters()),
        optimizer=OptimizerSettings("sgd", weight_decay=0.0),
        schedule=Schedule(peak=0.1, kind="cosine", total_steps=6, steps_per_epoch=2),
        seed=0,
        batches=batches,
        step=fit,
        files_of=lambda _: ["a.mp4"],
        clips_per_step=4,
        shown={"loss": "loss"},
        memory=lambda: 0,
        lower="nothing",
        announce=lambda console: console.print("a line is fitted"),
        content={"axes": ["x", "y"]},
        judge=Notes(),
    )
    return replace(job, **changes)


def test_a_job_runs_to_its_end_and_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = line_job(tmp_path)
    before = {name: value.clone() for name, value in job.model.state_dict().items()}
    outcome = train(job, ENGINE)
    assert (outcome.finished, outcome.step, outcome.skipped) == (True, 6, 1)
    saved = load_checkpoint(tmp_path / LAST)
    assert (saved["task"], saved["step"], saved["config"], saved["axes"]) == ("line", 6, {"points": 4}, ["x", "y"])
    assert saved["model_config"] == {"kind": "line"}
    assert saved["notes"] == [2, 4, 6]
    assert same(saved["model"], job.model.state_dict())
    assert not torch.equal(saved["model"]["weight"], before["weight"])
    second = load_checkpoint(tmp_path / "second.ckpt")
    assert (second["step"], second["notes"]) == (4, [2, 4])
    assert "optimizer" not in second
    assert (tmp_path / "config.yaml").read_text() == f"# rspnet line\nout: {tmp_path}\npoints: 4\n"
    assert (tmp_path / "skipped.csv").read_text() == "name,reason\nbad.mp4,no video\n"
    assert "a line is fitted" in capsys.readouterr().err


def test_a_stopped_job_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = line_job(tmp_path / "whole")
    train(whole, ENGINE)
    with monkeypatch.context() as stopping:
        stop_after(stopping, 3)
        stopped = train(line_job(tmp_path / "cut"), ENGINE)
    assert (stopped.finished, stopped.step) == (False, 3)
    rest = train(line_job(tmp_path / "cut"), replace(ENGINE, resume=True))
    assert (rest.finished, rest.step, rest.skipped) == (True, 6, 1)
    straight, resumed = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "cut"))
    assert all(same(straight[name], resumed[name]) for name in ("model", "optimizer", "notes", "watch"))


def test_other_settings_and_a_second_run_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    train(line_job(tmp_path), ENGINE)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="already holds a run"):
        train(line_job(tmp_path), ENGINE)
    other = line_job(tmp_path, differences=lambda saved: [("points", saved["points"], 5)])
    with pytest.raises(ConfigError, match="--resume: --points is 5 but the run was started with 4"):
        train(other, replace(ENGINE, resume=True))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_engine_takes_the_options_of_its_names() -> None:
    options = json.loads('{"device": "auto", "keep": 3, "compile": true, "loggers": ["csv"]}')
    engine = Engine.of(type("Options", (), options)(), device=torch.device("cpu"), precision="fp32", threads=2)
    assert (engine.device, engine.keep, engine.threads, engine.log_every) == (torch.device("cpu"), 3, 2, 10)


def test_clip_settings_have_the_defaults_of_the_options() -> None:
    assert PretrainingClips.of({}) == PretrainingClips.of(vars(PairDataConfig(root="videos")))
