"""The plan of a pre-training shares the cores between training and loading by what each has to do."""

from __future__ import annotations

import pytest

from rspnet.api.pretraining_plan import make_plan
from rspnet.cli import parse
from rspnet.engine import runtime

SLIM = ("--model.backbone", "r3d_10_slim", "--data.num_frames", "8", "--data.size", "48")


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (SLIM, (1, 1)),
        ((*SLIM, "--model.input", "moving"), (1, 1)),
        (("--model.backbone", "r3d_18"), (2, 1)),
        (("--model.backbone", "s3dg"), (2, 1)),
        (("--recipe", "pretrain/small-cpu"), (1, 1)),
    ],
)
def test_threads_and_workers_on_two_cores(
    options: tuple[str, ...], chosen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 2)
    config = parse("pretrain", [*options, "--data.root", "videos", "--out", "run", "--engine.device", "cpu"])
    plan = make_plan(config, num_videos=1000)
    assert (plan.threads, plan.workers) == chosen


@pytest.mark.parametrize(
    ("queue", "batch", "said"),
    [(100, 4, "until step 25 the loss rises by itself"), (16, 4, None)],  # the latter is over at the first point
)
def test_a_queue_that_fills_for_long_is_said(queue: int, batch: int, said: str | None) -> None:
    options = [*SLIM, f"--model.queue_size={queue}", f"--data.batch_size={batch}", "--engine.device=cpu"]
    plan = make_plan(parse("pretrain", ["--data.root=videos", "--out=run", *options]), num_videos=1000)
    assert [text for text in plan.warnings if "loss rises" in text] == [
        f"{said}: the queue fills with keys, it starts with noise"
    ] * bool(said)


@pytest.mark.parametrize(("steps", "said"), [(9, True), (10, False)])
def test_a_warm_up_that_does_not_end_is_said(steps: int, said: bool) -> None:
    options = [*SLIM, "--engine.device=cpu", "--optim.warmup_steps=10", f"--max_steps={steps}"]
    plan = make_plan(parse("pretrain", ["--data.root=videos", "--out=run", *options]), num_videos=1000)
    text = "--optim.warmup_steps 10: the training ends at step 9, before the learning rate is what --optim.lr says"
    assert (text in plan.warnings) == said
