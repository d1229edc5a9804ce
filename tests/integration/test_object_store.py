"""Whole commands on a real S3 server on loopback: what they make is what they make of the folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.clips_on_disk import TINY, TINY_FINETUNE, write_labelled_videos
from helpers.extras import need
from helpers.stores import S3, files_below, forget_blocks, s3_server
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.core import storage
from rspnet.core.errors import RSPNetError
from rspnet.core.run_files import LAST
from rspnet.core.urls import as_path
from rspnet.data.annotations import read_folder, read_list, read_videos
from rspnet.engine.checkpoint import load_checkpoint

need("moto", "s3fs")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def no_trouble(s3: S3) -> Iterator[None]:
    s3.trouble.stalls = s3.trouble.failures = s3.trouble.cuts = 0
    s3.trouble.expired.clear()
    s3.trouble.seen.clear()
    forget_blocks()
    yield
    s3.trouble.expired.clear()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_labelled_videos(tmp_path_factory.mktemp("videos"), count=8)
    (folder / "even" / "bad.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def bucket(s3: S3, videos: Path) -> str:
    return s3.put("clips", {f"set/{name}": content for name, content in files_below(videos).items()}) + "/set"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt")


def run(*words: object, code: int = 0) -> None:
    """Run a command."""
    assert main([*map(str, words)]) == code


def put_here(bucket: str, names: list[str]) -> None:
    """Small objects, without a request for each: the server runs in this process."""
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket(bucket, "us-east-1")
    for name in names:
        backend.put_object(bucket, name, b"x")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return dict(stored)


def test_listing(s3: S3, videos: Path, bucket: str) -> None:
    found = read_folder(bucket)
    assert [record.name for record in found] == [record.name for record in read_folder(videos)]
    assert str(found[0].path) == f"{bucket}/{found[0].name}"
    assert read_folder(bucket + "/") == found
    one = read_videos([found[0].path, bucket])
    assert [str(record.path) for record in one] == [str(record.path) for record in found]
    for name, why in ((f"{bucket}/nix", "does not exist"), (str(found[0].path), "not a folder")):
        with pytest.raises(RSPNetError, match=why):
            read_folder(name)
    for name, why in (("s3://nix/set", "does not exist"), ("s3://", "names no bucket")):
        with pytest.raises(RSPNetError, match=why):
            read_folder(name)
    with pytest.raises(RSPNetError, match="holds no video"):
        read_folder(s3.put("empty", {"list.txt": b"x"}))


def test_names_are_taken_as_they_are(s3: S3) -> None:
    names = [
        "a b/100%.mp4",
        "a b/%20.mp4",
        "#1.mp4",
        "[x]*.mp4",
        "ü ☃.mp4",
        "q?x=1&y+z.mp4",
        "it's@0-1.mp4",
        "b\\c.mp4",
    ]
    found = read_folder(s3.put("odd", {f"v/{name}": name.encode() for name in names}) + "/v/")
    assert [record.name for record in found] == sorted(names)
    assert all(record.path.read_bytes() == record.name.encode() for record in found)


def test_a_long_listing_comes_in_pages(s3: S3) -> None:
    put_here("many", [f"v/{number:04d}.mp4" for number in range(1001)])
    assert [record.name for record in read_folder("s3://many/v")] == [f"{number:04d}.mp4" for number in range(1001)]


def test_lists(s3: S3, videos: Path, bucket: str) -> None:
    names = [record.name for record in read_folder(videos)]
    lines = [f"set/{name},{number % 2}\n" for number, name in enumerate(names)]
    s3.put("clips", {"list.csv": ("path,label\n" + "".join(lines)).encode()})
    listed = read_list("s3://clips/list.csv")
    assert [str(record.path) for record in listed] == [f"{bucket}/{name}" for name in names]
    assert listed[1].label == 1
    s3.put("clips", {"far.txt": f"{bucket}/{names[0]}\n".encode()})
    assert [str(record.path) for record in read_list("s3://clips/far.txt", videos)] == [f"{bucket}/{names[0]}"]
    with pytest.raises(RSPNetError, match="none of 9 videos"):
        read_list("s3://clips/list.csv", "s3://clips/nix")


def test_a_store_that_stalls_is_asked_again(s3: S3, bucket: str, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "READ_SECONDS", 0.4)
    monkeypatch.setattr(storage, "_WAITS", (0.05, 0.05, 0.05))
    storage._file_system.cache_clear()
    name = read_folder(videos)[0].name
    s3.trouble.stalls = 2
    assert as_path(f"{bucket}/{name}").read_bytes() == (videos / name).read_bytes()
    assert s3.trouble.stalls == 0
    s3.trouble.stalls = 100
    with pytest.raises(OSError, match=r"the store failed 4 times, at last with: .*[Tt]ime"):
        as_path(f"{bucket}/{name}").stat()
    s3.trouble.stalls = 0
    storage._file_system.cache_clear()


def test_embed_gives_the_same_vectors_and_skips_what_it_may_not_read(
    s3: S3, videos: Path, bucket: str, model: Path, tmp_path: Path
) -> None:
    options = ["--num_clips=2", "--precision=fp32", "--num_workers=0", "--format=npz"]
    run("embed", f"--weights={model}", videos, f"--out={tmp_path / 'disk'}", *options)
    forbidden = read_folder(videos)[-1].name
    s3.trouble.expired.add(f"/{forbidden}")
    s3.trouble.failures, s3.trouble.cuts = 2, 1
    run("embed", f"--weights={model}", bucket, f"--out={tmp_path / 's3'}", *options)
    assert s3.trouble.failures == s3.trouble.cuts == 0
    disk, store = (arrays(tmp_path / name / "features.npz") for name in ("disk", "s3"))
    assert disk["name"][-1] == forbidden
    for column in ("name", "features", "motion", "appearance"):
        np.testing.assert_array_equal(disk[column][:-1], store[column])
    assert set(store["path"]) < {str(record.path) for record in read_folder(bucket)}
    reasons = {row["name"]: row["reason"] for row in rows(tmp_path / "s3" / "skipped.csv")}
    assert "not allowed" in reasons.pop(forbidden)
    assert reasons == {"even/bad.mp4": rows(tmp_path / "disk" / "skipped.csv")[0]["reason"]}


def test_pretraining_gives_the_same_weights(s3: S3, videos: Path, bucket: str, tmp_path: Path) -> None:
    options = [*TINY, "--max_steps=3", "--data.max_skipped=0.5"]
    run("pretrain", f"--data.root={videos}", f"--out={tmp_path / 'disk'}", *options)
    s3.trouble.failures = 3
    run("pretrain", f"--data.root={bucket}", f"--out={tmp_path / 's3'}", *options)
    disk, other = (load_checkpoint(tmp_path / name / LAST)["model"] for name in ("disk", "s3"))
    for name, value in disk.items():
        assert (value == other[name]).all(), name


def test_finetuning_reads_class_folders(s3: S3, videos: Path, bucket: str, tmp_path: Path) -> None:
    options = [*TINY_FINETUNE, "--max_steps=2", "--clips.max_skipped=0.5"]
    scores = []
    for root, out in ((videos, "disk"), (bucket, "s3")):
        data = ["--data.kind=folders", f"--data.root={root}", "--data.test_share=0.5"]
        run("finetune", *data, f"--out={tmp_path / out}", *options)
        scores.append(json.loads((tmp_path / out / "result.json").read_text())["results"])
    assert scores[0] == scores[1]


def test_shards_in_a_store_give_the_same_weights(s3: S3, videos: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    run("pack", videos, f"--out={shards}", "--num_workers=1", code=1)
    content = {name: data for name, data in files_below(shards).items() if not name.startswith(".")}
    url = s3.put("shards", content)
    s3.trouble.seen.clear()
    weights = []
    for root, out in ((shards, "disk"), (url, "s3")):
        run("pretrain", f"--data.root={root}", f"--out={tmp_path / out}", *TINY, "--max_steps=3")
        weights.append(load_checkpoint(tmp_path / out / LAST)["model"])
    assert all((value == weights[1][name]).all() for name, value in weights[0].items())
    read = [asked for method, path, asked in s3.trouble.seen if method == "GET" and path.endswith(".tar")]
    assert read
    assert all(asked.startswith("bytes=") for asked in read)


def test_doctor_finds_the_same(s3: S3, videos: Path, bucket: str, tmp_path: Path) -> None:
    for root, out in ((videos, "disk"), (bucket, "s3")):
        words = ["doctor", root, f"--out={tmp_path / out}", "--num_workers=1", "--num_frames=4"]
        words.append(f"--write_list={tmp_path / out}.csv")
        run(*words, code=1)
    assert rows(tmp_path / "disk" / "report.csv") == rows(tmp_path / "s3" / "report.csv")
    usable = [[str(record.path) for record in read_list(tmp_path / name)] for name in ("disk.csv", "s3.csv")]
    assert usable[1] == [path.replace(str(videos), bucket) for path in usable[0]]
    s3.trouble.seen.clear()
    run(*words, code=1)  # nothing has changed, so nothing is read again
    assert [method for method, path, _ in s3.trouble.seen if method == "GET" and path.endswith(".mp4")] == []


def test_transcode(s3: S3, videos: Path, bucket: str, tmp_path: Path) -> None:
    s3.put("clips", {"set/list.csv": b"path\neven/0.mp4\n"})
    options = ["--short_side=32", "--num_workers=1"]
    run("transcode", bucket, tmp_path / "s3", *options, code=1)
    run("transcode", videos, tmp_path / "disk", *options, code=1)
    for name in (record.name for record in read_folder(tmp_path / "disk")):
        assert (tmp_path / "s3" / name).read_bytes() == (tmp_path / "disk" / name).read_bytes()
    assert (tmp_path / "s3" / "list.csv").is_file()
    s3.remove(f"{bucket}/list.csv")


def test_index_and_search(
    s3: S3, videos: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("lancedb")
    content = files_below(videos)
    names = [record.name for record in read_folder(videos) if "bad" not in record.name][:4]
    own = s3.put("library", {name: content[name] for name in names})
    library = s3.put("libraries", {"note.txt": b"x"}) + "/first"  # in the store, too
    options = [f"--out={library}", f"--weights={model}", "--num_workers=0", "--precision=fp32"]
    options += ["--window_s=0.4", "--hop_s=0.2"]
    changed = {names[1]: content[read_folder(videos)[-1].name]}
    s3.trouble.expired.add(names[3])
    run("index", own, *options)
    assert "3 videos, 0 unchanged, 0 removed, 1 skipped" in capsys.readouterr().err
    s3.trouble.expired.clear()
    for change, told in (
        (dict, "1 video, 3 unchanged"),  # what keys of the day before did not open
        (dict, "0 videos, 4 unchanged"),
        (lambda: s3.put("library", changed), "1 video, 3 unchanged"),
        (lambda: s3.remove(f"{own}/{names[0]}"), "0 videos, 3 unchanged, 1 removed"),
    ):
        change()
        run("index", own, *options)
        assert told in capsys.readouterr().err
    query = ["search", "--same_part", library, f"{own}/{names[2]}", f"--out={tmp_path / 'hits.json'}", "--top=3"]
    run(*query)
    hits = json.loads((tmp_path / "hits.json").read_text())["hits"]
    assert hits[0]["path"] == f"{own}/{names[2]}"
    assert hits[0]["score"] == pytest.approx(1, abs=1e-5)
    run(*query, "--not_same_video")
    hits = json.loads((tmp_path / "hits.json").read_text())["hits"]
    assert sorted(hit["path"] for hit in hits) == sorted(f"{own}/{names[place]}" for place in (1, 3))


def test_a_store_that_cannot_be_reached_is_named(
    s3: S3, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.trouble.expired.add("/old.mp4")
    expired = "s3://clips/old.mp4"
    assert main(["roi", expired, expired, f"--weights={model}", f"--out={tmp_path / 'roi'}"]) == 2
    assert "not allowed" in capsys.readouterr().err
    assert (
        main(["embed", f"--weights={model}", "s3://clips/nix.mp4", f"--out={tmp_path / 'e'}", "--num_workers=0"]) == 2
    )
    assert "'s3://clips/nix.mp4' does not exist" in capsys.readouterr().err
    url = s3.put("clips", {"y.mp4": b"no video"}) + "/y.mp4"
    assert main(["embed", f"--weights={model}", url, "--out=s3://clips/out", "--num_workers=0"]) == 2
    assert "local" in capsys.readouterr().err
    assert main(["embed", "--weights=s3://clips/model.ckpt", url, f"--out={tmp_path / 'f'}"]) == 2
    assert "weights 's3://clips/model.ckpt' is an address: this is read from local files" in capsys.readouterr().err
    assert main(["classify", "run", "s3://clips/model", url, f"--out={tmp_path / 'g'}"]) == 2
    assert "classifier 's3://clips/model' is an address" in capsys.readouterr().err
    need("lancedb")
    assert main(["search", "s3://nix/library", url]) == 2
    error = capsys.readouterr().err
    assert error == "rspnet: error: cannot open library 's3://nix/library': The specified bucket does not exist\n"
