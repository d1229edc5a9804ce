from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from rspnet.cli import main
from rspnet.commands.compare import Result, cure
from rspnet.core.errors import RSPNetError
from rspnet.features.scores import paired_difference
from rspnet.runs.foreign_predictions import read_foreign
from rspnet.runs.predictions import data_stamp, save_predictions

STAMP = {"command": "finetune", "method": "finetune", "dataset": "ucf101", "fold": 1, "num_clips": 10, "seed": 0}


def write_run(
    folder: Path, hits: np.ndarray, *, names: list[str] | None = None, classes: list[str] | None = None, **stamp
) -> Path:
    folder.mkdir(parents=True)
    names = names or [f"v{number}" for number in range(len(hits))]
    columns = {"name": np.array(names), "class": np.array(classes or ["one"] * len(names)), "top1": hits}
    file = save_predictions(folder, columns)
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
    said = capsys.readouterr().err
    assert "a and b were not measured alike: num_clips: a 10, b 3: make them alike (b again by rspnet evaluate" in said
    assert "with --num_clips 10), or compare" in said
    assert main(["compare", str(first), str(second), "--allow_unlike"]) == 0
    assert "num_clips: a 10, b 3 |" in capsys.readouterr().out
    other = write_run(tmp_path / "c", hits[1], num_clips=3, method="probe")  # then all else follows from the method
    assert main(["compare", str(first), str(other)]) == 2
    assert "not measured alike: method: a finetune, c probe: make" in capsys.readouterr().err


def test_a_list_goes_by_what_it_says_and_in_older_results_by_its_file(tmp_path, hits, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["path,label,split", "a.mp4,x,train", "b.mp4,y,train", "c.mp4,x,test"]
    for name, lines in (("one.csv", rows), ("other.csv", rows[:1] + rows[:0:-1]), ("fewer.csv", rows[:3])):
        Path(name).write_text("\n".join(lines))
    stamps = {
        name: data_stamp(
            {"kind": "csv", "root": ".", "fold": 1, "list": path, "test_share": 0.2, "allow_missing": False},
            train=2,
            test=120,
        )
        for name, path in {"a": "one.csv", "b": "./other.csv", "c": "fewer.csv"}.items()
    }
    stamps["c"]["scored_split"] = "test"
    stamps["old"] = {key: value for key, value in stamps["a"].items() if key != "list_sha256"}
    stamps["older"] = stamps["old"] | {"list": "./one.csv"}
    stamps["oldest"] = stamps["old"] | {"list": "fewer.csv"}
    for name, stamp in stamps.items():
        write_run(tmp_path / name, hits[0], **stamp)
    for pair in (("a", "b"), ("a", "older"), ("old", "older")):
        assert main(["compare", *pair]) == 0, pair
    capsys.readouterr()
    assert main(["compare", "a", "c"]) == 2
    assert re.search(
        r"list: a one\.csv \(SHA-256 \w{8}\), c fewer\.csv \(SHA-256 \w{8}\): make", capsys.readouterr().err
    )
    assert main(["compare", "a", "oldest"]) == 2


def as_read(**protocol) -> Result:
    return Result("r", protocol, {}, None)


@pytest.mark.parametrize(
    ("method", "there", "how"),
    [
        ("probe", {"stride": 4, "size": 64}, " (r again by rspnet probe with --size 112 --stride 2)"),
        ("retrieve", {"num_frames": 8}, " (r again by rspnet retrieve with --num_frames 16)"),
        (
            "finetune",
            {"size": 64, "num_clips": 1},
            " (r again by rspnet finetune with --clips.num_clips 10 --clips.size",
        ),
        ("finetune", {"num_clips": 1}, " (r again by rspnet evaluate with --num_clips 10)"),
        ("finetune", {"dataset": "hmdb51", "num_clips": 1}, ""),
        ("finetune", {}, ""),
    ],
)
def test_the_cure_of_another_view_is_named(method, there, how):
    view = {"method": method, "dataset": "csv", "num_frames": 16, "stride": 2, "size": 112, "num_clips": 10}
    found = cure(as_read(**view), as_read(**view | there))
    assert found.startswith(how)
    assert bool(found) == bool(how)


def test_other_videos_are_no_pair(tmp_path, hits, capsys):
    first = write_run(tmp_path / "a", hits[0])
    second = write_run(tmp_path / "b", hits[1], names=[f"v{n + 1}" for n in range(120)])
    assert main(["compare", str(first), str(second)]) == 2
    assert "share only 119 test videos" in capsys.readouterr().err


def test_what_is_no_result_is_named(tmp_path, hits, capsys):
    first = write_run(tmp_path / "a", hits[0])
    (tmp_path / "x.json").write_text("[]")
    for path, message in (
        (tmp_path / "x.json", "is no result of rspnet"),
        (tmp_path / "y.json", "does not exist: name a run folder"),
    ):
        assert main(["compare", str(first), str(path)]) == 2
        assert message in capsys.readouterr().err
    assert main(["compare", str(first)]) == 2
    assert "name a second result" in capsys.readouterr().err


def test_a_published_result_is_set_against_ours(tmp_path, hits, capsys):
    stamp = {"backbone": "r3d_18", "init_sha256": "w", "selection": "official"}
    run = write_run(tmp_path / "mine", hits[0], **stamp)
    assert main(["compare", str(run)]) == 0
    mean = 100 * hits[0].mean()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"ucf101-r3d_18: published 74.3, mine {mean:.1f} [{mean - 10:.1f}, {mean + 10:.1f}]"
    other = write_run(tmp_path / "last", hits[0], **stamp | {"selection": "last"})
    assert main(["compare", str(other)]) == 0
    assert capsys.readouterr().out.endswith("best on the test videos (--protocol official)\n")
    for change in ({"init_sha256": None}, {"backbone": "r3d_10_slim"}, {"fold": 2}):  # from scratch, another one
        assert main(["compare", str(write_run(tmp_path / str(change), hits[0], **stamp | change))]) == 2


def test_predictions_of_another_program(tmp_path, hits, capsys):
    weak, strong = hits
    names = [f"a/v{number}.avi" for number in range(120)]
    run = write_run(tmp_path / "mine", weak, names=names)
    rows = [f"v{n},yes,{'yes' if hit else 'no'}" for n, hit in enumerate(strong)]
    (tmp_path / "theirs.csv").write_text("\n".join(["video,label,prediction", *rows[::-1]]))
    assert main(["compare", str(run), str(tmp_path / "theirs.csv"), f"--out={tmp_path / 'out'}"]) == 0
    assert f"| theirs | {100 * strong.mean():.1f} [" in capsys.readouterr().out
    with (tmp_path / "out" / "compare.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if (row["result"], row["score"]) == ("theirs", "top1"))
    gap, _ = paired_difference(strong, weak, seed=0)
    assert float(row["difference"]) == pytest.approx(gap.value)


def test_scores_of_another_program_are_ranked_by_class(tmp_path):
    rows = [["video", "label", *"abcdefg"]]
    values = np.random.default_rng(0).random((30, 7))
    labels = np.random.default_rng(1).integers(0, 7, 30)
    rows += [[f"v{n}", "abcdefg"[labels[n]], *map(str, values[n])] for n in range(30)]
    (tmp_path / "s.csv").write_text("\n".join(",".join(row) for row in rows))
    found = read_foreign(tmp_path / "s.csv")
    european = "\r\n".join(";".join(row).replace(".", ",") for row in rows)
    (tmp_path / "excel.csv").write_text("\ufeff" + european, encoding="utf-8")
    assert read_foreign(tmp_path / "excel.csv") == found
    order = np.argsort(-values, axis=1)
    for k in (1, 5):
        right = [labels[n] in order[n, :k] for n in range(30)]
        assert list(found.hits[f"top{k}"].values()) == right
        assert found.scores[f"top{k}"].value == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a CSV with the columns video and label"),
        ("video,label\n", "must be a CSV"),
        ("video,label,prediction\na,b,c\na,b,c\n", "line 3: a row of other length, or a video that was there"),
        ("video,label,prediction\na,b\n", "line 2: a row of other length"),
        ("video,label,prediction\na,Bow,bow\n", "classes 'Bow' and 'bow' are nearly the same name"),
        ("video,label,x,y\na,x,1,z\n", "line 2: a score that is no number"),
        ("video,label,x,y\na,w,1,2\n", "line 2: a score that is no number, or a label without a column"),
        ("video,label,x,y\na,x,nan,2\n", "scores must be finite"),
        ("video,label,x,y,Fold\na,x,0.9,0.1,3\nb,y,0.1,0.9,3\n", "column 'Fold' is no class of its videos"),
        (",video,label,x,y\n0,a,x,0.9,0.1\n", "column '' is no class of its videos"),
        ("video,label,prediction\na,b,b\nb,b,\n", "line 3: no prediction"),
        ("video,label,prediction\na, ,b\n", "line 2: no label"),
    ],
)
def test_a_malformed_file_of_predictions_is_named(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RSPNetError, match=message):
        read_foreign(tmp_path / "p.csv")


