"""The feature store: parts, stamps, what is done, what is dropped, and what a kill leaves."""

from __future__ import annotations

import json
import os
import random
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rspnet.core import files
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.features import store as store_module
from rspnet.features.read import read_features
from rspnet.features.store import FeatureStore, SourceFile, Stamp

STAMP = Stamp("ab" * 32, {"window_s": 2.0, "size": 32}, {"features": 6, "motion": 4}, model="a.ckpt", version="0.1")


def source(number: int, *, content: str = "c") -> SourceFile:
    return SourceFile(f"{number}.mp4", f"/videos/{number:05}.mp4", f"{content}{number}", 10, 5)


def rows(number: int, count: int, *, first: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([number, first])
    window = np.arange(first, first + count)
    return {
        "window": window,
        "start_s": window * 1.0,
        "end_s": window + 2.0,
        "first_frame": window * 25,
        "last_frame": window * 25 + 49,
        "features": rng.standard_normal((count, 6)).astype(np.float32),
        "motion": rng.standard_normal((count, 4)).astype(np.float32),
    }


def fill(folder: Path, numbers: range, *, stamp: Stamp = STAMP, windows: int = 3) -> FeatureStore:
    with FeatureStore(folder).writer(stamp) as writer:
        for number in numbers:
            writer.add(source(number), rows(number, windows), windows=windows, fps=25.0)
    return FeatureStore(folder)


def test_rows_come_back_as_they_went_in(tmp_path):
    store = fill(tmp_path / "features.parquet", range(4))
    assert len(store) == 12
    for place in (tmp_path, tmp_path / "features.parquet", store.parts()[0]):
        found = read_features(place)
        assert len(found) == 12
        np.testing.assert_array_equal(found.features, np.concatenate([rows(n, 3)["features"] for n in range(4)]))
        np.testing.assert_array_equal(found.motion, np.concatenate([rows(n, 3)["motion"] for n in range(4)]))
        assert found.appearance.shape == (12, 0)
        assert found.table["path"].to_pylist()[::3] == [source(n).path for n in range(4)]
        assert found.table["last_frame"].to_pylist()[:3] == [49, 74, 99]
        assert found.stamp == STAMP


def test_other_readers_open_the_folder_as_it_is(tmp_path):
    fill(tmp_path / "features.parquet", range(2))
    fill(tmp_path / "features.parquet", range(2, 4))
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(tmp_path / "features.parquet")
    assert frame.shape == (12, 14)
    np.testing.assert_array_equal(np.stack(frame["motion"])[:3], rows(0, 3)["motion"])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_half_precision_is_the_rounded_vectors(tmp_path, dtype):
    stamp = Stamp("ab", {}, {"features": 6, "motion": 4}, dtype=dtype)
    fill(tmp_path / "features.parquet", range(3), stamp=stamp)
    found = read_features(tmp_path)
    assert found.features.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(
        found.features, np.concatenate([rows(n, 3)["features"] for n in range(3)]).astype(dtype)
    )


def test_npz_reads_as_a_table(tmp_path):
    np.savez(tmp_path / "features.npz", name=np.array(["a", "b"]), features=np.ones((2, 5), np.float32))
    found = read_features(tmp_path)
    assert found.table["name"].to_pylist() == ["a", "b"]
    assert found.features.shape == (2, 5)
    assert found.motion.shape == (2, 0)
    assert found.stamp is None


def test_what_is_done_is_known_by_path_and_content(tmp_path):
    folder = tmp_path / "features.parquet"
    with FeatureStore(folder).writer(STAMP) as writer:
        writer.add(source(1), rows(1, 3), windows=3, fps=25.0)
        writer.add(source(2), rows(2, 2), windows=5, fps=25.0)
        writer.add(source(2), rows(2, 1, first=3), windows=5, fps=25.0)
    known = FeatureStore(folder).known()
    assert known[source(1).path].whole
    assert not known[source(2).path].whole
    assert known[source(2).path].done == {0, 1, 3}
    assert known[source(2).path].source == source(2)


def test_a_file_is_unchanged_by_its_time_or_its_content(tmp_path):
    video = tmp_path / "a.mp4"
    video.write_bytes(b"one")
    with FeatureStore(tmp_path / "s.parquet").writer(STAMP) as writer:
        writer.add(SourceFile.of(video, "a"), rows(1, 1), windows=1, fps=25.0)
    (known,) = FeatureStore(tmp_path / "s.parquet").known().values()
    assert known.unchanged(video)
    os.utime(video, (1, 1))
    assert known.unchanged(video)
    video.write_bytes(b"two")
    assert not known.unchanged(video)
    video.unlink()
    assert not known.unchanged(video)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Stamp("cd" * 32, STAMP.view, STAMP.vectors), "was made with weights_sha256 abababababab, not cdcdcdcdcdcd"),
        (Stamp("ab" * 32, STAMP.view | {"window_s": 3.0}, STAMP.vectors), "was made with window_s 2.0, not 3.0"),
        (Stamp("ab" * 32, STAMP.view | {"fps": 12}, STAMP.vectors), "was made with fps None, not 12"),
        (Stamp("ab" * 32, STAMP.view, STAMP.vectors, "float16"), "was made with dtype float32, not float16"),
    ],
)
def test_another_stamp_is_refused_by_name(tmp_path, other, message):
    store = fill(tmp_path / "s.parquet", range(2))
    with pytest.raises(ConfigError, match=message):
        store.writer(other)
    fill(tmp_path / "other.parquet", range(2), stamp=other)
    store.parts()[0].rename(tmp_path / "other.parquet" / "part-000009-r0.parquet")
    with pytest.raises(RSPNetError, match="is mixed"):
        FeatureStore(tmp_path / "other.parquet")


