"""What verdicts say that guessing gives, where training and test videos are not of the same classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.clips_on_disk import TINY_FINETUNE, write_videos
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.commands.retrieve import VideoSet, chance_of_hits
from rspnet.data.annotations import VideoRecord
from rspnet.data.synthetic.procedural import read_set
from rspnet.runs.classifiers import open_classifier

CLASSES = {"train": ["a", "a", "a", "b"], "test": ["b", "c"]}
READING = ["--num_workers=0", "--num_clips=2", "--precision=fp32"]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of four training videos of two classes and of two test videos, one of a third class; and a checkpoint."""
    folder = tmp_path_factory.mktemp("set")
    records = read_set(write_videos(folder))
    rows = ["path,label,split"]
    for split, names in CLASSES.items():
        paths = [record.path for record in records if record.clip.split == split]
        rows += [f"{path},{name},{split}" for path, name in zip(paths, names, strict=False)]
    save_tiny_checkpoint(folder / "model.ckpt")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder / "labels.csv"


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def test_a_classifier_guesses_among_the_classes_it_was_trained_on(listed: Path, tmp_path: Path) -> None:
    assert main(["finetune", str(listed), f"--out={tmp_path}", *TINY_FINETUNE, "--max_steps=1"]) == 0
    assert main(["evaluate", str(tmp_path), *READING]) == 0
    shutil.copy(tmp_path / "last.ckpt", tmp_path / "step-1.ckpt")
    assert main(["evaluate", str(tmp_path / "step-1.ckpt"), *READING, f"--out={tmp_path / 'one'}"]) == 0
    for out, weights in (("evaluate", tmp_path), ("one", tmp_path / "step-1.ckpt")):  # what was tested is what is said
        assert result_of(tmp_path / out)["next"][1] == f"rspnet predict VIDEOS --weights {weights}"
    for result in (result_of(tmp_path), result_of(tmp_path / "evaluate")):
        assert (result["results"]["classes"], result["results"]["chance"]) == (3, 0.5)
        assert "guessing gives 50.0%;" in result["verdict"][0]


@pytest.mark.parametrize(("command", "share"), [("probe", "50.0%"), ("retrieve", "12.5%")])  # (1 / 4 + 0) / 2
def test_vectors_are_judged_against_their_training_videos(
    command: str, share: str, listed: Path, tmp_path: Path
) -> None:
    words = [command, str(listed), f"--weights={listed.parent / 'model.ckpt'}", f"--cache={tmp_path / 'cache'}"]
    assert main([*words, *READING, f"--out={tmp_path / 'run'}"]) == 0
    assert f"guessing gives {share};" in result_of(tmp_path / "run")["verdict"][0]


def test_chance_is_what_videos_drawn_from_the_gallery_hit() -> None:
    def video_set(labels: list[int]) -> VideoSet:
        return VideoSet([VideoRecord(Path(f"{i}"), f"{i}", label) for i, label in enumerate(labels)], torch.zeros(1))

    gallery = video_set([0, 0, 0, 1, 1, 2])
    assert chance_of_hits(video_set([1, 1]), gallery) == pytest.approx(2 / 6)  # one class is asked for, of three
    assert chance_of_hits(video_set([0, 1, 2, 3]), gallery) == pytest.approx(1 / 4)  # none is of class 3


def test_a_class_of_the_class_list_without_videos_is_a_class_and_no_guess(listed: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "ucf", tmp_path / "run"
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 a\n2 unseen\n3 b\n4 last\n")
    for split, names in {"train": "abab", "test": "ab"}.items():
        records = [record for record in read_set(listed.parent) if record.clip.split == split]
        lines = []
        for record, name in zip(records, names, strict=False):
            (root / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
            (root / "UCF-101" / name / record.path.name).symlink_to(record.path)
            lines.append(f"{name}/{record.path.name}\n")
        (lists / f"{split}list01.txt").write_text("".join(lines))
    assert main(["finetune", str(root), f"--out={out}", *TINY_FINETUNE, "--max_steps=1"]) == 0
    assert open_classifier(str(out)).class_names == ["a", "unseen", "b", "last"]
    assert result_of(out)["results"]["chance"] == 0.5
    words = ["probe", str(root), f"--weights={listed.parent / 'model.ckpt'}", f"--cache={tmp_path / 'cache'}"]
    assert main([*words, *READING, "--few_labels=[]", f"--out={tmp_path / 'probe'}"]) == 0
    assert "guessing gives 50.0%;" in result_of(tmp_path / "probe")["verdict"][0]