def test_a_class_of_no_video_is_said_and_one_by_such_a_name_is_a_class(tmp_path, capsys):
    (tmp_path / "p.csv").write_text("video,label,split,y,z\na,split,0.9,0.1,0\nb,y,0.1,0.9,0\n")
    assert read_foreign(tmp_path / "p.csv").scores["top1"].value == 1
    assert "no video is of 'z'; counted as scores of a class" in " ".join(capsys.readouterr().err.split())


def test_true_classes_must_be_those_of_the_other_program(tmp_path, capsys):
    classes = ["Bow", "Run", "Sit"] * 4
    run = write_run(tmp_path / "ours", np.arange(12) % 2 == 0, classes=classes)

    def compared(labels: list[str]) -> tuple[int, str]:
        rows = [f"v{number}.avi,{label},{label}" for number, label in enumerate(labels)]
        (tmp_path / "theirs.csv").write_text("\n".join(["video,label,prediction", *rows]))
        code = main(["compare", str(run), str(tmp_path / "theirs.csv")])
        return code, capsys.readouterr().err

    numbers = {"Bow": "7", "Run": "0", "Sit": "3"}
    for same in (classes, [name.lower() for name in classes], [numbers[name] for name in classes]):
        assert compared(same)[0] == 0
    for other in (["Run", *classes[1:]], ["Bow"] * 12, ["new", *classes[1:]]):
        code, error = compared(other)
        assert code == 2
        assert "ours and theirs differ in the true classes of videos: 'v" in error