def test_dropped_files_leave_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PART_ROWS", 6)
    store = fill(tmp_path / "s.parquet", range(7))
    assert len(store.parts()) == 4
    store.drop([source(2).path, source(3).path, source(4).path, "/nowhere"])
    left = read_features(tmp_path / "s.parquet")
    kept = [0, 1, 5, 6]
    assert left.table["path"].to_pylist()[::3] == [source(n).path for n in kept]
    np.testing.assert_array_equal(left.features, np.concatenate([rows(n, 3)["features"] for n in kept]))
    assert len(store.parts()) == 3


def test_a_part_never_ends_inside_rows_that_belong_together(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PART_ROWS", 4)
    store = fill(tmp_path / "s.parquet", range(5))
    assert [pq.read_metadata(part).num_rows for part in store.parts()] == [6, 6, 3]


def test_few_tables_wait_however_many_rows_come_one_by_one(tmp_path):
    with FeatureStore(tmp_path / "s.parquet").writer(STAMP) as writer:
        for number in range(100):
            writer.add(source(number), rows(number, 1), windows=1, fps=25.0)
            assert len(writer._waiting) < 32
            assert sum(table.num_rows for table in writer._waiting) == number + 1
    found = read_features(tmp_path / "s.parquet")
    np.testing.assert_array_equal(found.features, np.concatenate([rows(n, 1)["features"] for n in range(100)]))


def test_a_slow_writer_writes_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PART_SECONDS", -1.0)
    assert len(fill(tmp_path / "s.parquet", range(5)).parts()) == 5


def test_two_writers_of_one_rank_are_refused_and_ranks_write_side_by_side(tmp_path):
    store = FeatureStore(tmp_path / "s.parquet")
    with store.writer(STAMP, rank=0) as first, store.writer(STAMP, rank=1) as second:
        with pytest.raises(ConfigError, match="is being written by another process"):
            store.writer(STAMP, rank=1)
        first.add(source(1), rows(1, 2), windows=2, fps=25.0)
        second.add(source(2), rows(2, 2), windows=2, fps=25.0)
    assert [part.name for part in store.parts()] == ["part-000001-r0.parquet", "part-000001-r1.parquet"]
    assert len(read_features(tmp_path / "s.parquet")) == 4


def test_what_is_left_is_written_when_an_error_ends_the_run(tmp_path):
    def run():
        with FeatureStore(tmp_path / "s.parquet").writer(STAMP) as writer:
            writer.add(source(1), rows(1, 2), windows=2, fps=25.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(FeatureStore(tmp_path / "s.parquet")) == 2


@pytest.mark.parametrize("seed", range(12))
def test_kill_at_any_moment_costs_the_running_part_only(tmp_path, monkeypatch, seed):
    """Seeded deaths in a fork: before or after a rename, in mid write; then the run goes on to the same table."""
    monkeypatch.setattr(store_module, "PART_ROWS", 6)
    rng = random.Random(seed)
    place, call = rng.choice(["_flush", "replace", "write"]), rng.randint(1, 6)
    folder = tmp_path / "s.parquet"

    def go_on() -> int:
        store = FeatureStore(folder)
        known, begun = store.known(), 0
        with store.writer(STAMP) as writer:
            for number in range(10):
                if (item := known.get(source(number).path)) is None or not item.whole:
                    begun += 1
                    writer.add(source(number), rows(number, 3), windows=3, fps=25.0)
        return begun

    child = os.fork()
    if child == 0:
        owner, name = {
            "_flush": (files, "_flush"), "replace": (Path, "replace"), "write": (store_module.pq, "write_table")
        }[place]  # fmt: skip
        own, left = getattr(owner, name), [call]

        def dying(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                if place == "write":
                    Path(arguments[1]).write_bytes(b"PAR1" + bytes(100))
                os.kill(os.getpid(), signal.SIGKILL)
            return own(*arguments, **options)

        setattr(owner, name, dying)
        go_on()
        os._exit(0)
    os.waitpid(child, 0)
    before = len(FeatureStore(folder)) // 3
    assert go_on() == 10 - before
    straight = fill(tmp_path / "straight.parquet", range(10))
    assert read_features(folder).table.equals(read_features(straight.folder).table)
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".part*"))


def test_memory_does_not_grow_with_the_rows_read(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "PART_ROWS", 1000)
    peaks = []
    for count in (10, 80):
        stamp = Stamp("ab", {}, {"features": 256})
        folder = tmp_path / f"{count}.parquet"
        with FeatureStore(folder).writer(stamp) as writer:
            for number in range(count):
                writer.add(
                    source(number),
                    rows(number, 100) | {"features": np.zeros((100, 256), np.float32)},
                    windows=100,
                    fps=25.0,
                )
        seen, peak, before = 0, 0, pa.total_allocated_bytes()
        for batch in FeatureStore(folder).batches(rows=500):
            seen += len(batch["features"].flatten())
            peak = max(peak, pa.total_allocated_bytes() - before)
        peaks.append(peak)
        assert seen == count * 100 * 256
    assert 1000 * 256 * 4 <= peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("damage", ["cut", "foreign", "text"])
def test_damage_is_named(tmp_path, damage):
    store = fill(tmp_path / "s.parquet", range(3))
    (part,) = store.parts()
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-20])
    elif damage == "foreign":
        pq.write_table(pq.read_table(part).replace_schema_metadata({}), part)
    else:
        part.write_text("no parquet")
    with pytest.raises(RSPNetError, match=r"part-000001-r0\.parquet"):
        FeatureStore(tmp_path / "s.parquet")


