"""`rspnet index` and `rspnet search` on real files: repeatable, safe to kill, located hits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
from helpers.extras import need
from helpers.tiny_model import save_tiny_checkpoint

from rspnet import ClipOf, Library
from rspnet.cli import main
from rspnet.core import workers
from rspnet.data.cuts import Cut
from rspnet.data.synthetic.procedural import plan_clips, render_frames
from rspnet.search import index as index_module
from rspnet.search import index_plan
from rspnet.search.hits import Hit
from rspnet.search.library_store import Store
from rspnet.search.library_tables import FileRow
from rspnet.search.query import stored_query
from rspnet.video.reader import VideoReader
from rspnet.video.writer import write_video

need("lancedb")

FPS = 10


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Four short videos (3.2 s), one long one that shows the third from 7 s on, and a checkpoint."""
    root = tmp_path_factory.mktemp("material")
    scenes = [render_frames(clip) for clip in plan_clips(num_videos=8, seed=5, num_frames=32, size=48)]
    (root / "videos" / "deep er").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b's.avi", "c.mp4", "deep er/d.mp4")):
        write_video(root / "videos" / name, scenes[number], fps=FPS)
    before, after = np.concatenate(scenes[4:7])[:70], scenes[7]
    write_video(root / "videos" / "long.mp4", np.concatenate([before, scenes[2], after]), fps=FPS)
    save_tiny_checkpoint(root / "model.ckpt")
    save_tiny_checkpoint(root / "other.ckpt", seed=1)
    return root


@pytest.fixture
def videos(material, tmp_path):
    """A copy of the videos to change at will."""
    shutil.copytree(material / "videos", tmp_path / "videos")
    return tmp_path / "videos"


def run_index(material: Path, videos: Path, *options: str, model: str = "model.ckpt", code: int = 0) -> Store | None:
    store = str(videos.parents[videos.name == "deep er"] / "library")
    fixed = ["--num_workers=0", "--precision=fp32"]
    words = ["index", str(videos), f"--out={store}", f"--weights={material / model}", *fixed, *options]
    assert main(words) == code
    return Store(store) if code == 0 else None


def content(store: Store) -> list:
    """Every clip's row without its order."""
    rows = store._clips.to_arrow().to_pylist()
    return sorted(rows, key=lambda row: (row["path"], row["window"]))


@pytest.mark.slow
def test_indexing_again_does_only_what_changed(material, videos, capsys):
    store = run_index(material, videos)
    assert "5 videos, 0 unchanged" in capsys.readouterr().err
    windows = {Path(path).name: row.clips for path, row in store.files().items()}
    assert windows == {"a.mp4": 3, "b's.avi": 3, "c.mp4": 3, "d.mp4": 3, "long.mp4": 13}
    before = content(store)
    assert len(before) == len(store) == 25
    assert {row["model"] for row in before} == {store.about.weights_sha256}
    assert all(abs(np.linalg.norm(row["vector"]) - 2**0.5) < 1e-5 for row in before)
    assert content(run_index(material, videos)) == before
    assert "0 videos, 5 unchanged" in capsys.readouterr().err

    shutil.copyfile(videos / "a.mp4", videos / "c.mp4")  # changed
    (videos / "b's.avi").unlink()  # gone
    os.utime(videos / "deep er" / "d.mp4", ns=(7, 7))  # touched only
    (videos / "new.mp4").write_bytes((videos / "long.mp4").read_bytes())
    after = content(run_index(material, videos))
    assert "2 videos, 3 unchanged, 1 removed" in capsys.readouterr().err
    by_name = {name: [row["vector"] for row in after if Path(row["path"]).name == name] for name in ("a.mp4", "c.mp4")}
    assert by_name["a.mp4"] == by_name["c.mp4"]
    assert {Path(row["path"]).name for row in after} == {"a.mp4", "c.mp4", "d.mp4", "long.mp4", "new.mp4"}
    run_index(material, videos)
    assert "0 videos, 5 unchanged" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_is_one_however_its_folder_is_spelled(material, videos, capsys):
    store = run_index(material, videos)
    before = content(store)
    (videos.parent / "linked").symlink_to(videos)
    (videos.parent / "more").mkdir()
    (videos.parent / "more" / "again.mp4").symlink_to(videos / "a.mp4")
    (videos / "z.mp4").symlink_to(videos / "a.mp4")
    capsys.readouterr()
    for folder in (videos.parent / "linked", videos / "deep er" / "..", videos.parent / "more"):
        words = ["index", str(folder), f"--out={store.uri}", f"--weights={material / 'model.ckpt'}", "--num_workers=0"]
        assert main([*words, "--precision=fp32"]) == 0
        count = 1 if folder.name == "more" else 5
        assert f"0 videos, {count} unchanged, 0 removed" in capsys.readouterr().err
        assert content(Store(store.uri)) == before


