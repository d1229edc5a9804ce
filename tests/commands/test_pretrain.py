"""`rspnet pretrain` in one process: what it writes, refuses, skips, and how it resumes."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.clips_on_disk import TINY, write_videos
from helpers.narrow import NARROW
from helpers.states import same
from helpers.stopping import stop_after

from rspnet.api import pretraining as pretraining_module
from rspnet.api.pretraining_verdict import hold_out
from rspnet.cli import main, parse
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord, find_videos
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.curves import METRICS, read_curves


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"))


def run(videos: Path, out: Path, *more: str) -> int:
    return main(["pretrain", "--data.root", str(videos), "--out", str(out), "--max_steps", "6", *TINY, *more])


@pytest.fixture(scope="module")
def whole_run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert run(videos, out, "--engine.keep", "2") == 0
    return out


def test_a_run_leaves_checkpoint_curves_config_and_result(whole_run: Path, videos: Path) -> None:
    names = {path.name for path in whole_run.iterdir()}
    kept = {"step-00000003.ckpt", "step-00000006.ckpt"}
    assert names == {LAST, METRICS, "config.yaml", "result.json", "tensorboard"} | kept
    rows = read_curves(whole_run / METRICS)
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(0 <= float(row["motion_accuracy"]) <= 1 for row in rows)
    result = json.loads((whole_run / "result.json").read_text())
    assert result["protocol"]["command"] == "pretrain"
    assert result["protocol"]["model"]["backbone"] == NARROW
    assert result["results"]["videos"] == 12
    assert result["results"]["last"]["loss"] == pytest.approx(float(rows[-1]["loss"]))


def test_the_written_configuration_reads_back_as_the_same(whole_run: Path, videos: Path) -> None:
    config = parse("pretrain", ["--config", str(whole_run / "config.yaml")])
    again = parse(
        "pretrain", ["--data.root", str(videos), "--out", str(whole_run), "--max_steps=6", *TINY, "--engine.keep=2"]
    )
    assert config == again
    assert yaml.safe_load((whole_run / "config.yaml").read_text())["data"]["speeds"] == [2]


def test_training_moves_the_query_encoder_and_the_key_encoder_follows(whole_run: Path, videos: Path) -> None:
    early, late = (load_checkpoint(whole_run / f"step-0000000{step}.ckpt")["model"] for step in (3, 6))
    weights = [key for key in early if key.startswith("encoder_q.") and key.endswith("weight")]
    name = weights[0].removeprefix("encoder_q.")
    moved = {side: (late[f"encoder_{side}.{name}"] - early[f"encoder_{side}.{name}"]).abs().max() for side in "qk"}
    assert 0 < moved["k"] < moved["q"]
    assert not torch.equal(early["queue.keys"], late["queue.keys"])


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch looks at our function
def test_compiled_encoders_learn_the_same(
    whole_run: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are captured and differentiated; turning them into C++ takes minutes and is left to torch."""
    compiled: list[str] = []

    def compile_without_cpp(module: torch.nn.Module) -> None:
        compiled.append(type(module).__name__)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="aot_eager", fullgraph=True)  # type: ignore[assignment]

    monkeypatch.setattr(torch.nn.Module, "compile", compile_without_cpp)
    assert run(videos, tmp_path / "run", "--engine.compile", "true", "--max_steps", "6") == 0
    assert compiled.count("Encoder") == 2
    curves = [[float(row["loss"]) for row in read_curves(out / METRICS)] for out in (tmp_path / "run", whole_run)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_an_existing_run_is_not_overwritten(whole_run: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (whole_run / LAST).read_bytes()
    assert run(videos, whole_run) == 2
    assert "already holds a run: add --resume" in capsys.readouterr().err
    assert (whole_run / LAST).read_bytes() == before


def test_resume_with_other_settings_is_refused_by_name(
    whole_run: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, whole_run, "--resume", "--optim.lr", "0.5") == 2
    assert "--resume: --optim.lr is 0.5 but the run was started with 0.001" in capsys.readouterr().err
    assert run(videos, whole_run, "--resume", "--seed", "9") == 2
    assert "--resume: --seed is 9" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_resume_in_mid_epoch_is_byte_identical(
    whole_run: Path, videos: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after step 4 (epoch 2 of 3 steps, log interval of 2) and at an odd step, then finished."""
    out = tmp_path / "run"
    options = ["--engine.keep=2", f"--data.num_workers={workers}"]
    stop_after(monkeypatch, 5)
    assert run(videos, out, *options) == 130
    assert load_checkpoint(out / LAST)["step"] == 5
    monkeypatch.undo()
    assert run(videos, out, "--resume", *options) == 0
    resumed, straight = (load_checkpoint(folder / LAST) for folder in (out, whole_run))
    assert same(resumed["model"], straight["model"])
    assert same(resumed["optimizer"], straight["optimizer"])
    assert [row["loss"] for row in read_curves(out / METRICS)] == [
        row["loss"] for row in read_curves(whole_run / METRICS)
    ]


def test_resume_of_a_finished_run_changes_nothing(whole_run: Path, videos: Path) -> None:
    before = (whole_run / LAST).read_bytes()
    assert run(videos, whole_run, "--resume", "--engine.keep=2") == 0
    assert (whole_run / LAST).read_bytes() == before


def test_unreadable_videos_are_named_and_end_the_run_past_the_limit(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dirty"
    shutil.copytree(videos, folder)
    (folder / "broken one.mp4").write_bytes(b"no video")
    assert run(folder, tmp_path / "strict", "--data.max_skipped", "0.05") == 3
    error = capsys.readouterr().err
    assert "rspnet: error: 1 of 13 videos (7.7%) had to be skipped" in error
    assert run(folder, tmp_path / "lenient", "--data.max_skipped", "0.1") == 0
    rows = (tmp_path / "lenient" / "skipped.csv").read_text().splitlines()
    assert rows[0] == "name,reason"
    assert rows[1].startswith("broken one.mp4,")
    assert json.loads((tmp_path / "lenient" / "result.json").read_text())["results"]["skipped"] == 1


def test_a_folder_without_one_usable_video_ends_with_every_tried_one_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(8):
        (folder / f"bad{number}.mp4").write_bytes(b"no video")
    assert run(folder, tmp_path / "run", "--data.max_skipped=1") == 3
    assert "videos in a row could not be used" in capsys.readouterr().err
    rows = (tmp_path / "run" / "skipped.csv").read_text().splitlines()
    assert len(rows) > 1
    assert all(row.startswith("bad") for row in rows[1:])


def test_dry_run_prints_the_plan_and_what_it_takes_and_writes_nothing(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rspnet.runs.training_preview.SECONDS", 0.0)
    assert run(videos, tmp_path / "run", "--dry_run") == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "videos 12" in text
    assert "steps 6 of 4 clips (3 an epoch)" in text
    assert "learning rate 0.001 (adamw, cosine)" in text
    assert "GiB a process" in text
    assert re.search(r"disk: about [\d.]+ [kM]B of checkpoints time: about \d+ s on the CPU", text)
    assert run(videos, tmp_path / "run", "--dry_run", "--data.batch_size=16") == 2
    text = " ".join(capsys.readouterr().err.split())
    assert "learning rate 0.001" in text  # the plan all the same
    assert "16 is larger than an epoch: 12 videos x --data.clips_per_video 1" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a plan for GPUs that are not here")
def test_dry_run_plans_for_gpus_of_another_machine(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dry_run", "--engine.device=cuda", "--engine.devices=2", "--engine.precision=auto"]
    assert run(videos, tmp_path / "run", *words) == 0
    text = " ".join(capsys.readouterr().err.split())
    assert "2 x cuda, bf16" in text
    assert "no estimate of the time: the machine it is for is not this one" in text
    assert run(videos, tmp_path / "run", *words[1:]) == 2  # the run itself needs them


def test_held_out_videos_are_not_trained_on_and_judge_the_run(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = pretraining_module.pretraining_batches

    def watched(wanted: object, clips: object, records: Sequence[VideoRecord], *rest: object, **options: object) -> Any:
        seen.append([record.name for record in records])
        return real(wanted, clips, records, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pretraining_module, "pretraining_batches", watched)
    monkeypatch.setattr("rspnet.api.pretraining_verdict._FEWEST_PAIRS", 6)
    monkeypatch.setattr("rspnet.show.neighbour_sheet._GALLERY", 4)
    out = tmp_path / "run"
    assert run(videos, out, "--data.held_out=3", "--max_steps=2") == 0
    ((trained),) = seen
    whole = find_videos(str(videos), None)
    assert len(trained) == 9
    assert trained == [record.name for record in hold_out(whole, 3, seed=0)[0]]
    assert trained == [record.name for record in whole if record.name in trained]  # their order stays
    results = json.loads((out / "result.json").read_text())
    assert (results["results"]["videos"], results["results"]["held_out"]) == (9, 3)
    assert "on 3 videos that were not trained on, " in results["verdict"][0]
    assert (out / "neighbours.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run(videos, out, "--data.held_out=4", "--max_steps=2", "--resume") == 2
    assert "--data.held_out is 4 but the run was started with 3" in capsys.readouterr().err
    assert run(videos, tmp_path / "all", "--data.held_out=12") == 2
    assert "--data.held_out 12: there are only 12 videos" in capsys.readouterr().err


def test_which_videos_are_held_out_depends_on_names_and_seed_alone(tmp_path: Path) -> None:
    records = [VideoRecord(tmp_path / name, name) for name in "abcdefgh"]
    held = {name.name for name in hold_out(records, 3, seed=0)[1]}
    assert held == {record.name for record in hold_out(records[::-1], 3, seed=0)[1]}
    assert len({tuple(record.name for record in hold_out(records, 3, seed=seed)[1]) for seed in range(8)}) > 1
    assert hold_out(records, 0, seed=0) == (records, [])


def test_a_batch_larger_than_an_epoch_says_what_to_change(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, tmp_path / "run", "--data.batch_size=16") == 2
    assert "16 is larger than an epoch: 12 videos x --data.clips_per_video 1" in capsys.readouterr().err
    assert run(videos, tmp_path / "run", "--data.batch_size=16", "--data.clips_per_video=2", "--max_steps=1") == 0
    assert float(read_curves(tmp_path / "run" / METRICS)[0]["clips_per_second"]) > 0  # of the only step


def test_a_large_queue_is_warned_of(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(videos, tmp_path / "run", "--max_steps=1") == 0
    assert "queue of 16 keys is more than a quarter of 12 videos" in " ".join(capsys.readouterr().err.split())


def test_a_loss_that_is_not_finite_ends_the_run_with_advice_and_the_files(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--optim.lr=1e30", "--optim.name=sgd", "--engine.checkpoint_every=1"]
    assert run(videos, tmp_path / "run", *options) == 4
    assert "the loss is not finite; start again with a lower --optim.lr" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "run" / "bad_batch.csv").read_text().splitlines()))
    assert {row["loss"] for row in rows} <= {"nan", "inf"}
    assert {Path(row["file"]) for row in rows} <= set(videos.rglob("*.*"))
    assert len(rows) % 4 == 0  # whole batches
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["step"] == int(rows[0]["step"])  # the last checkpoint is from before the first bad step
