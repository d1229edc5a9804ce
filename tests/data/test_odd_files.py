"""What real folders hold besides sound videos, and files that go away or change while they are used."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.videos import read_barcode, write_barcode_video
from pyarrow.parquet import read_table

from rspnet.cli import main
from rspnet.commands import predict
from rspnet.core.errors import DecodeError, RSPNetError, TooManySkippedError
from rspnet.core.files import sha256_of
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.checks.inspection import Inspector
from rspnet.data.datasets import ClipPairDataset, PairSample
from rspnet.data.loader import make_loader
from rspnet.data.presets import PRESETS
from rspnet.data.sampler import PairRequest, PairSampler
from rspnet.data.skipped import SkipLog
from rspnet.features.read import StoredVideo
from rspnet.features.timeline import Event
from rspnet.runs.predictions import save_columns
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.roi_picture import draw_strip
from rspnet.show.timeline.write_timelines import TimelineFiles
from rspnet.video import demuxing
from rspnet.video.probe import is_cut_off
from rspnet.video.reader import open_video

REQUEST = PairRequest(0, 0, 1, 2)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_barcode_video(tmp_path_factory.mktemp("good") / "good.mp4", 30, size=(64, 64), gop=30).read_bytes()


def pairs(records: list[VideoRecord]) -> ClipPairDataset:
    return ClipPairDataset(records, num_frames=4, speeds=[2], size=32, preset=PRESETS["published"], seed=0)


def test_odd_names_are_read_and_named(tmp_path: Path, good: bytes) -> None:
    names = [
        b"two  spaces .mp4",
        b"new\nline.mp4",
        b"bytes\xff\xfe.mp4",
        b"-flag.mp4",
        b"a:b|c.mp4",
        "é漢.MP4".encode(),
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(good)
    records = read_folder(tmp_path)
    assert {os.fsencode(record.name) for record in records} == set(names)
    data = pairs(records)
    for index in range(len(data)):
        sample = data[PairRequest(index, 0, 1, 2)]
        assert isinstance(sample, PairSample)
        assert (sample.index, sample.skipped) == (index, ())


def test_what_lies_beside_videos_is_left_alone(tmp_path: Path, good: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(good)
    for name in ("a.mp4.json", "a.srt", "Thumbs.db", "._a.mp4", ".a.mp4", "a.mp4.part"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nothing")
    (tmp_path / "empty.mp4").touch()
    records = {record.name: record for record in read_folder(tmp_path)}
    assert set(records) == {"a.mp4", "dangling.mp4", "empty.mp4"}
    for name, why in (("dangling.mp4", "No such file or directory"), ("empty.mp4", "the file is empty")):
        sample = pairs([records[name], records["a.mp4"]])[REQUEST]
        assert isinstance(sample, PairSample)
        assert {(skip.name, skip.reason) for skip in sample.skipped} == {(name, why)}


def test_links_may_lead_out_of_the_folder(tmp_path: Path, good: bytes) -> None:
    """The policy of SECURITY.md: a data folder is its owner's, who may link to other disks."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.mp4").write_bytes(good)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "near.mp4").symlink_to(tmp_path / "elsewhere" / "far.mp4")
    (tmp_path / "data" / "circle.mp4").symlink_to(tmp_path / "data" / "circle.mp4")
    assert [record.name for record in read_folder(tmp_path / "data")] == ["circle.mp4", "near.mp4"]
    with open_video(tmp_path / "data" / "near.mp4") as video:
        assert len(video) == 30
    with pytest.raises(DecodeError, match="Too many levels of symbolic links"):
        open_video(tmp_path / "data" / "circle.mp4")


