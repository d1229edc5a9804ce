from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.clips_on_disk import listed, write_labelled_videos, write_listed_videos
from helpers.narrow import NARROW
from helpers.stopping import stop_after
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.api.finetuning import batch_for
from rspnet.api.finetuning_videos import carve_validation
from rspnet.cli import main, parse
from rspnet.core.errors import ConfigError
from rspnet.data.annotations import VideoRecord
from rspnet.data.synthetic.procedural import read_set
from rspnet.engine.checkpoint import load_checkpoint, save_checkpoint
from rspnet.engine.curves import read_curves
from rspnet.pretext.pretrained import load_pretrained
from rspnet.recipes import recipe_names
from rspnet.runs.classifiers import open_classifier
from rspnet.runs.predictions import read_predictions

TINY = [
    "--clips.num_frames=4", "--clips.size=32", "--clips.batch_size=4", "--clips.num_workers=0", "--clips.num_clips=2",
    "--engine.device=cpu", "--engine.precision=fp32", "--engine.threads=1", "--engine.log_every=2",
    "--engine.loggers=[csv]", "--model.input=difference",
]  # fmt: skip
SMALL = [f"--model.backbone={NARROW}"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """24 videos of a labelled set (18 to train, 6 to test), and a pre-trained checkpoint."""
    root = write_listed_videos(tmp_path_factory.mktemp("set"), label=lambda place, _: "even" if place % 2 else "odd")
    save_tiny_checkpoint(root / "model.ckpt")
    return root


def words(root: Path, out: Path, *options: str) -> list[str]:
    return ["finetune", *listed(root), f"--out={out}", *TINY, *options]


def result_of(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def timeless(result: dict) -> dict:
    return {name: value for name, value in result.items() if name not in ("finished", "next")}


def test_from_pretrained_weights_and_test_again(videos, tmp_path, capsys):
    out = tmp_path / "run"
    init = f"--weights={videos / 'model.ckpt'}"
    assert main(words(videos, out, init, "--epochs=2", "--optim.lr=0.01")) == 0
    result = result_of(out)
    assert set(result["results"]["scores"]) == {"top1", "top5", "mean_class_accuracy"}
    stamp = result["protocol"]
    assert (stamp["dataset"], stamp["backbone"], stamp["num_clips"], stamp["selection"]) == (
        "csv", NARROW, 2, "last",
    )  # fmt: skip
    assert stamp["init_sha256"]
    hits = read_predictions(out / result["results"]["predictions"], ["name", "top1", "class", "predicted"])
    assert hits["top1"].mean() == pytest.approx(result["results"]["scores"]["top1"]["value"])
    assert ((hits["class"] == hits["predicted"]) == hits["top1"]).all()
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert result["results"]["predictions"] == "predictions.parquet"
    again = tmp_path / "again"
    assert main(["evaluate", str(out), f"--out={again}", "--num_workers=0", "--device=cpu", "--precision=fp32"]) == 0
    assert result_of(again)["results"]["scores"] == result["results"]["scores"]
    assert main(["evaluate", str(out), "--num_crops=3", "--num_workers=0", "--precision=fp32"]) == 0
    assert result_of(out / "evaluate")["protocol"]["num_crops"] == 3
    capsys.readouterr()
    video = next(record for record in read_set(videos) if record.clip.split == "test").path
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert (
        main(["predict", f"--weights={out}", str(video), str(tmp_path / "broken.mp4"), "--top=2", "--precision=fp32"])
        == 0
    )
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{video}: ")
    assert re.search(r"odd [01]\.\d{3}", printed.out)
    assert "broken.mp4: cannot be read" in printed.err


def test_scores_are_the_mean_probability_of_the_clips(videos, tmp_path):
    from rspnet.data.augment import normalise
    from rspnet.video.clips import even_clips
    from rspnet.video.reader import View, open_video

    out = tmp_path / "run"
    assert main(words(videos, out, *SMALL, "--max_steps=2")) == 0
    model = open_classifier(str(out)).model
    best = read_predictions(out / result_of(out)["results"]["predictions"], ["best_scores"])["best_scores"]
    record = next(record for record in read_set(videos) if record.clip.split == "test")
    with open_video(record.path) as video:
        rows = []
        for clip in even_clips(len(video), num_frames=4, stride_frames=1, num_clips=2):
            side = min(video.height, video.width)
            box = ((video.height - side) // 2, (video.width - side) // 2, side, side)
            (pixels,) = video.read_views([View(clip.tolist(), box=box, size=(32, 32))])
            with torch.no_grad():
                rows.append(model(normalise(torch.as_tensor(pixels)[None])).softmax(1)[0].numpy())
    np.testing.assert_allclose(np.sort(np.mean(rows, axis=0))[::-1], best[0], rtol=1e-4)


def test_stopped_and_resumed_gives_the_same_result(videos, tmp_path, monkeypatch):
    """Whole without loader processes, stopped with one, resumed with two: not a figure differs. (A run that is killed
    goes on to the same bytes: tests/integration/test_kills.py.)
    """
    options = [
        *SMALL,
        "--max_steps=8",
        "--protocol=validation",
        "--validation_share=0.2",
        "--engine.checkpoint_every=1",
    ]
    options += ["--model.dropout=0.3"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(words(videos, whole, *options)) == 0
    with monkeypatch.context() as stopping:
        stop_after(stopping, 5)
        assert main(words(videos, broken, *options, "--clips.num_workers=1")) == 130
    assert [row["step"] for row in read_curves(broken / "metrics.csv")] == ["2", "4", "5"]  # as far as it came
    assert main(words(videos, broken, *options)) == 2  # refuses to overwrite
    assert main(words(videos, broken, *options, "--resume", "--optim.lr=0.5")) == 2
    assert main(words(videos, broken, *options, "--resume", "--clips.num_workers=2")) == 0
    assert timeless(result_of(whole)) == timeless(result_of(broken))
    points = [[(row["step"], row["loss"]) for row in read_curves(out / "metrics.csv")] for out in (whole, broken)]
    assert points[0] == points[1]
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (torch.load(out / name, weights_only=True) for out in (whole, broken))
        assert all(torch.equal(first["model"][key], value) for key, value in second["model"].items())
    assert result_of(whole)["results"]["epoch_selected_on"] == "validation"


def moved(out: Path, before: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """How far a run's last backbone is from `before`."""
    model = torch.load(out / "last.ckpt", weights_only=True)["model"]
    return {name: model[f"backbone.{name}"] - value for name, value in before.items()}


def test_frozen_stages_stay(videos, tmp_path):
    before = load_pretrained(videos / "model.ckpt").backbone.state_dict()
    words_of_all = [f"--weights={videos / 'model.ckpt'}", "--max_steps=1", "--optim.lr=0.5"]
    found = {}
    for name, options in {"whole": [], "frozen": ["--model.freeze=2"]}.items():
        assert main(words(videos, tmp_path / name, *words_of_all, *options)) == 0
        found[name] = moved(tmp_path / name, before)
    stages = ("layer4.0.conv2", "layer3.0.conv2", "layer2.0.conv2", "layer1.0.conv2", "conv1")
    assert all(found["whole"][f"{stage}.weight"].any() for stage in stages)
    still = {name.split(".")[0] for name, value in found["frozen"].items() if not value.any()}
    assert still == {"conv1", "bn1", "layer1"}


def test_official_picks_the_epoch_on_the_test_split_and_says_so(videos, tmp_path):
    assert main(words(videos, tmp_path / "run", *SMALL, "--epochs=2", "--protocol=official")) == 0
    result = result_of(tmp_path / "run")
    assert result["protocol"]["selection"] == "official"
    assert result["results"]["epoch_selected_on"] == "test"
    looks = result["results"]["looks"]
    best = max(looks, key=lambda look: look["top1"])
    saved = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)
    assert saved["step"] == best["step"]


def test_it_learns_what_can_be_learned(tmp_path):
    """Two classes told apart by brightness: a few steps from scratch reach the top."""
    from helpers.videos import write_video

    rng = np.random.default_rng(0)
    for name, level in (("bright", 180), ("dark", 60)):
        for number in range(8):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            pictures = [np.clip(level + rng.integers(-30, 30, (32, 32, 3)), 0, 255).astype(np.uint8) for _ in range(6)]
            write_video(tmp_path / "set" / name / f"{number}.mp4", pictures)
    data = [f"--data.root={tmp_path / 'set'}", "--data.kind=folders", "--data.test_share=0.5", *SMALL, *TINY[:-1]]
    options = ["--max_steps=12", "--optim.name=adamw", "--optim.lr=1e-3", f"--out={tmp_path / 'run'}"]
    assert main(["finetune", *data, *options]) == 0
    assert result_of(tmp_path / "run")["results"]["scores"]["top1"]["value"] == 1.0


def test_validation_is_carved_by_class_and_group():
    records = [
        VideoRecord(Path(f"v_{c}_g{g:02d}_c{k:02d}.avi"), f"{c}{g}{k}", label)
        for label, c in enumerate("AB")
        for g in range(5)
        for k in range(3)
    ]
    train, validation = carve_validation(records, 0.2, seed=0)
    assert (len(train), len(validation)) == (24, 6)
    assert {record.label for record in validation} == {0, 1}
    assert len({record.path.stem[:7] for record in validation}) == 2
    assert not {r.path.stem[:7] for r in validation} & {r.path.stem[:7] for r in train}
    assert carve_validation(records, 0.0, seed=0) == (records, [])
    with pytest.raises(ConfigError, match=r"leaves class 0 \(videos or groups: 5\) no training video"):
        carve_validation(records, 0.95, seed=0)


def test_user_errors(videos, tmp_path, capsys):
    cases = {
        "--model.backbone=c3d": f"holds {NARROW}; leave out the option or the recipe, or name weights whose",
        "--clips.batch_size=400": "is more than 18 training videos: lower it to 18 or less",
        "--model.freeze=9": f"{NARROW} has 5 stages",
        "--protocol=validation": "--protocol validation needs --validation_share",
    }
    for option, message in cases.items():
        assert main(words(videos, tmp_path / "run", f"--weights={videos / 'model.ckpt'}", option)) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["predict", f"--weights={videos / 'model.ckpt'}", str(videos)]) == 2
    assert "not of rspnet finetune" in capsys.readouterr().err


# METHOD.md section 4, row by row: frames, size, fps, lr, milestones, epochs, batch, test clips.
PUBLISHED = {
    "ucf101-r3d_18": (16, 112, 25, 0.1, (), 30, 32, 10),
    "ucf101-r2plus1d_vcop": (16, 112, None, 0.1, (), 30, 32, 10),
    "ucf101-c3d": (16, 112, None, 0.005, (), 30, 20, 10),
    "ucf101-s3dg": (64, 224, 25, 0.005, (), 50, 4, 10),
    "hmdb51-r3d_18": (16, 112, None, 0.01, (50, 70, 90), 30, 64, 3),
    "hmdb51-c3d": (16, 112, None, 0.005, (50, 70, 90), 100, 6, 10),
    "hmdb51-r2plus1d_vcop": (16, 112, None, 0.1, (), 30, 16, 10),
    "hmdb51-s3dg": (64, 224, None, 0.005, (), 50, 4, 10),
    "ssv2-r3d_18": (16, 112, None, 0.01, (20, 40), 50, 32, 2),
    "ssv2-s3dg": (16, 224, None, 0.01, (20, 40), 50, 16, 2),
    "ssv2-c3d": (16, 112, None, 0.1, (), 50, 16, 2),
}


def test_there_is_a_recipe_for_every_row():
    assert {name.removeprefix("finetune/") for name in recipe_names() if name.startswith("finetune/")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe(name, videos, tmp_path):
    config = parse("finetune", ["--recipe", f"finetune/{name}", "--data.root=x", "--out=y"])
    clips, optim = config.clips, config.optim
    found = (clips.num_frames, clips.size, clips.fps, optim.lr, tuple(optim.milestones), config.epochs)
    assert (*found, clips.batch_size, clips.num_clips) == PUBLISHED[name]
    kind, backbone = name.split("-")
    assert (config.data.kind, config.model.backbone) == (kind, backbone)
    assert (clips.spread, clips.flip) == ((True, False) if kind == "ssv2" else (False, True))
    assert not optim.scale_lr
    if name not in ("ucf101-s3dg", "hmdb51-r3d_18", "ssv2-r3d_18"):  # one for each data set is also run
        return
    small = ["--max_steps=2", "--clips.batch_size=2", "--engine.keep=0"]
    run = words(videos, tmp_path / "run", *SMALL, *small)
    assert main([run[0], "--recipe", f"finetune/{name}", *run[1:]]) == 0
    assert result_of(tmp_path / "run")["protocol"]["backbone"] == NARROW


@pytest.fixture(scope="module")
def in_folders(tmp_path_factory):
    """16 videos in train/, 4 in val/ and 4 in test/, of two classes called 7 and 20231200."""
    root = tmp_path_factory.mktemp("folders")
    for number, path in enumerate(sorted(write_labelled_videos(root).rglob("*.*"))):
        part = "val" if number % 6 == 4 else "test" if number % 6 == 5 else "train"
        place = root / "parts" / part / ("20231200" if path.parent.name == "even" else "7") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    return root / "parts"


def test_test_is_scored_and_val_chooses(in_folders, tmp_path):
    parts = [f"--data.root={in_folders}", "--data.kind=folders", *TINY, *SMALL]
    assert main(["finetune", *parts, f"--out={tmp_path / 'run'}", "--epochs=2"]) == 0
    result = result_of(tmp_path / "run")
    stamp, results = result["protocol"], result["results"]
    assert (stamp["scored_split"], stamp["selection"], results["epoch_selected_on"]) == (
        "test",
        "validation",
        "validation",
    )
    assert (stamp["train_videos"], results["validation_videos"], stamp["test_videos"]) == (16, 4, 4)
    assert results["validation_from"] == "data"
    scored = read_predictions(tmp_path / "run" / results["predictions"], ["name", "class"])
    assert all(name.startswith("test/") for name in scored["name"])
    assert {name.split("/")[1] for name in scored["name"]} == set(scored["class"]) == {"7", "20231200"}
    assert len(results["looks"]) == 2
    assert main(["finetune", *parts, f"--out={tmp_path / 'last'}", "--max_steps=2", "--protocol=last"]) == 0
    assert result_of(tmp_path / "last")["results"]["epoch_selected_on"] is None
    assert result_of(tmp_path / "last")["results"]["checkpoint"] == "last.ckpt"


@pytest.mark.parametrize(
    ("videos", "ranks", "batch"),
    [(2, 1, 2), (3, 1, 2), (8, 1, 4), (31, 1, 8), (32, 1, 32), (9_000, 1, 32), (31, 4, 8), (90, 3, 30), (90, 32, 64)],
)
def test_a_batch_that_fits(videos, ranks, batch):
    assert batch_for(videos, ranks=ranks) == batch


def test_few_videos_get_a_batch_that_fits_and_it_is_said_once(in_folders, tmp_path, capsys):
    parts = [f"--data.root={in_folders}", "--data.kind=folders", *TINY, *SMALL, f"--out={tmp_path / 'run'}"]
    parts.remove("--clips.batch_size=4")
    assert main(["finetune", *parts, "--epochs=2"]) == 0
    assert capsys.readouterr().err.count("8 clips a step: at most half of the 16 training videos") == 1
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["clips"]["batch_size"] == 8
    assert load_checkpoint(tmp_path / "run" / "last.ckpt")["step"] == 4
    assert main(["finetune", *parts, "--epochs=2", "--resume"]) == 0
    capsys.readouterr()
    assert main(["finetune", *parts, "--clips.batch_size=4", "--dry_run"]) == 0
    assert "clips a step" not in capsys.readouterr().err


def test_classes_that_mirror_training_makes_one_are_named(in_folders, tmp_path, capsys):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for name, own in (("Left wave", "7"), ("right_wave", "20231200")):
            (tmp_path / part / name).symlink_to(in_folders / part / own)
    words = ["finetune", f"--data.root={tmp_path}", "--data.kind=folders", *TINY, *SMALL, "--dry_run"]
    advice = "classes 'Left wave' and 'right_wave' differ by the side alone, and half of the training clips are"
    for options, said in (([], 1), (["--clips.flip", "false"], 0)):
        assert main([*words, *options]) == 0
        assert capsys.readouterr().err.count(advice) == said


def test_two_validation_splits_are_one_too_many(in_folders, tmp_path, capsys):
    words = [f"--data.root={in_folders}", "--data.kind=folders", *TINY, *SMALL, f"--out={tmp_path / 'run'}"]
    assert main(["finetune", *words, "--validation_share=0.2"]) == 2
    assert "--validation_share 0.2: the data have a validation split of their own" in capsys.readouterr().err


def test_one_class_is_an_error(in_folders, tmp_path, capsys):
    (tmp_path / "train").mkdir()
    for part in ("train", "test"):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / "only").symlink_to(in_folders / part / "7")
    words = [f"--data.root={tmp_path}", "--data.kind=folders"]
    for command in (["finetune", *TINY, *SMALL], ["probe"], ["retrieve"]):
        assert main([*command, *words, f"--out={tmp_path / 'run'}"]) == 2
        assert "all training videos (8) are of one class, 'only'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_is_tested_by_the_names_of_its_classes(in_folders, tmp_path, capsys):
    """Whatever numbers the data have now: an older rspnet numbered ids otherwise."""
    parts = [f"--data.root={in_folders}", "--data.kind=folders", *TINY, *SMALL]
    assert main(["finetune", *parts, f"--out={tmp_path / 'run'}", "--max_steps=3"]) == 0
    file = tmp_path / "run" / result_of(tmp_path / "run")["results"]["checkpoint"]
    content = load_checkpoint(file)
    order = [1, 0]
    for name in ("linear.weight", "linear.bias"):
        content["model"][name] = content["model"][name][order]
    content["class_names"] = [content["class_names"][place] for place in order]
    save_checkpoint(
        tmp_path / "other" / "last.ckpt", {k: v for k, v in content.items() if k not in ("format", "schema")}
    )
    view = ["--num_workers=0", "--device=cpu", "--precision=fp32"]
    assert main(["evaluate", str(tmp_path / "other"), *view]) == 0
    one, other = (result_of(tmp_path / name)["results"]["scores"] for name in ("run", "other/evaluate"))
    assert one == other
    content["class_names"] = ["7", "8"]
    save_checkpoint(
        tmp_path / "alien" / "last.ckpt", {k: v for k, v in content.items() if k not in ("format", "schema")}
    )
    assert main(["evaluate", str(tmp_path / "run"), *view]) == 0
    assert main(["evaluate", str(tmp_path / "alien"), *view, f"--out={tmp_path / 'run' / 'evaluate'}"]) == 2
    assert result_of(tmp_path / "run" / "evaluate")["results"]["scores"] == one  # a failure replaces nothing
    assert "is of class '20231200', which is none of the 2 of" in capsys.readouterr().err


def test_a_folder_that_has_grown_is_not_tested_on_training_videos(in_folders, tmp_path, capsys):
    shutil.copytree(in_folders / "train", tmp_path / "videos")
    parts = [f"--data.root={tmp_path / 'videos'}", "--data.kind=folders", "--data.test_share=0.3", *TINY, *SMALL]
    assert main(["finetune", *parts, f"--out={tmp_path / 'run'}", "--max_steps=1"]) == 0
    test = ["evaluate", str(tmp_path / "run"), "--num_workers=0", "--device=cpu"]
    assert main(test) == 0
    again = result_of(tmp_path / "run" / "evaluate")
    assert again["results"]["scores"] == result_of(tmp_path / "run")["results"]["scores"]
    folder = next(path for path in sorted((tmp_path / "videos").iterdir()) if path.is_dir())
    video = next(path for path in sorted(folder.iterdir()) if path.is_file())
    shutil.copyfile(video, folder / f"another{video.suffix}")
    capsys.readouterr()
    assert main(test) == 2
    assert "their split by seed would test on training videos" in capsys.readouterr().err
    assert result_of(tmp_path / "run" / "evaluate") == again


def test_a_resumed_run_keeps_its_weights(videos, tmp_path, capsys):
    shutil.copyfile(videos / "model.ckpt", tmp_path / "other.ckpt")
    command = words(videos, tmp_path / "run", "--max_steps=1")
    assert main([*command, f"--weights={videos / 'model.ckpt'}"]) == 0
    before = (tmp_path / "run" / "config.yaml").read_text()
    assert main([*command, "--resume", f"--weights={tmp_path / 'other.ckpt'}"]) == 2
    assert f"--weights is {tmp_path / 'other.ckpt'} but the run was started with" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.yaml").read_text() == before
    assert main([*command, "--resume", f"--weights={videos / 'model.ckpt'}"]) == 0


def test_a_resumed_run_keeps_what_its_weights_hold(videos, tmp_path, capsys):
    weights = save_tiny_checkpoint(tmp_path / "model.ckpt")
    command = words(videos, tmp_path / "run", f"--weights={weights}", "--max_steps=1")
    assert main(command) == 0
    for other in ({"seed": 1}, {"num_frames": 8}):  # other numbers; and other clips, which would be other options
        save_tiny_checkpoint(weights, **({"seed": 1} | other))
        assert main([*command, "--resume"]) == 2
        assert "the weights to start from are not those that the run was started with" in capsys.readouterr().err
    save_tiny_checkpoint(weights)
    assert main([*command, "--resume"]) == 0


def test_a_list_that_has_moved(videos, tmp_path, monkeypatch, capsys):
    """With the folder of its videos: tested again by `--root`; a run goes on however list and folder are spelled."""
    place = tmp_path / "set"
    shutil.copytree(videos, place)
    assert main(words(place, tmp_path / "run", "--max_steps=1")) == 0
    monkeypatch.chdir(tmp_path)
    assert main([*words(Path("set"), tmp_path / "run", "--max_steps=1"), "--resume"]) == 0
    before = result_of(tmp_path / "run")["results"]["scores"]
    place.rename(tmp_path / "moved")
    test = ["evaluate", str(tmp_path / "run"), "--num_workers=0", "--device=cpu", "--precision=fp32"]
    assert main(test) == 2
    assert main([*test, f"--root={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere' is not a folder: name the folder that holds the data set" in capsys.readouterr().err
    assert main([*test, f"--root={tmp_path / 'moved'}"]) == 0
    assert result_of(tmp_path / "run" / "evaluate")["results"]["scores"] == before


@pytest.mark.parametrize("milestones", ["[.nan]", "[-1, 5]", "[5, 3]", "[0]"])
def test_milestones_are_epochs_in_ascending_order(milestones, videos, tmp_path, capsys):
    schedule = ["--optim.schedule=step", f"--optim.milestones={milestones}"]
    assert main(words(videos, tmp_path / "run", "--max_steps=1", *schedule)) == 2
    assert "--optim.milestones" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
