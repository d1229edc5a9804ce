from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rspnet.cli import main
from rspnet.features.scores import paired_difference
from rspnet.runs.predictions import save_predictions

STAMP = {"command": "finetune", "method": "finetune", "dataset": "ucf101", "fold": 1, "num_clips": 10, "seed": 0}


def write_run(folder: Path, hits: np.ndarray, *, names: list[str] | None = None, **stamp) -> Path:
    folder.mkdir(parents=True)
    names = names or [f"v{number}" for number in range(len(hits))]
    file = save_predictions(folder, {"name": np.array(names), "top1": hits})
    mean = float(hits.mean())
    row = {"value": mean, "low": mean - 0.1, "high": mean + 0.1}
    results = {"scores": {"top1": row, "mean_class_accuracy": row}, "predictions": file}
    (folder / "result.json").write_text(json.dumps({"protocol": STAMP | stamp, "results": results}))
    return folder


@pytest.fixture
def hits() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    weak = rng.random(120) < 0.4
    return weak, weak | (rng.random(120) < 0.3)


def test_table_and_paired_test(tmp_path, hits, capsys):
    weak, strong = hits
    first = write_run(tmp_path / "scratch", weak, weights_sha256="a")
    order = np.random.default_rng(1).permutation(120)  # the videos are matched by name, not by place
    second = write_run(
        tmp_path / "pretrained", strong[order], names=[f"v{n}" for n in order], weights_sha256="b", seed=3,
        command="evaluate",
    )  # fmt: skip
    assert main(["compare", str(first), str(second / "result.json"), f"--out={tmp_path / 'table'}"]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "table" / "compare.md").read_text()
    assert f"| scratch | {100 * weak.mean():.1f} [" in printed
    assert "not tested" in printed
    assert "not alike" not in printed
    stamp = json.loads((tmp_path / "table" / "result.json").read_text())["protocol"]
    assert (stamp["command"], stamp["results"]) == ("compare", [str(first), str(second / "result.json")])
    assert (tmp_path / "table" / "config.yaml").exists()
    with (tmp_path / "table" / "compare.csv").open() as file:
        row = list(csv.DictReader(file))[2]
    gap, p_value = paired_difference(strong, weak, seed=0)
    assert (row["result"], row["score"]) == ("pretrained", "top1")
    assert float(row["difference"]) == pytest.approx(gap.value)
    assert float(row["p_value"]) == pytest.approx(p_value, abs=2e-3)
    assert float(row["p_value"]) < 0.01


def test_unlike_protocols_are_refused_unless_told(tmp_path, hits, capsys):
    first = write_run(tmp_path / "a", hits[0])
    second = write_run(tmp_path / "b", hits[1], num_clips=3)
    assert main(["compare", str(first), str(second)]) == 2
    assert "b and a were not measured alike: num_clips: 10 / 3" in capsys.readouterr().err
    assert main(["compare", str(first), str(second), "--allow_unlike"]) == 0
    assert "num_clips: 10 / 3 |" in capsys.readouterr().out


def test_other_videos_are_no_pair(tmp_path, hits, capsys):
    first = write_run(tmp_path / "a", hits[0])
    second = write_run(tmp_path / "b", hits[1], names=[f"v{n + 1}" for n in range(120)])
    assert main(["compare", str(first), str(second)]) == 2
    assert "share only 119 test videos" in capsys.readouterr().err


def test_what_is_no_result_is_named(tmp_path, hits, capsys):
    first = write_run(tmp_path / "a", hits[0])
    (tmp_path / "x.json").write_text("[]")
    for path, message in ((tmp_path / "x.json", "is no result of rspnet"), (tmp_path / "y.json", "cannot read result")):
        assert main(["compare", str(first), str(path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["compare", str(first)]) == 2
    assert "at least two results" in capsys.readouterr().err
