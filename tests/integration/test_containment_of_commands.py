"""A video whose decoder ends its process is skipped and named by every command that reads videos."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from helpers import crashing
from helpers.clips_on_disk import TINY_FINETUNE, listed, write_listed_videos
from helpers.extras import need
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.data import reading

ABORT, SEGV, HANG = ("the decoder crashed (SIGABRT)", "the decoder crashed (SIGSEGV)", "the decoder hung")
READING = ["--num_workers=1", "--device=cpu", "--precision=fp32"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """12 sound videos with labels, one to train on and one to test on that kill, a checkpoint, and a small folder."""
    folder = write_listed_videos(
        tmp_path_factory.mktemp("set"), count=12, label=lambda place, _: "even" if place % 2 else "odd"
    )
    rows = list(csv.reader((folder / "labels.csv").read_text().splitlines()))[1:]
    for name, split in (("abort.mp4", "train"), ("segv.mp4", "test")):
        sound = next(folder / row[0] for row in rows if row[0].endswith(".mp4"))
        box = name.encode().ljust(16)  # a content of its own: features are kept by content
        (folder / name).write_bytes(sound.read_bytes() + len(box + b"sizefree").to_bytes(4, "big") + b"free" + box)
        with (folder / "labels.csv").open("a") as file:
            file.write(f"\n{name},odd,{split}")
    (folder / "few").mkdir()
    three = [folder / row[0] for row in rows if row[0].endswith(".mp4")][:3]
    for path, name in zip(three, ("a.mp4", "abort.mp4", "z.mp4"), strict=True):
        shutil.copyfile(path, folder / "few" / name)
    save_tiny_checkpoint(folder / "model.ckpt")
    return folder


@pytest.fixture(autouse=True)
def _planted(monkeypatch):
    crashing.plant_everywhere(monkeypatch)


def reasons(path: Path) -> dict[str, str]:
    return {Path(name).name: reason for name, reason in list(csv.reader(path.read_text().splitlines()))[1:]}


def test_finetune_evaluate_predict(root, tmp_path, capsys):
    run = tmp_path / "run"
    options = [*TINY_FINETUNE, "--clips.num_workers=1", "--clips.max_skipped=0.5", "--epochs=1", "--seed=1"]
    assert main(["finetune", *listed(root), f"--out={run}", *options]) == 0
    assert reasons(run / "skipped.csv") == {"abort.mp4": ABORT}
    assert reasons(run / "skipped_test.csv") == {"segv.mp4": SEGV}
    assert main(["evaluate", str(run), f"--out={tmp_path / 'again'}", *READING]) == 0
    assert reasons(tmp_path / "again" / "skipped_test.csv") == {"segv.mp4": SEGV}
    capsys.readouterr()
    assert main(["predict", f"--weights={run}", str(root / "few"), *READING]) == 0
    said = capsys.readouterr()
    assert f"abort.mp4: cannot be read: {ABORT}" in said.err
    assert [line.partition(":")[0] for line in said.out.splitlines()] == ["a.mp4", "z.mp4"]


def test_embed(root, tmp_path):
    out = tmp_path / "out"
    assert (
        main(
            ["embed", f"--weights={root / 'model.ckpt'}", str(root / "few"), f"--out={out}", "--num_clips=1", *READING]
        )
        == 0
    )
    assert reasons(out / "skipped.csv") == {"abort.mp4": ABORT}


@pytest.mark.parametrize("command", ["probe", "retrieve", "retrieve --protocol=official --official_batch=1"])
def test_labelled_features(root, tmp_path, command):
    out = tmp_path / "out"
    options = [f"--out={out}", f"--cache={tmp_path / 'cache'}", "--num_clips=1", *READING]
    options += ["--few_labels=[1]"] if command == "probe" else []
    assert main([*command.split(), f"--weights={root / 'model.ckpt'}", *listed(root), *options]) == 0
    assert reasons(out / "skipped.csv") == {"abort.mp4": ABORT, "segv.mp4": SEGV}


def test_index_and_search(root, tmp_path, capsys):
    need("lancedb")
    folder, library = tmp_path / "videos", tmp_path / "library"
    shutil.copytree(root / "few", folder)
    words = ["index", str(folder), f"--out={library}", f"--weights={root / 'model.ckpt'}", *READING]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert f"abort.mp4': {ABORT}" in said
    assert "2 videos, " in said
    assert "1 skipped" in said
    assert main(["search", str(library), str(folder / "abort.mp4")]) == 2
    assert capsys.readouterr().err.count(ABORT) == 1


def test_a_hit_that_cannot_be_shown_is_named(root, tmp_path, capsys, monkeypatch):
    need("lancedb")
    folder, library, sheet = tmp_path / "videos", tmp_path / "library", tmp_path / "sheet.png"
    shutil.copytree(root / "few", folder)
    (folder / "abort.mp4").rename(folder / "segv.mp4")
    words = ["index", str(folder), f"--out={library}", f"--weights={root / 'model.ckpt'}", "--num_workers=0"]
    with monkeypatch.context() as unplanted:
        unplanted.setattr(crashing, "DEADLY", ("none",))
        assert main(words) == 0
    capsys.readouterr()
    assert main(["search", str(library), str(folder / "a.mp4"), f"--out={sheet}"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("not on the sheet") == 1
    assert f"segv.mp4': {SEGV}" in said
    assert sheet.stat().st_size > 1000


def test_doctor_names_it_and_a_hanging_one(root, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "HANG_SECONDS", 2.0)
    folder = tmp_path / "videos"
    shutil.copytree(root / "few", folder)
    shutil.copyfile(folder / "a.mp4", folder / "hang.mp4")
    assert main(["doctor", str(folder), f"--out={tmp_path / 'out'}", "--num_workers=1", "--num_frames=4"]) == 1
    report = {row["name"]: row["findings"] for row in json.loads((tmp_path / "out" / "report.json").read_text())}
    crashes = {name: found[0]["detail"] for name, found in report.items() if found and found[0]["kind"] == "crash"}
    assert crashes == {"abort.mp4": ABORT, "hang.mp4": HANG}