def test_places_without_features_are_named(tmp_path):
    for place in (tmp_path, tmp_path / "nothing", tmp_path / "a.txt"):
        with pytest.raises(RSPNetError, match="holds no features"):
            read_features(place)
    for bad in (b"PK no zip", b"no zip", b""):
        (tmp_path / "features.npz").write_bytes(bad)
        with pytest.raises(RSPNetError, match=r"cannot read features .*: damaged, or no \.npz file$"):
            read_features(tmp_path)
    np.savez(tmp_path / "features.npz", features=np.array([print], dtype=object))
    with pytest.raises(RSPNetError, match=r"cannot read features .*: it holds Python objects, which are never read$"):
        read_features(tmp_path)
    wrong = [({"a": np.zeros(3)}, "it has no column features"), ({"features": np.zeros((3, 2, 2))}, "cannot read")]
    for other, said in wrong:
        np.savez(tmp_path / "features.npz", name=np.array(list("abc")), **other)
        with pytest.raises(RSPNetError, match=said):
            read_features(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        FeatureStore(tmp_path / "file")


def test_a_stamp_survives_its_text():
    assert Stamp.from_json(STAMP.as_json()) == STAMP
    assert json.loads(STAMP.as_json())["view"] == {"window_s": 2.0, "size": 32}


@pytest.mark.parametrize(
    "column", [[1.0, 2.0], ["a", "b"], [[1.0, 2.0], None], [[1.0, 2.0], [1.0]], [["a"], ["b"]]], ids=str
)
def test_columns_of_other_programs_that_are_no_vectors_are_named(tmp_path, column):
    """A row without a vector would shift or halve the others."""
    pq.write_table(pa.table({"path": ["a.mp4", "b.mp4"], "features": column}), tmp_path / "other.parquet")
    with pytest.raises(RSPNetError, match="column features: 2 lists of numbers of one length are needed"):
        read_features(tmp_path / "other.parquet")
    np.savez(tmp_path / "other.npz", features=np.float32(1))
    with pytest.raises(RSPNetError, match="no dimension"):
        read_features(tmp_path / "other.npz")


def test_code_of_a_plug_in_that_one_stamp_does_not_know_is_no_difference():
    one, other = (replace(STAMP, view=STAMP.view | {"plugins_sha256": sha256}) for sha256 in ("abc", "def"))
    assert one.difference(other) == "plugins_sha256 abc, not def"
    assert one.difference(STAMP) == STAMP.difference(one) == one.difference(one) == ""
