"""`rspnet study`: rows, resume, sharing among processes, reports; specs and their errors."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.clips_on_disk import write_videos
from helpers.narrow import NARROW
from helpers.stopping import stop_after

from rspnet.cli import main
from rspnet.core.files import sha256_of
from rspnet.core.locks import LOCK, claimed
from rspnet.data.annotations import VideoRecord
from rspnet.data.synthetic.acting_picture import render_scene
from rspnet.lab.study import row_scores, study_report
from rspnet.lab.study import rows as rows_module
from rspnet.lab.study.finetuned import hits_in_order, labels_csv
from rspnet.lab.study.judged import JudgedSpec
from rspnet.lab.study.plots import draw_study
from rspnet.lab.study.rows import changed, finished, row_folder, row_protocol, training_seconds
from rspnet.lab.study.run_study import rows_of
from rspnet.lab.study.sets import StudySet, Task
from rspnet.lab.study.spec import read_study, row_config, smaller
from rspnet.lab.study.study_report import as_json, block, gather, read_kept, write_study_report
from rspnet.recipes import recipe_names
from rspnet.video.reader import open_video

READY_MADE = [name.removeprefix("study/") for name in recipe_names() if name.startswith("study/")]
EVIDENCE = Path(__file__).resolve().parents[3] / "docs" / "evidence"
SPEC: dict[str, Any] = {
    "title": "Tiny",
    "about": "A test.",
    "videos": "path",
    "labels": {"motion": ["motion"], "speed": ["speed"]},
    "bins": {"speed": 2},
    "reference": "joint",
    "oracle": [2],
    "seeds": [0, 1],
    "base": {"model": {"queue_size": 8, "backbone": NARROW}, "engine": {"loggers": ["csv"]}},
    "runs": {"random": {"trained": False}, "joint": None, "order": {"model": {"method": "order"}}},
}


@pytest.fixture(scope="module", autouse=True)
def two_draws() -> Iterator[None]:
    """Few labels are drawn twice, not five times: most of what a row costs are the classifiers of these draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_scores, "DRAWS", 2)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("set"), count=32, num_frames=16, size=32)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(yaml.safe_dump(SPEC, sort_keys=False))
    return path


def study(spec: Path, root: Path, out: Path, *more: str) -> int:
    return main(["study", str(spec), str(root), "--out", str(out), "--smoke", *more])


