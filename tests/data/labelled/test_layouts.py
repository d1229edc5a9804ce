"""Every layout in miniature, out of real encoded videos."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.videos import write_barcode_video

from rspnet.cli import main
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.data.labelled.kinetics import link_smallest_classes
from rspnet.data.labelled.read_labelled import Kind, class_names, listed_classes, read_labelled, scored_split
from rspnet.video.reader import open_video

HUMAN_MOTION = Path(__file__).resolve().parents[4] / "shared" / "data" / "human-motion"
Put = Callable[[Path], None]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sources")
    codecs = {".avi": "mpeg4", ".mp4": "libx264", ".webm": "libvpx-vp9"}
    return {
        suffix: write_barcode_video(folder / f"video{suffix}", 5, size=(48, 40), codec=codec)
        for suffix, codec in codecs.items()
    }


@pytest.fixture
def put(sources: dict[str, Path]) -> Put:
    """Write a real video at a path, by its ending."""

    def copy(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources[path.suffix], path)

    return copy


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def names_and_labels(records: list) -> list[tuple[str, int, str]]:
    for record in records:
        with open_video(record.path) as video:
            assert len(video) == 5
    return [(record.name, record.label, record.class_name) for record in records]


def make_ucf101(root: Path, put: Put, suffix: str = ".avi") -> None:
    write(root / "ucfTrainTestlist/classInd.txt", "1 Bow\n2 Apply Lipstick\n")
    write(root / "ucfTrainTestlist/trainlist01.txt", "Bow/v_Bow_g01_c01.avi 1\nApply Lipstick/v_A_g01_c01.avi 2\n")
    write(root / "ucfTrainTestlist/testlist01.txt", "Bow/v_Bow_g02_c01.avi\n")
    write(root / "ucfTrainTestlist/testlist02.txt", "Bow/v_Bow_g01_c01.avi\n")
    for name in ("Bow/v_Bow_g01_c01", "Bow/v_Bow_g02_c01", "Apply Lipstick/v_A_g01_c01"):
        put(root / "UCF-101" / f"{name}{suffix}")


@pytest.mark.parametrize("kind", ["ucf101", "hmdb51", "kinetics"])
def test_layouts_are_read_from_shards(tmp_path: Path, put: Put, kind: Kind) -> None:
    root, shards = tmp_path / "videos", tmp_path / "shards"
    if kind == "ucf101":
        make_ucf101(root, put)
    elif kind == "hmdb51":
        for name in ("wave", "run"):
            write(root / f"splits/{name}_test_split1.txt", "a.avi 1\nb.avi 2\n")
            for video in ("a", "b"):
                put(root / "videos" / name / f"{video}.avi")
    else:
        for place in ("train/a b", "train/c", "val/c"):
            put(root / place / "one_000000_000010.mp4")
        for split, names in (("train", ("a b", "c")), ("val", ("c",))):
            rows = "".join(f"{name},one,0,10\n" for name in names)
            write(root / f"{split}.csv", "label,youtube_id,time_start,time_end\n" + rows)
    assert main(["pack", str(root), f"--out={shards}", "--num_workers=1"]) == 0
    for split in ("train", "test"):
        plain, packed = (names_and_labels(read_labelled(kind, place, split=split)) for place in (root, shards))
        assert packed == plain


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_ucf101(tmp_path: Path, put: Put, suffix: str) -> None:
    make_ucf101(tmp_path, put, suffix)
    train = read_labelled("ucf101", tmp_path, split="train")
    assert names_and_labels(train) == [
        (f"UCF-101/Bow/v_Bow_g01_c01{suffix}", 0, "Bow"),
        (f"UCF-101/Apply Lipstick/v_A_g01_c01{suffix}", 1, "Apply Lipstick"),
    ]
    test = read_labelled("ucf101", tmp_path, split="test")
    assert names_and_labels(test) == [(f"UCF-101/Bow/v_Bow_g02_c01{suffix}", 0, "Bow")]
    assert class_names(train, test) == ["Bow", "Apply Lipstick"]
    second = read_labelled("ucf101", tmp_path, split="test", fold=2)
    assert [record.path.stem for record in second] == ["v_Bow_g01_c01"]


def test_ucf101_names_what_is_missing(tmp_path: Path, put: Put) -> None:
    with pytest.raises(RSPNetError, match=r"no 'ucfTrainTestlist/classInd\.txt'"):
        read_labelled("ucf101", tmp_path, split="train")
    make_ucf101(tmp_path, put)
    with pytest.raises(RSPNetError, match=r"trainlist03.txt' is missing: expected fold 3"):
        read_labelled("ucf101", tmp_path, split="train", fold=3)
    with pytest.raises(ConfigError, match="folds 1 to 3"):
        read_labelled("ucf101", tmp_path, split="train", fold=4)
    (tmp_path / "UCF-101/Bow/v_Bow_g01_c01.avi").unlink()
    with pytest.raises(RSPNetError, match=r"1 of 2 train videos missing.*'Bow'.*v_Bow_g01_c01.avi"):
        read_labelled("ucf101", tmp_path, split="train")
    assert len(read_labelled("ucf101", tmp_path, split="train", allow_missing=True)) == 1
    write(tmp_path / "ucfTrainTestlist/testlist01.txt", "Dance/v_Dance_g02_c01.avi\n")
    with pytest.raises(RSPNetError, match="line 1: class 'Dance' is not among the 2"):
        read_labelled("ucf101", tmp_path, split="test")


def test_human_motion_is_ucf101() -> None:
    if not HUMAN_MOTION.is_dir():
        pytest.skip(f"{HUMAN_MOTION} is not there")
    train = read_labelled("ucf101", HUMAN_MOTION, split="train")
    test = read_labelled("ucf101", HUMAN_MOTION, split="test")
    assert (len(train), len(test)) == (960, 360)
    assert set(Counter(record.label for record in train).values()) == {40}
    assert len(class_names(train, test)) == 24
    assert all(record.path.parent.name == record.class_name for record in train + test)


def test_hmdb51(tmp_path: Path, put: Put) -> None:
    splits = tmp_path / "testTrainMulti_7030_splits"
    write(splits / "wave_test_split1.txt", "a b_1.avi 1 \nc.avi 2 \nd.avi 0 \n")
    write(splits / "brush_hair_test_split1.txt", "e.avi 1 \nf.avi 2 \n")
    for name in ("wave/a b_1", "wave/c", "wave/d", "brush_hair/e", "brush_hair/f"):
        put(tmp_path / f"{name}.avi")
    assert names_and_labels(read_labelled("hmdb51", tmp_path, split="train")) == [
        ("brush_hair/e.avi", 0, "brush_hair"),
        ("wave/a b_1.avi", 1, "wave"),
    ]
    assert [record.name for record in read_labelled("hmdb51", tmp_path, split="test")] == [
        "brush_hair/f.avi",
        "wave/c.avi",
    ]
    with pytest.raises(RSPNetError, match=r"no file CLASS_test_split2\.txt"):
        read_labelled("hmdb51", tmp_path, split="test", fold=2)
    put(tmp_path / "clap/g.avi")
    with pytest.raises(RSPNetError, match="class 'clap' has no split file"):
        read_labelled("hmdb51", tmp_path, split="train")
    shutil.rmtree(tmp_path / "clap")
    write(splits / "wave_test_split1.txt", "c.avi 3\n")
    with pytest.raises(RSPNetError, match=r"line 1: 'c\.avi 3' is not of the form"):
        read_labelled("hmdb51", tmp_path, split="train")


def make_kinetics(root: Path, put: Put) -> None:
    for name in ("train_256/riding a bike/aaaaaaaaaaa_000001_000011", "train_256/abseiling/bbbbbbbbbbb_000002_000012",
                 "val_256/abseiling/ccccccccccc_000003_000013"):  # fmt: skip
        put(root / f"{name}.mp4")


def test_kinetics_folders(tmp_path: Path, put: Put) -> None:
    make_kinetics(tmp_path, put)
    train = read_labelled("kinetics", tmp_path, split="train")
    assert [(record.label, record.class_name) for record in train] == [(0, "abseiling"), (1, "riding a bike")]
    assert names_and_labels(read_labelled("kinetics", tmp_path, split="test")) == [
        ("val_256/abseiling/ccccccccccc_000003_000013.mp4", 0, "abseiling")
    ]
    put(tmp_path / "val_256/zumba/ddddddddddd_000003_000013.mp4")
    with pytest.raises(RSPNetError, match="class 'zumba' of val is not among the 2 training classes"):
        read_labelled("kinetics", tmp_path, split="test")
    shutil.rmtree(tmp_path / "val_256")
    with pytest.raises(RSPNetError, match=r"expected one folder named val\*, found none"):
        read_labelled("kinetics", tmp_path, split="test")


def test_kinetics_csv(tmp_path: Path, put: Put) -> None:
    make_kinetics(tmp_path, put)
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path / "train.csv", header + "riding a bike,aaaaaaaaaaa,1,11,train\nabseiling,eeeeeeeeeee,2,12,train\n")
    write(tmp_path / "val.csv", header + "abseiling,ccccccccccc,3,13,validate\n")
    with pytest.raises(RSPNetError, match="1 of 2 train videos missing, the first of class 'abseiling'"):
        read_labelled("kinetics", tmp_path, split="train")
    train = read_labelled("kinetics", tmp_path, split="train", allow_missing=True)
    assert names_and_labels(train) == [("train_256/riding a bike/aaaaaaaaaaa_000001_000011.mp4", 1, "riding a bike")]
    assert len(read_labelled("kinetics", tmp_path, split="test")) == 1
    write(tmp_path / "val.csv", "label,id\nabseiling,c\n")
    with pytest.raises(RSPNetError, match="has no column 'youtube_id'"):
        read_labelled("kinetics", tmp_path, split="test")


def test_kinetics_subset_links_the_smallest_classes(tmp_path: Path, put: Put) -> None:
    full, out = tmp_path / "full", tmp_path / "small"
    for split in ("train", "val"):
        for name, count in (("large", 3), ("small", 1), ("middle", 2)):
            for number in range(count):
                put(full / split / name / f"{number}.mp4")
    assert link_smallest_classes(full, out, num_classes=2) == ["middle", "small"]
    assert (out / "train/middle").is_symlink()
    records = read_labelled("kinetics", out, split="train")
    assert [record.name for record in records] == ["train/middle/0.mp4", "train/middle/1.mp4", "train/small/0.mp4"]
    with pytest.raises(RSPNetError, match="has 3 classes, not the 4 asked for"):
        link_smallest_classes(full, tmp_path / "other", num_classes=4)
    with pytest.raises(RSPNetError, match="already exists"):
        link_smallest_classes(full, out, num_classes=2)


def test_ssv2(tmp_path: Path, put: Put) -> None:
    prefix = "something-something-v2"
    write(tmp_path / f"{prefix}-labels.json", json.dumps({"Holding something": "0", "Pushing something": "1"}))
    row = {"id": "7", "label": "pushing cup", "template": "Pushing [something]", "placeholders": ["cup"]}
    write(tmp_path / f"{prefix}-train.json", json.dumps([row]))
    write(tmp_path / f"{prefix}-validation.json", json.dumps([{**row, "id": "8", "template": "Tearing [something]"}]))
    put(tmp_path / "20bn-something-something-v2/7.webm")
    assert names_and_labels(read_labelled("ssv2", tmp_path, split="train")) == [
        ("20bn-something-something-v2/7.webm", 1, "Pushing something")
    ]
    with pytest.raises(RSPNetError, match="entry 0: class 'Tearing something' is not among the 2"):
        read_labelled("ssv2", tmp_path, split="test")
    for text, message in (("[{", "is no JSON"), ("{}", "not a list of {id"), ("[{}]", "entry 0: expected {id, templ")):
        (tmp_path / f"{prefix}-train.json").write_text(text)
        with pytest.raises(RSPNetError, match=message):
            read_labelled("ssv2", tmp_path, split="train")


def test_diving48(tmp_path: Path, put: Put) -> None:
    write(tmp_path / "Diving48_vocab.json", json.dumps([["Back", "15som", "05Twis", "FREE"], ["Inward", "Dive"]]))
    write(tmp_path / "Diving48_V2_train.json", json.dumps([{"vid_name": "x_1", "label": 1, "start_frame": 0}]))
    write(tmp_path / "Diving48_V2_test.json", json.dumps([{"vid_name": "x_2", "label": 2}]))
    put(tmp_path / "rgb/x_1.mp4")
    assert names_and_labels(read_labelled("diving48", tmp_path, split="train")) == [("rgb/x_1.mp4", 1, "Inward Dive")]
    with pytest.raises(RSPNetError, match="class 2 is not among the 2"):
        read_labelled("diving48", tmp_path, split="test")


def make_layout(kind: Kind, root: Path, put: Put) -> None:
    """A data set of the classes a, b and c, of which only b has videos."""
    if kind == "ucf101":
        write(root / "classInd.txt", "1 a\n3 c\n2 b\n")
        write(root / "trainlist01.txt", "b/0.avi 2\n")
        write(root / "testlist01.txt", "b/1.avi\n")
    elif kind == "hmdb51":
        for name, tags in (("a", "00"), ("b", "12"), ("c", "00")):
            write(root / f"splits/{name}_test_split1.txt", f"0.avi {tags[0]}\n1.avi {tags[1]}\n")
    elif kind == "kinetics":
        rows = "".join(f"{name},{name},0,10\n" for name in "abc")
        for split in ("train", "val"):
            write(root / f"{split}.csv", "label,youtube_id,time_start,time_end\n" + rows)
            put(root / split / "b/b_000000_000010.mp4")
    elif kind == "ssv2":
        write(root / "labels.json", json.dumps({"c": "9", "a": "0", "b": "4"}))
        for split in ("train", "validation"):
            write(root / f"{split}.json", json.dumps([{"id": split, "template": "b"}]))
            put(root / f"videos/{split}.webm")
    else:
        write(root / "Diving48_vocab.json", json.dumps(["a", ["b"], "c"]))
        for split in ("train", "test"):
            write(root / f"Diving48_V2_{split}.json", json.dumps([{"vid_name": split, "label": 1}]))
            put(root / f"rgb/{split}.mp4")
    if kind in ("ucf101", "hmdb51"):
        for number in (0, 1):
            put(root / f"videos/b/{number}.avi")


@pytest.mark.parametrize("kind", ["ucf101", "hmdb51", "kinetics", "ssv2", "diving48"])
def test_a_class_without_videos_keeps_its_name(tmp_path: Path, put: Put, kind: Kind) -> None:
    make_layout(kind, tmp_path, put)
    train, test = (read_labelled(kind, tmp_path, split=split, allow_missing=True) for split in ("train", "test"))
    assert {(record.label, record.class_name) for record in [*train, *test]} == {(1, "b")}
    assert class_names(train, test, listed=listed_classes(kind, tmp_path)) == ["a", "b", "c"]


def test_class_folders_with_a_seeded_split(tmp_path: Path, put: Put) -> None:
    for name in ("clap", "wave"):
        for number in range(5):
            put(tmp_path / name / f"{number}.mp4")
    parts = {split: read_labelled("folders", tmp_path, split=split, test_share=0.4) for split in ("train", "test")}
    assert Counter(record.label for record in parts["train"]) == {0: 3, 1: 3}
    assert Counter(record.label for record in parts["test"]) == {0: 2, 1: 2}
    assert not {r.name for r in parts["train"]} & {r.name for r in parts["test"]}
    assert parts["test"] == read_labelled("folders", tmp_path, split="test", test_share=0.4)
    draws = {tuple(r.name for r in read_labelled("folders", tmp_path, split="test", fold=f)) for f in range(1, 9)}
    assert len(draws) > 1
    for number in range(1, 5):
        (tmp_path / "wave" / f"{number}.mp4").unlink()
    with pytest.raises(RSPNetError, match="class 'wave' has 1 video"):
        read_labelled("folders", tmp_path, split="train")


def test_class_folders_split_by_their_owner(tmp_path: Path, put: Put) -> None:
    for name in ("train/clap/a", "train/wave/b", "val/wave/c"):
        put(tmp_path / f"{name}.mp4")
    assert names_and_labels(read_labelled("folders", tmp_path, split="test")) == [("val/wave/c.mp4", 1, "wave")]
    put(tmp_path / "val/jump/d.mp4")
    with pytest.raises(RSPNetError, match="class 'jump'"):
        read_labelled("folders", tmp_path, split="test")


def test_csv(tmp_path: Path, put: Put) -> None:
    for name in ("a", "b", "c", "d"):
        put(tmp_path / f"videos/{name}.mp4")
    table = tmp_path / "clips.csv"
    write(table, "path,label,split\na.mp4,wave,train\nb.mp4,clap,train\n\nc.mp4,wave,val\n")
    root = tmp_path / "videos"
    assert names_and_labels(read_labelled("csv", root, split="train", list=table)) == [
        ("a.mp4", 1, "wave"),
        ("b.mp4", 0, "clap"),
    ]
    assert names_and_labels(read_labelled("csv", root, split="test", list=table)) == [("c.mp4", 1, "wave")]
    write(table, "path,label\na.mp4,0\nb.mp4,0\nc.mp4,1\nd.mp4,1\n")
    assert [record.label for record in read_labelled("csv", root, split="test", list=table)] == [0, 1]
    write(table, "path,label,split\na.mp4,0,maybe\n")
    with pytest.raises(RSPNetError, match="split 'maybe' is none of"):
        read_labelled("csv", root, split="train", list=table)
    write(table, "path\na.mp4\n")
    with pytest.raises(RSPNetError, match="has no labels"):
        read_labelled("csv", root, split="train", list=table)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(RSPNetError, match="nowhere' is not a folder"):
        read_labelled("hmdb51", tmp_path / "nowhere", split="train")


def test_published_sets_have_no_part_to_choose_on(tmp_path: Path, put: Put) -> None:
    make_ucf101(tmp_path, put)
    assert read_labelled("ucf101", tmp_path, split="val") == []
    assert {kind: scored_split(kind, tmp_path) for kind in ("ucf101", "kinetics", "ssv2")} == {  # type: ignore[arg-type]
        "ucf101": "test",
        "kinetics": "val",
        "ssv2": "val",
    }


def test_a_part_of_ssv2_keeps_its_numbers_without_a_hole(tmp_path: Path, put: Put) -> None:
    labels = tmp_path / "labels.json"
    write(labels, json.dumps({"Holding something": "40", "Pushing something": "20231200"}))
    write(tmp_path / "train.json", json.dumps([{"id": "7", "template": "Pushing [something]"}]))
    put(tmp_path / "7.webm")
    assert [record.label for record in read_labelled("ssv2", tmp_path, split="train")] == [1]
    write(labels, json.dumps({"Holding something": "4", "Pushing something": "4"}))
    with pytest.raises(RSPNetError, match="'Holding something' and 'Pushing something' have the same number 4"):
        read_labelled("ssv2", tmp_path, split="train")


def test_kinetics_refuses_one_class_by_two_spellings(tmp_path: Path, put: Put) -> None:
    make_kinetics(tmp_path, put)
    put(tmp_path / "train_256/Riding_a_bike/eeeeeeeeeee_000001_000011.mp4")
    with pytest.raises(RSPNetError, match="classes 'Riding_a_bike' and 'riding a bike' are nearly the same name"):
        read_labelled("kinetics", tmp_path, split="train")