@pytest.mark.slow
def test_a_library_that_names_a_file_twice_loses_one_of_them(material, videos, capsys):
    """As an older rspnet left it."""
    store = run_index(material, videos)
    row = store.files()[str(videos / "a.mp4")]
    store.replace([replace(row, path=str(videos / "deep er" / ".." / "a.mp4"))], [])
    (videos / "c.mp4").unlink()
    (videos / "broken.mp4").symlink_to(videos / "c.mp4")
    assert set(run_index(material, videos).files()) == {str(p) for p in videos.rglob("*.*") if p.name != "broken.mp4"}
    assert "0 videos, 4 unchanged, 2 removed" in capsys.readouterr().err


@pytest.mark.slow
def test_one_run_at_a_time_writes_to_a_library(material, videos, capsys):
    store = run_index(material, videos)
    holder = subprocess.Popen(["flock", f"{store.uri}/.lock", "sleep", "60"])
    try:
        while not Path(store.uri, ".lock").exists():
            time.sleep(0.05)
        time.sleep(0.2)
        capsys.readouterr()
        run_index(material, videos, code=2)
        assert "library' is in use by another run of rspnet" in capsys.readouterr().err
    finally:
        holder.kill()
        holder.wait()


def test_what_has_gone_is_found_in_time_that_grows_with_the_files(tmp_path, monkeypatch):
    """Ten times the files may cost forty times as much (ten, and noise); where it grows with their square, hundred."""
    monkeypatch.setattr(index_plan, "file_row", lambda path: None)
    monkeypatch.setattr(FileRow, "is_unchanged", lambda self: True)
    seconds = {}
    for count in (2_000, 20_000):
        known = {f"{tmp_path}/{n}.mp4": FileRow(f"{tmp_path}/{n}.mp4", "", 1, 1, 1.0, 1, "") for n in range(count)}
        removed: list[str] = []
        rows = {"files": lambda known=known: known, "remove": removed.extend}
        store = SimpleNamespace(**rows, unfinished=lambda _: {})
        started = time.process_time()
        plan = index_plan.prepare(store, list(known)[: count // 2], tmp_path)
        seconds[count] = time.process_time() - started
        assert (plan.todo, plan.unchanged, plan.removed, len(removed)) == ({}, count // 2, count // 2, count // 2)
    assert seconds[20_000] < 40 * max(seconds[2_000], 0.01)


@pytest.mark.slow
def test_a_hit_whose_file_has_gone_says_that_the_library_is_out_of_date(material, videos, tmp_path, capsys):
    store = run_index(material, videos)
    query = tmp_path / "[b]query :fire:.mp4"
    shutil.copyfile(videos / "c.mp4", query)
    (videos / "[x] [").mkdir()
    (videos / "c.mp4").rename(videos / "[x] [" / "x] [bold].mp4")
    words = ["search", store.uri, str(query), "--top=3", "--same_part"]
    assert main([*words, f"--out={tmp_path / 'run'}"]) == 0
    error = " ".join(capsys.readouterr().err.split())
    assert f"1 of 3 hits are of files that have gone or changed since (the first: '{videos / 'c.mp4'}')" in error
    assert f"library {store.uri!r} is out of date, run rspnet index on its folder again" in error
    assert (tmp_path / "run" / "hits.png").exists()
    run_index(material, videos)
    capsys.readouterr()
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "[bold].mp4" in captured.out
    assert "[x] [/x]" in captured.out
    assert "out of date" not in captured.err
    for path in videos.rglob("*.*"):
        path.unlink()
    assert main([*words, f"--out={tmp_path / 'none.png'}"]) == 2
    assert "3 of 3 hits are of files that have gone" in capsys.readouterr().err


@pytest.mark.slow
def test_only_the_indexed_folders_files_leave(material, videos):
    run_index(material, videos)
    (videos / "a.mp4").unlink()
    store = Store(str(videos.parent / "library"))
    run_index(material, videos / "deep er")
    assert len(store.files()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("step", ["clips", "files"])
def test_a_killed_run_is_completed_by_the_next(material, videos, step):
    """Kill -9 right after the batch's clips, or right after its file rows, were written."""
    store = videos.parent / "library"
    program = f"""
import os, signal, sys
import helpers.narrow
from rspnet.cli import main
from rspnet.search import index, library_store as store
index._BATCH_VIDEOS = 2
replace, count = store.Store.replace, 0
def fatal(self, files, clips, **options):
    global count
    count += 1
    if count == 2:
        if {step == "clips"}:
            self._clips.add(store.clip_table(clips, self.about))
        else:
            replace(self, files, clips, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(self, files, clips, **options)
store.Store.replace = fatal
main(["index", {str(videos)!r}, "--out={store}", {f"--weights={material / 'model.ckpt'}"!r}, "--num_workers=0",
      "--precision=fp32"])
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(Store(str(store)).files()) == (2 if step == "clips" else 4)
    completed = content(run_index(material, videos))
    shutil.rmtree(store)
    assert completed == content(run_index(material, videos))


@pytest.mark.slow
def test_a_run_has_one_pool_and_looks_at_all_file_rows_as_often_for_many_batches_as_for_one(
    material, videos, monkeypatch
):
    """Also the next run, which finds all in its place."""
    pools, looks = [], []
    pool, files = workers._Pool, Store.files

    def counted_pool(*given):
        pools.append(given)
        return pool(*given)

    def counted_files(store):
        looks.append(store)
        return files(store)

    monkeypatch.setattr(workers, "_Pool", counted_pool)
    monkeypatch.setattr(Store, "files", counted_files)
    words = ["index", str(videos), f"--weights={material / 'model.ckpt'}", "--num_workers=1", "--precision=fp32"]
    counts = []
    for size in (1, 100):
        monkeypatch.setattr(index_module, "_BATCH_VIDEOS", size)
        pools.clear()
        looks.clear()
        assert main([*words, f"--out={videos.parent / str(size)}"]) == 0
        counts.append((len(pools), len(looks)))
    assert counts[0] == counts[1]
    assert counts[0][0] == 1


@pytest.mark.slow
def test_unreadable_files_are_named_kept_in_mind_and_tried_again_when_changed(material, videos, capsys):
    (videos / "broken.mp4").write_bytes(b"no video")
    store = run_index(material, videos)
    said = capsys.readouterr().err
    assert "skipped " in said
    assert "broken.mp4" in said
    assert "1 skipped" in said
    assert store.files()[str(videos / "broken.mp4")].reason
    run_index(material, videos)
    said = capsys.readouterr().err
    assert "0 videos, 5 unchanged, 0 removed, 1 skipped" in said  # not tried again, but not kept silent about
    assert "broken.mp4" in said
    shutil.copyfile(videos / "a.mp4", videos / "broken.mp4")
    store = run_index(material, videos)
    assert store.files()[str(videos / "broken.mp4")].clips == 3


def test_a_video_of_the_library_asks_with_what_is_stored(material, videos, monkeypatch, capsys):
    """The same as embedding it; parts, changed files and other weights go to the network."""
    store = run_index(material, videos, "--clips=3")
    library = Library.open(store.uri)
    for name in ("a.mp4", "c.mp4"):
        stored, embedded = stored_query(store, ClipOf(videos / name)), library.embed(videos / name)
        for field in ("start_s", "end_s", "motion", "appearance"):
            np.testing.assert_allclose(getattr(stored, field), getattr(embedded, field), atol=1e-5)
        assert stored.content == embedded.content
    assert stored_query(store, ClipOf(videos / "a.mp4", 0.0, 1.0)) is None
    with monkeypatch.context() as patch:
        patch.setattr(library, "embed", lambda *_, **__: pytest.fail("read"))
        assert library.search(videos / "a.mp4")
    capsys.readouterr()
    words = ["search", store.uri, str(videos / "a.mp4")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert main([*words, f"--weights={material / 'model.ckpt'}"]) == 0
    assert capsys.readouterr().out == shown
    monkeypatch.setattr("rspnet.search.library.Library.__init__", lambda *_, **__: pytest.fail("opened"))
    assert main(words) == 0
    os.utime(videos / "a.mp4", (1, 1))
    assert stored_query(store, ClipOf(videos / "a.mp4")) is None


def test_another_model_is_refused_by_name(material, videos, capsys):
    run_index(material, videos / "deep er")
    run_index(material, videos, model="other.ckpt", code=2)
    error = capsys.readouterr().err
    assert "model.ckpt" in error
    assert "other.ckpt" in error
    words = ["search", str(videos.parent / "library"), str(videos / "a.mp4"), f"--weights={material / 'other.ckpt'}"]
    assert main(words) == 2
    assert "other.ckpt" in capsys.readouterr().err


@pytest.mark.slow
def test_a_planted_clip_is_found_in_a_long_video(material, videos):
    store = run_index(material, videos, "--clips=3")
    hits = Library.open(Path(store.uri)).search(videos / "c.mp4", alpha=0.5, k=5)
    assert all(isinstance(hit, Hit) for hit in hits)
    assert "c.mp4" not in {Path(hit.path).name for hit in hits}  # what a query shows itself is no hit
    planted = next(hit for hit in hits if hit.path.endswith("long.mp4"))
    start, end = 7.0, 10.2  # on the grid of windows: these weights are random
    overlap = min(planted.end_s, end) - max(planted.start_s, start)
    assert overlap / (max(planted.end_s, end) - min(planted.start_s, start)) >= 0.7


@pytest.mark.slow
def test_the_search_command_writes_hits_sheet_and_explanation(material, videos, tmp_path, capsys):
    store = run_index(material, videos)
    words = ["search", store.uri, str(videos / "c.mp4"), "--alpha", "0.25", "--top", "3", "--not-same-video"]
    assert main([*words, f"--out={tmp_path / 'run'}", "--explain"]) == 0
    assert "score" in capsys.readouterr().out
    hits = json.loads((tmp_path / "run" / "hits.json").read_text())["hits"]
    assert len(hits) == 3
    assert not any(hit["path"].endswith("/c.mp4") for hit in hits)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    for hit in hits:
        assert hit["score"] == 0.25 * hit["motion"] + 0.75 * hit["appearance"]
        assert 0 <= hit["start_s"] < hit["end_s"]
    for name in ("hits.png", "roi.png"):
        assert matplotlib.image.imread(tmp_path / "run" / name).shape[0] > 200
    assert (tmp_path / "run" / "roi.mp4").stat().st_size > 1000
    assert main([*words, f"--out={tmp_path / 'only.json'}", "--start=1", "--end=2.5"]) == 0
    assert json.loads((tmp_path / "only.json").read_text())["end"] == 2.5
    assert main([*words, f"--out={tmp_path / 'only.png'}"]) == 0
    assert matplotlib.image.imread(tmp_path / "only.png").shape[0] > 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alpha=1.5"], "--alpha 1.5: must be from 0 (appearance) to 1 (motion)"),
        (["--start=9"], "the start, 9 s, lies behind the video's end, 3.20 s"),
        (["--start=2", "--end=1"], "--end 1.0: must be after --start 2.0"),
        (["--explain"], "--explain: name a run folder with --out"),
        (["--weights=nowhere.ckpt"], "cannot read weights 'nowhere.ckpt': no such file"),
    ],
)
def test_bad_input_is_one_line(material, tmp_path_factory, capsys, options, message):
    folder = material / "videos" / "deep er"
    store = material / "library"
    if not store.exists():
        words = [str(folder), f"--out={store}", f"--weights={material / 'model.ckpt'}", "--num_workers=0"]
        assert main(["index", *words]) == 0
        capsys.readouterr()
    assert main(["search", str(store), str(folder / "d.mp4"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def film_only(videos: Path) -> Path:
    """The folder with nothing but the long video, which at a hop of 0.25 s is read in three parts."""
    for path in [*videos.glob("[abc]*"), *videos.glob("deep er/*")]:
        path.unlink()
    return videos


def test_a_film_is_opened_once_and_stored_as_it_comes(material, videos, monkeypatch):
    opened, written = [], []
    sound_init, replace = VideoReader.__init__, Store.replace

    def counted(self, path):
        opened.append(Path(path).name)
        sound_init(self, path)

    def noted(self, files, clips, **options):
        written.append((len(files), sum(len(rows.window) for rows in clips)))
        replace(self, files, clips, **options)

    monkeypatch.setattr(VideoReader, "__init__", counted)
    monkeypatch.setattr(Store, "replace", noted)
    monkeypatch.setattr(index_module, "_BATCH_WINDOWS", 16)
    monkeypatch.setattr(index_module, "_FEWEST_MERGED", 2)
    store = run_index(material, film_only(videos), "--hop_s=0.25")
    assert opened == ["long.mp4"]
    assert written == [(0, 16), (0, 16), (1, len(store) - 32)]
    assert store._clips.stats()["fragment_stats"]["num_fragments"] == 2  # of three, two were merged on the way


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
def test_a_run_stopped_in_a_film_goes_on_there(material, videos, monkeypatch, changed):
    replace, reads = Store.replace, []
    read = Cut.read

    def stopped(self, files, clips, **options):
        replace(self, files, clips, **options)
        raise KeyboardInterrupt

    def counted(self, video, size):
        reads.append(len(self.frames))
        return read(self, video, size)

    film = film_only(videos) / "long.mp4"
    monkeypatch.setattr(index_module, "_BATCH_WINDOWS", 16)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "replace", stopped)
        run_index(material, videos, "--hop_s=0.25", code=130)
    assert len(Store(str(videos.parent / "library"))) == 16
    if changed:
        shutil.copyfile(material / "videos" / "c.mp4", film)
    monkeypatch.setattr(Cut, "read", counted)
    store = run_index(material, videos, "--hop_s=0.25")
    whole = len(store)
    assert sum(reads) == (whole if changed else whole - 16)
    assert store.files()[str(film)].clips == whole
    resumed = content(store)
    shutil.rmtree(videos.parent / "library")
    assert content(run_index(material, videos, "--hop_s=0.25")) == resumed


def test_a_folder_without_one_readable_video_is_an_error(material, videos, capsys):
    for path in videos.rglob("*.*"):
        path.write_bytes(b"no video")
    run_index(material, videos, code=2)
    error = capsys.readouterr().err
    assert "none of 5 videos could be read; the first was" in error
    assert "next:" not in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stores_what_is_done(material, videos, monkeypatch, capsys, number):
    take, taken = index_module._Writer.take, []

    def signalled(self, embedded):
        take(self, embedded)
        taken.append(embedded)
        if len(taken) == 2:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(index_module._Writer, "take", signalled)
        run_index(material, videos, "--num_workers=0", code=130)
    assert len(taken) == 2
    said = capsys.readouterr().err
    assert re.search(r"[1-9]\d* windows stored in .*library; run it again to go on", said)
    stored = len(Store(str(videos.parent / "library")))
    store = run_index(material, videos)
    assert 0 < stored < len(store)
    resumed = content(store)
    shutil.rmtree(videos.parent / "library")
    assert content(run_index(material, videos)) == resumed


def test_few_windows_have_plain_cosines_and_it_is_said(videos, tmp_path, capsys):
    words = ["index", "--weights=rspnet-small", "--num_workers=0", "--precision=fp32", "--num_clips=1"]
    for hop, is_few in (("2", True), ("0.25", False)):
        assert main([*words, str(videos), f"--out={tmp_path / hop}", f"--hop_s={hop}"]) == 0
        assert ("below 32 windows scores are plain cosines" in capsys.readouterr().err) is is_few
        assert (len(Store(str(tmp_path / hop))) < 32) is is_few


def test_files_that_are_none_are_named_and_the_others_done(material, videos, capsys):
    os.mkfifo(videos / "pipe.mp4")
    (videos / "loop.mp4").symlink_to("loop.mp4")
    (videos / "nothing.mp4").symlink_to("unmounted/a.mp4")
    (videos / "folder.mp4").mkdir()
    latin = os.fsdecode(os.fsencode(videos) + b"/caf\xe9.mp4")
    shutil.copyfile(videos / "a.mp4", latin)
    store = run_index(material, videos)
    said = capsys.readouterr().err
    assert "5 videos, " in said
    assert "4 skipped" in said
    for name, why in (
        ("pipe.mp4", "not a regular file"),
        ("loop.mp4", "symbolic links"),
        ("caf", "not valid UTF-8"),
        ("nothing.mp4", "a link to a file"),
    ):
        line = next(line for line in said.splitlines() if name in line)
        assert why in line
    assert {Path(path).name for path, row in store.files().items() if row.clips} == {
        "a.mp4", "b's.avi", "c.mp4", "d.mp4", "long.mp4",
    }  # fmt: skip


@pytest.mark.slow
def test_a_dry_run_says_what_it_costs_and_writes_nothing(material, videos, capsys, monkeypatch):
    monkeypatch.setattr("rspnet.core.cost.SAMPLE_SECONDS", 0.0)
    library = videos.parent / "library"
    words = ["index", str(videos), f"--out={library}", f"--weights={material / 'model.ckpt'}", "--num_workers=0"]
    words.append("--precision=fp32")
    assert main([*words, "--dry_run"]) == 0
    text = capsys.readouterr().out
    assert re.search(
        r"5 videos to do, 0 unchanged: about \d+ s on the CPU \(\d+ cores?\), [\d,]+ windows, \d+ kB", text
    )
    assert not library.exists()
    run_index(material, videos)
    before = {path: path.stat().st_mtime_ns for path in library.rglob("*")}
    assert main([*words, "--dry_run"]) == 0
    assert "0 videos to do, 5 unchanged: nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in library.rglob("*")} == before