@pytest.fixture(scope="module")
def whole(spec: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert study(spec, root, out, "--seeds", "[0,1]") == 0
    return out


def row(out: Path, run: str, seed: int = 0) -> dict[str, Any]:
    return json.loads((row_folder(out, run, seed) / "row.json").read_text())


def test_every_row_has_scores_protocol_and_cost(whole: Path) -> None:
    for run in ("random", "joint", "order"):
        found = row(whole, run)
        assert (found["run"], found["seed"], found["study"]) == (run, 0, "tiny")
        assert found["protocol"]["steps"] == (0 if run == "random" else 2)
        assert found["protocol"]["data"]["size"] == 32
        assert found["protocol"]["engine"] == {"precision": "fp32", "channels_last": True}
        assert found["protocol"]["videos"]["train"] == 12
        assert set(found["scores"]) == {"motion", "speed"}
        assert all(0 <= value <= 1 for part in found["scores"].values() for value in part.values())
        assert len(found["hits"]["motion"]["linear"]) == found["protocol"]["videos"]["test"]
        assert found["spent"]["judge"]["cpu_seconds"] > 0
    assert "motion_accuracy" in row(whole, "joint")["pretext"]
    assert row(whole, "order")["protocol"]["model"]["method"] == "order"
    assert (
        row(whole, "joint")["scores"] != row(whole, "joint", 1)["scores"]
        or row(whole, "joint")["pretext"] != row(whole, "joint", 1)["pretext"]
    )
    assert 0 <= json.loads((whole / "oracle.json").read_text())["relative"] <= 1
    assert len((whole / "train.csv").read_text().splitlines()) == 13


def test_finished_rows_are_not_made_again(
    whole: Path, spec: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rows_module, "run_pretraining", lambda *_: pytest.fail("made again"))
    assert study(spec, root, whole) == 0
    assert "3 rows: 0 made, 3 there already, 0 in other hands" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("change", ["hand-made", "weights", "set"])
def test_a_row_of_another_experiment_is_not_taken_for_this_one(
    change: str, whole: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = dict(SPEC)
    if change == "hand-made":
        content["runs"] = SPEC["runs"] | {"random": {"hand_made": True}}
    if change == "weights":
        content["base"] = SPEC["base"] | {"weights": str(row_folder(whole, "joint", 0))}
    if change == "set":  # as many videos of the same names, classes and split
        root = write_videos(tmp_path / "set", count=32, num_frames=17, size=32)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    run = "random" if change == "hand-made" else "joint"
    assert study(path, root, whole, "--only", f"[{run}]") == 2
    name = {"hand-made": "kind fresh", "weights": "weights None", "set": "videos {"}[change]
    assert f"was made with {name}" in capsys.readouterr().err
    if change == "weights":  # by content, and of a row of an older version, which did not say, nothing is known
        plan, videos = read_study(str(path)), StudySet([], [], np.zeros(0, bool), {})
        config = row_config(plan, "joint", seed=0, root="v", listed=None, out="o")
        weights = row_protocol(plan, config, "joint", videos)["weights"]
        assert weights == sha256_of(row_folder(whole, "joint", 0) / "last.ckpt")
        old = {name: value for name, value in row(whole, "joint")["protocol"].items() if name != "kind"}
        assert changed(old, old | {"kind": "trained", "weights": weights}) == ""


def test_a_study_may_leave_entries_empty_and_name_runs_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    odd = {"x": None, "finetune": None, "judged": None, "title": 2024, "reference": 1, "labels": {"motion": [7]}}
    path.write_text(yaml.safe_dump(SPEC | odd | {"runs": {1: None, "lr=0.1": {}, "no head": {}}}))
    plan = read_study(str(path))
    assert (plan.x, plan.finetune, plan.judged, plan.title, plan.reference) == (None, {}, {}, "2024", "1")
    assert (plan.labels, list(plan.runs)) == ({"motion": ["7"]}, ["1", "lr=0.1", "no head"])


@pytest.mark.parametrize(
    ("change", "run", "said"),
    [
        ({"view": {"stride": 2}}, "joint", "their training"),
        ({"recipe": "pretrain/slim-cpu"}, "joint", "their training"),
        ({"view": {"stride": 2}}, "random", "how, or on which videos, they are judged"),
        ({}, "random", "how, or on which videos, they are judged"),  # of another set
    ],
)
def test_a_report_refuses_rows_that_do_not_belong_together(
    change: dict[str, Any],
    run: str,
    said: str,
    whole: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(row_folder(whole, "joint", 0), row_folder(out, "joint", 0))
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(SPEC | change, sort_keys=False))
    if not change:
        root = write_videos(tmp_path / "set", count=32, num_frames=17, size=32)
    assert study(path, root, out, "--only", f"[{run}]", "--seeds", "[1]") == 0
    assert main(["study", str(path), "--out", str(out), "--report", str(tmp_path / "report")]) == 2
    assert re.search(rf"joint-seed0.*{run}-seed1.*other settings \({said}", capsys.readouterr().err)
    assert not (tmp_path / "report").exists()


def test_a_dry_run_says_what_is_left_and_what_it_costs(
    whole: Path,
    spec: Path,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("rspnet.runs.training_preview.SECONDS", 0.0)
    out = tmp_path / "out"
    assert study(spec, root, out, "--dry_run", "--only", "[random,joint]", "--seeds", "[0,1]") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "4 rows to make, 0 there already"
    assert re.fullmatch(r"  random: 2 rows, each no training, \d+ s for features", told[1])
    assert re.fullmatch(r"  joint: 2 rows, each \d+ s of training, \d+ s for features", told[2])
    assert re.fullmatch(rf"together about \d+ s on the CPU .*, [\d.]+ MB of checkpoints in {out}", told[3])
    assert "note: not counted: the classifiers" in told[4]
    assert not out.exists()
    assert study(spec, root, whole, "--dry_run") == 0
    assert capsys.readouterr().out.splitlines() == ["0 rows to make, 3 there already"]


def test_a_row_in_other_hands_is_left_alone(
    spec: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with claimed(row_folder(tmp_path, "random", 0) / LOCK) as ours:
        assert ours
        assert study(spec, root, tmp_path, "--only", "[random]") == 0
        assert "0 made, 0 there already, 1 in other hands" in " ".join(capsys.readouterr().err.split())
    assert study(spec, root, tmp_path, "--only", "[random]") == 0
    assert "1 made" in capsys.readouterr().err


def test_a_stopped_row_goes_on_and_ends_alike(
    whole: Path, spec: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopping:
        stop_after(stopping, 1)
        assert study(spec, root, tmp_path, "--only", "[joint]") == 130
    assert not (row_folder(tmp_path, "joint", 0) / "row.json").exists()
    assert study(spec, root, tmp_path, "--only", "[joint]") == 0
    assert row(tmp_path, "joint")["scores"] == row(whole, "joint")["scores"]
    assert row(tmp_path, "joint")["spent"]["pretrain"]["resumed"]


def test_rows_of_other_options_are_not_mixed(
    whole: Path, spec: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "tiny.yaml"
    other.write_text(yaml.safe_dump(SPEC | {"base": SPEC["base"] | {"model": {"queue_size": 4, "backbone": NARROW}}}))
    assert study(other, root, whole) == 2
    assert "was made with model ['queue_size 8'], the study now says" in capsys.readouterr().err


def test_an_option_added_later_had_its_default_in_older_rows(whole: Path, tmp_path: Path) -> None:
    made = row(whole, "joint")
    wanted = json.loads(json.dumps(made["protocol"]))
    del made["protocol"]["model"]["margin"]
    made["protocol"]["model"]["order_clips"] = 3  # gone, but every run does so now
    (tmp_path / "row.json").write_text(json.dumps(made))
    assert finished(tmp_path, wanted)
    wanted["model"]["margin"] = 8.0
    with pytest.raises(ValueError, match=r"was made with model \['margin 2\.0'\]"):
        finished(tmp_path, wanted)


def test_a_row_with_an_option_that_is_gone_and_was_not_what_is_built_in_is_refused(whole: Path, tmp_path: Path) -> None:
    made = row(whole, "joint")
    wanted = json.loads(json.dumps(made["protocol"]))
    made["protocol"]["optim"]["momentum"] = 0.5
    (tmp_path / "row.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match="was made with optim"):
        finished(tmp_path, wanted)


def test_rows_of_the_documents_are_still_those_of_the_ready_made_studies(tmp_path: Path) -> None:
    """An option added to the protocol must not throw away rows that took hours."""
    for kept in sorted(EVIDENCE.glob("*.json")):
        if kept.stem not in READY_MADE:
            continue
        plan = read_study(kept.stem)
        for made in read_kept(kept)["rows"]:
            counts = made["protocol"]["videos"]
            video = VideoRecord(Path("v.avi"), "v.avi")
            chosen = np.arange(counts["train"]) < counts["validation"]
            videos = StudySet([video] * counts["train"], [video] * counts["test"], chosen, {})
            config = row_config(plan, made["run"], seed=made["seed"], root="v", listed="l", out="o")
            (tmp_path / "row.json").write_text(json.dumps(made))
            assert finished(tmp_path, row_protocol(plan, config, made["run"], videos))


def test_a_run_may_have_a_recipe_and_a_precision_of_its_own(whole: Path, tmp_path: Path) -> None:
    plan = read_study("time")
    published, fast = (row_config(plan, run, seed=0, root="v", listed="l", out="o") for run in ("published", "fast-50"))
    assert (published.model.backbone, published.model.input, published.optim.name) == ("r3d_18", "rgb", "sgd")
    assert (fast.model.backbone, fast.model.input, fast.optim.name) == ("r3d_10_slim", "scaled_difference", "adamw")
    videos = StudySet([VideoRecord(Path("v"), "v")] * 960, [], np.zeros(960, dtype=np.bool_), {})
    protocols = [row_protocol(plan, config, "published", videos) for config in (published, fast)]
    assert [protocol["steps"] for protocol in protocols] == [15, 50]
    assert protocols[0]["engine"] == {"precision": "fp32", "channels_last": False}
    assert protocols[1]["engine"] == {"precision": "auto", "channels_last": True}
    made = row(whole, "joint")
    wanted = made["protocol"] | {"engine": {"precision": "bf16", "channels_last": True}}
    (tmp_path / "row.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match="was made with engine \\['precision fp32'\\]"):
        finished(tmp_path, wanted)


def test_scores_against_cpu_seconds_and_runs_of_several_kinds(whole: Path, spec: Path, tmp_path: Path) -> None:
    plan = dataclasses.replace(read_study(str(spec)), x="cpu_seconds")
    content = gather(plan, whole)
    rows = content["rows"]
    for place, one in enumerate(rows):
        one["spent"]["pretrain"] = {"cpu_seconds": 100.0 * place, "wall_seconds": 1.0, "resumed": place == 3}
        if one["run"] == "order":
            one["protocol"]["engine"]["precision"] = "auto"
            one["protocol"]["data"]["size"] = 48
    names, seconds = zip(*((one["run"], one["spent"]["pretrain"]["cpu_seconds"]) for one in rows), strict=True)
    assert names == ("random", "random", "joint", "joint", "order", "order")
    assert seconds == (0, 100, 200, 300, 400, 500)
    assert [training_seconds(rows[first : first + 2]) for first in (0, 2, 4)] == [50, 200, 450]  # 300 was resumed
    text = block(plan, content)
    assert f"{NARROW}, 4 frames x 32², batch 4, adamw, fp32 (random, joint); {NARROW}, 4 frames x 48²" in text
    assert "batch 4, adamw (order); pre-trained on" in text
    draw_study(tmp_path / "time.png", plan, rows)
    assert (tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_holds_all_rows_and_is_made_again_from_what_it_kept(whole: Path, spec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    assert main(["study", str(spec), "--out", str(whole), "--report", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {f"tiny{end}" for end in (".json", ".md", ".csv", ".png")} | {
        "tiny-oracle.png"
    }
    text = (folder / "tiny.md").read_text()
    assert "![Tiny](tiny.png)" in text
    assert "| joint | 2 |" in text
    assert "minus *joint*" in text
    assert "Oracle: by the mean absolute frame difference alone" in text
    with (folder / "tiny.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 3 * 2 * 2 * 6
    value = next(r for r in table if (r["run"], r["seed"], r["task"], r["score"]) == ("joint", "0", "motion", "linear"))
    assert float(value["value"]) == row(whole, "joint")["scores"]["motion"]["linear"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["study", str(spec), "--out", str(tmp_path / "nothing"), "--report", str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_report_leaves_out_sets_that_its_rows_were_not_judged_on(whole: Path, spec: Path, tmp_path: Path) -> None:
    """Rows of `--smoke` have no judged sets."""
    plan = dataclasses.replace(read_study(str(spec)), judged={"far": JudgedSpec(label="act", folder="far")})
    write_study_report(plan, whole, tmp_path / "report")
    text = (tmp_path / "report" / "tiny.md").read_text()
    assert "*motion* (" in text
    assert "far" not in text


def test_a_report_that_fails_leaves_no_file(
    whole: Path, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(study_report, "rows_csv")  # the last text that is made
    with pytest.raises(NameError, match="rows_csv"):
        write_study_report(read_study(str(spec)), whole, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_study_that_tunes_shows_no_test_score(whole: Path, spec: Path) -> None:
    plan = read_study(str(spec))
    content = gather(plan, whole)
    tuning = block(dataclasses.replace(plan, tuning=True), content)
    scores = [row(whole, "random", seed)["scores"]["motion"]["linear_validation"] for seed in (0, 1)]
    assert "| run | seeds | linear probe, validation | R@1, validation |" in tuning
    assert f"| random | 2 | {50 * sum(scores):.1f} [" in tuning
    assert "R@5" not in tuning
    assert "minus" not in tuning


@pytest.fixture(scope="module")
def finetuning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tuned.yaml"
    options = {"optim": {"name": "adamw", "lr": 0.001, "schedule_unit": "step"}, "max_steps": 300}
    runs = {name: SPEC["runs"][name] for name in ("random", "joint")}
    path.write_text(yaml.safe_dump(SPEC | {"finetune": options, "runs": runs, "oracle": []}, sort_keys=False))
    return path


def test_a_study_may_fine_tune_every_network_on_every_task(
    finetuning: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopping:
        stop_after(stopping, 3)  # of the two steps of pre-training and the two of each task's fine-tuning
        assert study(finetuning, root, tmp_path, "--only", "[joint]") == 130
    assert (tmp_path / "rows" / "joint-seed0" / "finetune-0" / "last.ckpt").exists()
    assert study(finetuning, root, tmp_path) == 0
    for run in ("random", "joint"):
        found = row(tmp_path, run)
        for number, task in enumerate(("motion", "speed")):
            folder = tmp_path / "rows" / f"{run}-seed0" / f"finetune-{number}"
            result = json.loads((folder / "result.json").read_text())
            assert found["scores"][task]["finetuned"] == pytest.approx(result["results"]["scores"]["top1"]["value"])
            hits = found["hits"][task]["finetuned"]
            assert hits.count("1") / len(hits) == pytest.approx(found["scores"][task]["finetuned"])
            assert (result["protocol"]["init_sha256"] is None) == (run == "random")
            assert result["protocol"]["training"]["max_steps"] == 2
        assert found["protocol"]["finetune"]["optim"]["lr"] == 0.001
    plan = read_study(str(finetuning))
    content = gather(plan, tmp_path)
    text = block(plan, content)
    assert "| R@5 | 5 labels a class | fine-tuned |" in text
    assert "motion, fine-tuned | speed, linear probe" in text
    assert "CPU s judging | CPU s fine-tuning |" in text
    costs = [line.split(" | ") for line in text.split("CPU s fine-tuning |")[1].splitlines() if "|" in line[:1]]
    assert [(cells[0], cells[3][:1]) for cells in costs[1:]] == [("| random", "0"), ("| joint", ">")]  # it was stopped
    draw_study(tmp_path / "tuned.png", plan, content["rows"])
    assert (tmp_path / "tuned.png").read_bytes().startswith(b"\x89PNG")


def test_hits_of_fine_tuning_are_in_the_order_of_the_set_and_whole(tmp_path: Path) -> None:
    records = [VideoRecord(Path(name), name) for name in ("a, b.avi", "c.avi", "d.avi")]
    task = Task(("x", "y"), np.array([0, 1, 1]), np.array([1, -1, 0]))
    videos = StudySet(records, records, np.zeros(3, dtype=np.bool_), {"t": task})
    table = list(csv.reader(labels_csv(videos, task).splitlines()))
    assert table[1:] == [
        ["a, b.avi", "x", "train"], ["c.avi", "y", "train"], ["d.avi", "y", "train"],
        ["a, b.avi", "y", "test"], ["d.avi", "x", "test"],
    ]  # fmt: skip
    np.savez(tmp_path / "p.npz", name=np.array(["d.avi", "a, b.avi"]), top1=np.array([True, False]))
    assert hits_in_order(videos, task, tmp_path / "p.npz").tolist() == [False, True]
    np.savez(tmp_path / "p.npz", name=np.array(["d.avi"]), top1=np.array([True]))
    with pytest.raises(ValueError, match=r"a, b\.avi: not tested"):
        hits_in_order(videos, task, tmp_path / "p.npz")


def test_a_study_may_train_on_drawn_scenes_alone(spec: Path, root: Path, tmp_path: Path) -> None:
    """As rspnet-small is trained: each seed on its own scenes, all of them seen, none of the data set's videos."""
    path = tmp_path / "far.yaml"
    runs = {name: SPEC["runs"][name] for name in ("random", "joint")}
    path.write_text(yaml.safe_dump(SPEC | {"scenes": 800, "oracle": [], "runs": runs}))
    assert study(path, root, tmp_path / "out", "--seeds", "[0,1]") == 0
    found = [row(tmp_path / "out", "joint", seed) for seed in (0, 1)]
    assert [made["protocol"]["scenes"] for made in found] == [8, 8]
    assert [made["protocol"]["videos"]["train"] for made in found] == [12, 12]
    for seed in (0, 1):
        settings = yaml.safe_load((tmp_path / "out" / "rows" / f"joint-seed{seed}" / "config.yaml").read_text())
        scenes = tmp_path / "out" / f"scenes-seed{seed}"
        assert (settings["data"]["root"], settings["data"]["list"]) == (str(scenes), None)
        assert sorted(file.name for file in scenes.iterdir())[:2] == ["00000.mp4", "00001.avi"]
        with open_video(scenes / "00000.mp4") as video:
            assert (len(video), video.height, video.width) == (96, 80, 80)
            drawn = render_scene(seed=seed + 1, number=0, num_frames=96, size=80)
            assert np.abs(video.frames_at(range(96)).astype(float) - drawn).mean() < 12
    other = render_scene(seed=1, number=0, num_frames=96, size=80)
    assert np.abs(other.astype(float) - drawn).mean() > 24
    assert study(path, root, tmp_path / "out", "--dry_run") == 0


def test_a_report_of_nothing_says_so(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", str(spec), "--out", str(tmp_path / "nothing"), "--report", str(tmp_path / "report")]) == 2
    assert "no finished row" in capsys.readouterr().err


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_studies_are_sound(name: str) -> None:
    plan = read_study(name)
    assert len(plan.seeds) >= 3
    for run in plan.runs:
        config = row_config(plan, run, seed=5, root="videos", listed="train.csv", out="run")
        assert config.seed == 5
        assert config.resume
        assert config.engine.threads == 1
        own = 16 if plan.recipe == "pretrain/small-cpu" else 8
        assert name in ("shapes", "time") or (config.data.num_frames, config.data.size) == (own, 48)
    assert all(
        row_config(smaller(plan), run, seed=0, root="v", listed="l", out="o").max_steps == 2 for run in plan.runs
    )


def test_rows_come_seed_by_seed_and_unknown_runs_are_refused(spec: Path) -> None:
    plan = read_study(str(spec))
    assert list(rows_of(plan, only=["joint", "random"], seeds=[])) == [
        ("random", 0), ("joint", 0), ("random", 1), ("joint", 1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="--only 'none': study tiny has the runs random, joint, order"):
        list(rows_of(plan, only=["none"], seeds=[]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "none"}, "reference 'none' is none of its runs"),
        ({"runs": {"joint": {"model": {"tau": 1}}}}, "run 'joint'.*'tau'"),
        ({"runs": {"joint": {"model": {"margin": -1}}}}, "margin -1.0: must not be negative"),
        ({"finetune": {"rate": 1}}, "study bad, finetune: .*'rate'"),
        ({"finetune": {"optim": {"lr": 0}}}, "--optim.lr 0: must be above 0"),
        ({"scenes": 8, "finetune": {"max_steps": 1}}, "trained on drawn scenes is not fine-tuned"),
        ({"colour": 1}, "'colour' is not accepted"),
        ({"seeds": 3}, "seeds '3': must be a list"),
        ({"seeds": ["a"]}, "seeds 'a': must be a whole number"),
        ({"seeds": []}, "different whole numbers"),
        ({"seeds": [0, 0]}, "different whole numbers"),
        ({"oracle": 2}, "oracle '2': must be a list"),
        ({"labels": {}}, "labels: name a task"),
        ({"labels": {"motion": "motion"}}, "labels 'motion': must be a list"),
        ({"runs": ["joint"]}, "runs"),
        ({"runs": {"joint": 3}}, "runs"),
        ({"runs": {"joint": {"model": 3}}}, "model: 3 is no section"),
        ({"runs": {"joint": {"max_steps": "many"}}}, "--max_steps 'many': must be a whole number"),
        ({"runs": {"joint": {"trained": "perhaps"}}}, "trained 'perhaps': must be true or false"),
        ({"runs": {"joint": {}, "a/b": {}}}, "run 'a/b': a name has no slash"),
        ({"view": {"classifier": "logistik"}}, "view.classifier 'logistik': must be one of logistic, ridge"),
        ({"view": {"stream": "bar"}}, "view.stream 'bar'"),
        ({"x": "seed"}, "x 'seed': must be steps"),
        ({"x": "data.num_workers"}, "x 'data.num_workers': must be steps"),
        ({"x": "foo"}, "x 'foo': must be steps, cpu_seconds or an option with numbers"),
        ({"judged": {"far": {"label": "class", "folder": "f"}}}, "judged sets need the classifier ridge"),
        ({"judged": {"far": {"label": "class"}}}, "either a folder or a number of drawn videos"),
    ],
)
def test_studies_that_make_no_sense_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(SPEC | changes))
    with pytest.raises(ValueError, match=message):
        read_study(str(path))
    assert main(["study", str(path), "videos"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_line_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "claims"]) == 2
    assert "name the folder of the labelled videos: rspnet study claims DATASET" in capsys.readouterr().err
    assert main(["study", "none", "x"]) == 2
    assert "one of" in capsys.readouterr().err
    assert main(["study", "none.yaml", "x"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_the_documents_tables_are_those_of_the_kept_rows() -> None:
    """Nothing in docs/evidence is typed by hand: every table comes out of the JSON beside it."""
    folder = EVIDENCE
    for kept in sorted(folder.glob("*.json")):
        if f"study/{kept.stem}" not in recipe_names():
            continue
        plan, content = read_study(kept.stem), read_kept(kept)
        assert kept.read_text() == as_json(content)
        assert (folder / f"{kept.stem}.md").read_text() == block(plan, content)
        assert f"](evidence/{kept.stem}.md)" in folder.with_suffix(".md").read_text()
