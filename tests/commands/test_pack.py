"""Shards: plain tar files that are read by ranges, give the very samples of the folder, and are made to the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.clips_on_disk import TINY, TINY_FINETUNE, write_labelled_videos
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.commands import pack as pack_command
from rspnet.config.pack import PackConfig
from rspnet.core.errors import ConfigError, DecodeError
from rspnet.core.packs import INDEX, SCHEMA, folder_url, places_now, taken_apart
from rspnet.core.run_files import LAST
from rspnet.core.urls import UrlPath, as_path
from rspnet.data import packing
from rspnet.data.annotations import read_folder, read_list
from rspnet.data.packing import member_names
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.features.read import read_features
from rspnet.search.library_store import Store
from rspnet.video.reader import open_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten good videos in two class folders; a name with dots, a space and another script."""
    folder = write_labelled_videos(tmp_path_factory.mktemp("videos"), count=10)
    first = read_folder(folder)[0].path
    first.rename(first.with_name(f"ü b.v1{first.suffix}"))
    return folder


def pack(videos: object, out: Path, *more: str, code: int = 0) -> Path:
    assert main(["pack", str(videos), f"--out={out}", "--num_workers=1", *more]) == code
    return out


@pytest.fixture(scope="module")
def shards(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(videos, tmp_path_factory.mktemp("packed") / "shards")


def few(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Shards of so many bytes."""
    made = packing.Packer.__init__
    monkeypatch.setattr(
        packing.Packer, "__init__", lambda self, *args, limit_bytes: made(self, *args, limit_bytes=limit)
    )


def test_names_bytes_and_facts_are_the_folders(videos: Path, shards: Path) -> None:
    plain, packed = read_folder(videos), read_folder(shards)
    assert [record.name for record in packed] == [record.name for record in plain]
    for one, other in zip(plain, packed, strict=True):
        assert other.path.read_bytes() == one.path.read_bytes()
        assert other.path.name == one.path.name
        assert other.path.suffix == one.path.suffix
    table = pq.read_table(shards / INDEX)
    assert table.schema == SCHEMA
    with open_video(plain[3].path) as video:
        assert (table["frames"][3].as_py(), table["fps"][3].as_py()) == (len(video), video.fps)
    assert [r.name for r in read_folder(folder_url(shards))] == [r.name for r in plain]


@pytest.mark.parametrize("more", [(), ("--transcode",)])
def test_a_dry_run_says_what_it_costs_and_writes_nothing(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    (folder / "broken.mp4").write_bytes(b"no video")
    pack(folder, tmp_path / "out", "--dry_run", *more)
    told = capsys.readouterr().out.strip()
    assert told.startswith("11 videos to do, 0 done, of 11 tried 1 would be skipped ('broken.mp4': ")
    found = re.search(r": about \d+ s on the CPU \(\d+ cores?\), 11 videos, (\d+) kB$", told)
    assert found, told
    size = sum(record.path.stat().st_size for record in read_folder(videos)) / 1e3
    assert more or abs(int(found[1]) - size) < 2
    assert not (tmp_path / "out").exists()


def test_tar_reads_them(videos: Path, shards: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", str(shards / "000000.tar"), "-C", str(tmp_path)], check=True)
    for record in read_folder(videos):
        member = member_names([record.name])[record.name]
        assert (tmp_path / member).read_bytes() == record.path.read_bytes()
        about = json.loads((tmp_path / member).with_suffix(".json").read_text())
        assert about["name"] == record.name
        assert about["frames"] > 0
    with tarfile.open(shards / "000000.tar") as tar:
        assert {member.mtime for member in tar} == {0}  # the same videos give the same bytes


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files to the collector
def test_webdataset_reads_them(videos: Path, shards: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="webdataset, of the extra rspnet[dev], is not installed")
    found = list(wds.WebDataset(str(shards / "000000.tar"), shardshuffle=False))
    names = {record.name: record.path for record in read_folder(videos)}
    assert len(found) == len(names)
    for sample in found:
        about = json.loads(sample["json"])
        path = names.pop(about["name"])
        assert sample[path.suffix[1:]] == path.read_bytes()


def test_pretraining_from_shards_is_bit_for_bit_that_from_the_folder(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, 30_000)
    shards = pack(videos, tmp_path / "shards")
    assert len(list(shards.glob("*.tar"))) > 2
    weights = []
    for root, workers in ((videos, 0), (shards, 0), (shards, 2)):
        out = tmp_path / f"run-{root.name}-{workers}"
        options = [*TINY, "--max_steps=4", f"--data.num_workers={workers}"]
        assert main(["pretrain", f"--data.root={root}", f"--out={out}", *options]) == 0
        weights.append(load_checkpoint(out / LAST)["model"])
    for name, value in weights[0].items():
        assert (value == weights[1][name]).all(), name
        assert (value == weights[2][name]).all(), name


def test_labelled_folders_and_lists(videos: Path, shards: Path, tmp_path: Path) -> None:
    results = []
    for root in (videos, shards):
        data = ["--data.kind=folders", f"--data.root={root}", "--data.test_share=0.5", f"--out={tmp_path / root.name}"]
        assert main(["finetune", *data, *TINY_FINETUNE, "--max_steps=2"]) == 0
        results.append(json.loads((tmp_path / root.name / "result.json").read_text())["results"])
    assert results[0] == results[1]
    names = [record.name for record in read_folder(videos)][::-2]
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))
    listed = read_list(tmp_path / "list.csv", shards)
    assert [record.name for record in listed] == names
    assert [record.path.read_bytes() for record in listed] == [(videos / name).read_bytes() for name in names]


def test_a_list_is_packed_with_its_labels(videos: Path, tmp_path: Path) -> None:
    names = [record.name for record in read_folder(videos)]
    lines = [f"{name},{'ab'[number % 2]},test\n" for number, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("path,label,split\n" + "".join(lines))
    shards = pack(tmp_path / "list.csv", tmp_path / "shards", f"--root={videos}")
    assert [(r.name, r.label, r.class_name) for r in read_folder(shards)] == [
        (name, i % 2, "ab"[i % 2]) for i, name in enumerate(names)
    ]
    assert (shards / "list.csv").read_bytes() == (tmp_path / "list.csv").read_bytes()  # the column split is there alone
    assert [record.name for record in read_list(shards / "list.csv")] == names  # of the shards beside it
    assert main(["pack", str(videos), f"--out={tmp_path / 'other'}", "--short_side=32"]) == 2  # without --transcode


def test_a_list_that_leads_out_of_its_folder_is_read_beside_its_shards(videos: Path, tmp_path: Path) -> None:
    (lists := tmp_path / "lists").mkdir()
    clips = tmp_path / "clips"
    shutil.copytree(videos, clips)
    names = [f"../clips/./{record.name}" for record in read_folder(clips)]
    (lists / "list.txt").write_text("\n".join(names))
    shards = pack(lists / "list.txt", tmp_path / "shards")
    for found in (read_list(shards / "list.txt"), read_list(lists / "list.txt", shards)):
        assert [record.name for record in found] == names
        assert all(record.path.exists() for record in found)


def test_bad_videos_are_left_out_and_named(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    (folder / "bad.mp4").write_bytes(b"no video")
    content = (whole := next(folder.rglob("*.mp4"))).read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    shards = pack(folder, tmp_path / "shards", code=1)
    assert "2 skipped" in capsys.readouterr().err
    reasons = dict(line.split(",", 1) for line in (shards / ".pack" / "skipped.csv").read_text().splitlines()[1:])
    assert set(reasons) == {"bad.mp4", "cut.mp4"}
    assert "not a readable video container" in reasons["bad.mp4"]
    assert len(read_folder(shards)) == len(read_folder(videos))
    (only := tmp_path / "only").mkdir()
    (only / "bad.mp4").write_bytes(b"no video")
    assert main(["pack", str(only), f"--out={tmp_path / 'none'}", "--num_workers=1"]) == 2
    assert not (tmp_path / "none" / INDEX).exists()
    assert main(["pack", str(folder), f"--out={folder / 'in'}"]) == 2
    with pytest.raises(ConfigError, match="lies in the folder of the videos"):  # from Python, too
        pack_command.pack(PackConfig(str(folder), out=str(folder / "in")))
    assert not (folder / "in").exists()
    assert main(["pack", str(folder), f"--out={videos}"]) == 2
    assert "holds other files: name a new folder" in capsys.readouterr().err
    assert whole.read_bytes() == content


def test_again_packs_only_what_is_new_or_changed(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    names = [record.name for record in read_folder(folder)]
    (later := folder / names[-1]).rename(tmp_path / "later")
    shards = pack(folder, tmp_path / "shards")
    first = (shards / "000000.tar").read_bytes()
    pack(folder, shards)
    assert [path.name for path in sorted(shards.glob("*.tar"))] == ["000000.tar"]
    (tmp_path / "later").rename(later)
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes((folder / names[2]).read_bytes())
    pack(folder, shards)
    assert (shards / "000000.tar").read_bytes() == first
    with tarfile.open(shards / "000001.tar") as tar:
        assert len([name for name in tar.getnames() if not name.endswith(".json")]) == 2
    packed = read_folder(shards)
    assert [record.name for record in packed] == names[1:]
    assert [record.path.read_bytes() for record in packed] == [(folder / name).read_bytes() for name in names[1:]]


def test_a_killed_call_goes_on(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its first shard; a whole call gives the same index."""
    command = """
import sys
from rspnet.data import packing
made = packing.Packer.__init__
packing.Packer.__init__ = lambda self, *args, limit_bytes: made(self, *args, limit_bytes=30_000)
from rspnet.cli import main
sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", command, "pack", str(videos), "--num_workers=1", f"--out={tmp_path / 'killed'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    notes = tmp_path / "killed" / ".pack" / "shards.jsonl"
    while process.poll() is None and not notes.exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert notes.exists()
    first = (tmp_path / "killed" / "000000.tar").read_bytes()
    made = packing.Packer.__init__
    monkeypatch.setattr(packing.Packer, "__init__", lambda *args, limit_bytes: made(*args, limit_bytes=30_000))
    for name in ("killed", "whole"):
        assert main(["pack", str(videos), "--num_workers=1", f"--out={tmp_path / name}"]) == 0
    assert (tmp_path / "killed" / "000000.tar").read_bytes() == first
    assert not list((tmp_path / "killed").glob(".*.tmp*"))
    columns = ["name", "size", "frames"]
    tables = [pq.read_table(tmp_path / name / INDEX, columns=columns) for name in ("killed", "whole")]
    assert tables[0].equals(tables[1])
    for one, other in zip(read_folder(tmp_path / "killed"), read_folder(videos), strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_names_in_tar_files() -> None:
    names = ["a/x.mp4", "a/x.avi", "a/x.v1.mp4", "/abs/y.mp4", "../z.mp4", "s3://b/w.mp4"]
    members = member_names(names)
    assert members["a/x.mp4"] == "a/x.mp4"
    assert members["a/x.v1.mp4"] == "a/x%2Ev1.mp4"
    assert members["/abs/y.mp4"] == "abs/y.mp4"
    assert members["../z.mp4"] == "_/z.mp4"
    assert members["s3://b/w.mp4"] == "s3/b/w.mp4"
    before_the_dot = [member.rpartition("/")[0] + "/" + Path(member).name.split(".")[0] for member in members.values()]
    assert len(set(before_the_dot)) == len(names)


def test_urls_of_packed_videos(tmp_path: Path) -> None:
    for folder in (tmp_path / "odd!% folder", as_path("s3://bucket/shards")):
        url = f"{folder_url(folder)}/a/b.mp4@000001.tar:512:7"
        assert taken_apart(url) == (folder, "a/b.mp4", ("000001.tar", 512, 7))
        assert taken_apart(str(as_path(Path(url)))) == taken_apart(url)
        path = as_path(url)
        assert isinstance(path, UrlPath)
        assert (path.name, path.parent.name) == ("b.mp4", "a")
    with pytest.raises(DecodeError, match="not of the form"):
        open_video("pack://x.mp4")


def test_what_is_gone_or_cut_is_named(videos: Path, shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    path = read_folder(copy)[-1].path
    with pytest.raises(DecodeError, match="no such packed video"):
        open_video(f"{folder_url(copy)}/nix.mp4")
    tar = copy / "000000.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(DecodeError, match="shorter than its index says"):
        open_video(path)
    tar.unlink()
    with pytest.raises(DecodeError, match="No such file"):
        open_video(path)
    (copy / INDEX).write_bytes(b"PAR1")
    assert main(["doctor", str(copy), f"--out={tmp_path / 'doctor'}"]) == 2


def test_features_and_libraries_follow_what_is_packed_anew(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some, weights = tmp_path / "some", f"--weights={save_tiny_checkpoint(tmp_path / 'model.ckpt')}"
    some.mkdir()
    for number, record in enumerate(read_folder(videos)[1:5]):
        shutil.copy(record.path, some / f"{number}{record.path.suffix}")
    shards, features, library = pack(some, tmp_path / "shards"), tmp_path / "features", tmp_path / "library"
    embed = ["embed", str(shards), weights, f"--out={features}", "--num_workers=0"]
    index = ["index", str(shards), weights, f"--out={library}", "--num_workers=0"]
    assert main(embed) == main(index) == 0
    names = [path.name for path in sorted(some.iterdir())]
    shutil.copy(read_folder(videos)[6].path, some / names[0])  # another video takes its name
    (some / names[1]).unlink()
    pack(some, shards)
    assert main(embed) == main(index) == 0
    assert sorted(read_features(features).table["name"].unique().to_pylist()) == names  # what is gone stays unless told
    assert read_features(features).table.num_rows == 4
    assert "1 unchanged" not in capsys.readouterr().err
    assert main([*embed, "--drop_gone"]) == 0
    assert sorted(read_features(features).table["name"].to_pylist()) == [names[0], *names[2:]]
    current = {str(record.path) for record in read_folder(shards)}
    assert set(Store(str(library)).files()) == current
    for tar in shards.glob("*.tar"):
        tar.unlink()
    capsys.readouterr()
    assert main(index) == 0
    error = capsys.readouterr().err
    assert "0 removed, 3 skipped" in error
    assert "its shard is not there" in error
    assert set(Store(str(library)).files()) == current


def test_where_packed_videos_are_now(videos: Path, shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shards"
    shutil.copytree(shards, copy)
    here = [str(record.path) for record in read_folder(copy)]
    assert set(places_now(here).values()) == {"here"}
    moved, gone = re.sub(r":\d+:", ":7:", here[0]), f"{folder_url(copy)}/nix.mp4@000000.tar:0:9"
    assert places_now([moved, gone, str(tmp_path), str(tmp_path / "nix")]) == {
        moved: "moved", gone: "gone", str(tmp_path): "here", str(tmp_path / "nix"): "gone",
    }  # fmt: skip
    (copy / INDEX).write_bytes(b"junk")
    assert set(places_now(here).values()) == {"here"}  # nothing is known
    (copy / INDEX).unlink()
    assert set(places_now(here).values()) == {"gone"}


@pytest.mark.parametrize(("codec", "container"), [("mpeg4", "avi"), ("dvvideo", "dv"), ("h261", "h261")])
def test_an_archive_is_no_video(codec: str, container: str, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="it is a tar archive"):
        open_video(shards / "000000.tar")
    film, size = tmp_path / f"film.{container}", {"dvvideo": (720, 576), "h261": (352, 288)}.get(codec, (64, 48))
    with av.open(str(film), "w") as output:
        stream: Any = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(6):
            picture = np.full((size[1], size[0], 3), 40 * number, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                output.mux(packet)
        output.mux(list(stream.encode()))
    for kind in ("tar", "zip"):
        archive = shutil.make_archive(str(tmp_path / kind), kind, tmp_path, film.name)
        with pytest.raises(DecodeError, match=f"it is a {kind} archive|not a readable"):
            open_video(archive)


def test_small_copies_are_those_of_transcode(videos: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for record in read_folder(videos)[:2]:
        shutil.copy(record.path, some)
    (some / "bad.mp4").write_bytes(b"no video")
    assert main(["transcode", str(some), str(tmp_path / "small"), "--short_side=32", "--num_workers=1"]) == 1
    out = pack(some, tmp_path / "shards", "--transcode", "--short_side=32", code=1)
    assert [record.name for record in read_folder(out)] == [record.name for record in read_folder(tmp_path / "small")]
    for packed, plain in zip(read_folder(out), read_folder(tmp_path / "small"), strict=True):
        assert packed.path.read_bytes() == plain.path.read_bytes()
    (rest := out / ".pack" / "copies-of-a-killed-run").mkdir()
    (rest / "0.mp4").touch()
    index = (out / INDEX).read_bytes()
    pack(some, out, "--transcode", "--short_side=32", code=1)  # nothing to do
    assert not list((out / ".pack").glob("copies-*"))
    assert (out / INDEX).read_bytes() == index
    assert len(list(out.glob("*.tar"))) == 1
    pack(some, out, code=1)  # the videos themselves
    assert read_folder(out)[0].path.read_bytes() == read_folder(some)[0].path.read_bytes()