def test_folders_that_link_in_circles_are_read_once(tmp_path: Path, good: bytes) -> None:
    root = tmp_path / "data"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "x.mp4").write_bytes(good)
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "a" / "b" / "self").symlink_to(root / "a" / "b")
    (root / "again").symlink_to(root / "a")
    assert [record.name for record in read_folder(root)] in (["a/x.mp4"], ["again/x.mp4"])


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user to whom files can be forbidden: nothing is to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def forbidden(good: bytes) -> Iterator[Path]:
    """A folder (outside pytest's own, which are private) with a free file, a forbidden one and a forbidden folder."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "closed").mkdir()
        for file in ("free.mp4", "mine.mp4", "closed/a.mp4"):
            (root / file).write_bytes(good)
            (root / file).chmod(0o644)
        (root / "mine.mp4").chmod(0)
        (root / "closed").chmod(0)
        yield root
        (root / "closed").chmod(0o755)


def test_a_forbidden_file_is_replaced_and_named(forbidden: Path) -> None:
    records = [VideoRecord(forbidden / name, name) for name in ("mine.mp4", "free.mp4")]
    with nobody():
        sample = pairs(records)[REQUEST]
    assert isinstance(sample, PairSample)
    assert sample.index == 1
    ((name, reason),) = {(skip.name, skip.reason) for skip in sample.skipped}
    assert name == "mine.mp4"
    assert "Permission denied" in reason


def test_a_folder_that_may_be_listed_and_not_entered(forbidden: Path) -> None:
    """Its files are known by name: each is skipped and named, the others are read."""
    (forbidden / "closed").chmod(0o744)
    with nobody():
        records = read_folder(forbidden)
        assert [record.name for record in records] == ["closed/a.mp4", "free.mp4", "mine.mp4"]
        with pytest.raises(DecodeError, match="Permission denied"):
            open_video(records[0].path)
        with open_video(records[1].path) as video:
            assert len(video) == 30


def test_a_named_pipe_is_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    assert not is_cut_off(pipe)
    with pytest.raises(OSError, match="not a regular file"):
        sha256_of(pipe)
    report = Inspector(num_frames=4, speeds=(2,))(("pipe.mp4", str(pipe)))
    assert [(finding.kind, finding.detail) for finding in report.findings] == [("unreadable", "not a regular file")]


@pytest.mark.parametrize("name", ["names.npz", "names.parquet"])
def test_a_name_in_latin_1_does_not_end_the_writing_of_features(tmp_path: Path, name: str) -> None:
    names = np.array([os.fsdecode(b"caf\xe9.mp4"), "thé.mp4"])
    save_columns(tmp_path / name, {"name": names, "vector": np.eye(2, dtype=np.float32)})
    if name.endswith("npz"):
        with np.load(tmp_path / name) as stored:
            assert stored["name"].tolist() == names.tolist()
    else:
        table = read_table(tmp_path / name)
        assert table["name"].to_pylist() == ["caf\\udce9.mp4", "thé.mp4"]
        assert table["vector"].to_pylist() == [[1, 0], [0, 1]]


def test_a_forbidden_folder_is_an_error_that_names_it(forbidden: Path) -> None:
    """Half a data set must not go missing without a word."""
    for root in (forbidden, forbidden / "closed", forbidden / "closed" / "inside"):
        with nobody(), pytest.raises(RSPNetError, match=r"cannot read folder '.*closed.*': Permission denied"):
            read_folder(root)


def test_the_command_line_says_so_in_one_line(forbidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["doctor", str(forbidden / "missing")]) == 2
    )  # imports the command: nobody may be kept from Python's files
    capsys.readouterr()
    with nobody():
        assert main(["doctor", str(forbidden / "closed" / "inside"), "--out", str(forbidden / "out")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"rspnet: error: cannot read folder {str(forbidden / 'closed' / 'inside')!r}: Permission denied"
    ]


def test_a_mount_that_vanishes_ends_the_run_and_names_its_files(tmp_path: Path, good: bytes) -> None:
    root = tmp_path / "mount"
    root.mkdir()
    for number in range(8):
        (root / f"{number}.mp4").write_bytes(good)
    data = pairs(read_folder(root))
    log = SkipLog(tmp_path / "skipped.csv", num_videos=8, max_share=0.5)
    steps = PairSampler(8, batch_size=4, seed=0, speeds=[2], total_steps=10)
    batches = iter(make_loader(data, steps, num_workers=0, skip_log=log))
    next(batches)
    shutil.rmtree(root)
    with pytest.raises(TooManySkippedError, match="No such file or directory"):
        list(batches)
    rows = log.path.read_text().splitlines()[1:]
    assert len(rows) > 4
    assert all(row.endswith(".mp4,No such file or directory") for row in rows)


def test_a_file_that_vanishes_is_replaced_and_named(tmp_path: Path, good: bytes) -> None:
    for name in ("gone.mp4", "here.mp4"):
        (tmp_path / name).write_bytes(good)
    data = pairs(read_folder(tmp_path))
    (tmp_path / "gone.mp4").unlink()
    sample = data[REQUEST]
    assert isinstance(sample, PairSample)
    assert sample.index == 1
    assert {(skip.name, skip.reason) for skip in sample.skipped} == {("gone.mp4", "No such file or directory")}


@pytest.mark.parametrize("keep_bytes", [0, 10**9])
def test_a_file_replaced_while_it_is_read(
    tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch, keep_bytes: int
) -> None:
    """Its packets come from memory, or it is refused: never frames of the other file."""
    monkeypatch.setattr(demuxing, "KEEP_BYTES", keep_bytes)
    path = tmp_path / "a.mp4"
    path.write_bytes(good)
    with open_video(path) as video:
        (tmp_path / "b.mp4").write_bytes(good[: len(good) // 2])
        (tmp_path / "b.mp4").replace(path)
        if keep_bytes:
            assert read_barcode(video.frames_at([20])[0]) == 20
        else:
            with pytest.raises(DecodeError, match="changed while it was read"):
                video.frames_at([20])
        path.unlink()
        if not keep_bytes:
            with pytest.raises(DecodeError, match="No such file"):
                video.frames_at([20])


def test_a_slow_file_gives_the_same(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(good)
    data = pairs(read_folder(tmp_path))
    quick = data[REQUEST]
    real = demuxing.demux

    def slow(*arguments: object) -> object:
        for packet in real(*arguments):  # type: ignore[arg-type]
            time.sleep(0.005)
            yield packet

    monkeypatch.setattr(demuxing, "demux", slow)
    late = data[REQUEST]
    assert isinstance(quick, PairSample)
    assert isinstance(late, PairSample)
    assert quick.query.equal(late.query)


@pytest.mark.slow
def test_a_folder_of_many_files_is_listed_quickly(tmp_path: Path) -> None:
    for number in range(20_000):
        (tmp_path / f"{number:06}.mp4").touch()
    started = time.process_time()
    assert len(read_folder(tmp_path)) == 20_000
    assert time.process_time() - started < 2.5  # 0.25 s where it was written


def test_a_name_in_latin_1_is_written_into_every_table_and_picture(tmp_path: Path) -> None:
    name, shown = os.fsdecode(b"caf\xe9.mp4"), "caf\\udce9.mp4"
    rows = [(VideoRecord(tmp_path / name, name), np.array([0.25, 0.75], np.float32))]
    for suffix in (".csv", ".json", ".parquet"):
        predict._write(tmp_path / f"p{suffix}", rows, ["a", "b"])
    assert read_table(tmp_path / "p.parquet")["name"].to_pylist() == [shown]
    assert shown in (tmp_path / "p.csv").read_text()
    video = StoredVideo(name, f"/v/{name}", 10.0, np.zeros(1), np.ones(1), np.ones((1, 1)))
    with TimelineFiles(tmp_path / "out", ["a"], title=name) as files:
        files.add(video, video.values, [Event("a", 0.0, 1.0)])
    for file in ("events.csv", "boris.tsv", "timeline.html", f"subtitles/{name[:-4]}.vtt", f"elan/{name[:-4]}.eaf"):
        assert (tmp_path / "out" / file).read_text()
    for table in ("windows.parquet", "events.parquet"):
        assert read_table(tmp_path / "out" / table)["path"].to_pylist() == [f"/v/{shown}"]
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    contact_sheet(tmp_path / "sheet.png", [SheetRow(SheetClip(frames, (name,)), [], heading=name)], title=name)
    draw_strip(tmp_path / "strip.png", [(name, frames, {"map": np.zeros((8, 8), np.float32)})], title="t")
