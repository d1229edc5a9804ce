from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from rspnet.core.errors import RSPNetError, TooManySkippedError
from rspnet.data.skipped import Skip, SkipLog


def test_file_holds_each_video_once(tmp_path: Path) -> None:
    log = SkipLog(tmp_path / "run/skipped.csv", num_videos=100, max_share=0.05)
    log.add([])
    assert not log.path.exists()
    log.add([Skip("a, b.mp4", "too short"), Skip("c\udcff.avi", "empty file")])
    log.add([Skip("a, b.mp4", "another reason")])
    assert log.path.read_text().splitlines() == ["name,reason", '"a, b.mp4",too short', "c\\udcff.avi,empty file"]
    assert len(log) == 2


def test_further_skips_are_added_and_the_old_file_is_not_written_again(tmp_path: Path) -> None:
    log = SkipLog(tmp_path / "skipped.csv", num_videos=100)
    log.path.write_text("of an earlier run\n")
    log.add([Skip("a.mp4", "too short")])
    inode, written = log.path.stat().st_ino, len(log.path.read_bytes())
    for number in range(50):
        log.add([Skip(f"{number}.mp4", "garbage")])
        written += len(f"{number}.mp4,garbage\n")
        assert (log.path.stat().st_ino, log.path.stat().st_size) == (inode, written)
    rows = log.path.read_text().splitlines()
    assert rows[:3] == ["name,reason", "a.mp4,too short", "0.mp4,garbage"]
    assert len(rows) == 52
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(RSPNetError, match=r"cannot write '.*skipped\.csv'"):
        log.add([Skip("z.mp4", "garbage")])


def test_ends_the_run_past_the_limit_after_writing(tmp_path: Path) -> None:
    log = SkipLog(tmp_path / "skipped.csv", num_videos=40, max_share=0.05, option="--clips.max_skipped")
    log.add([Skip("a.mp4", "too short"), Skip("b.mp4", "garbage")])
    message = (
        r"3 of 40 videos \(7\.5%\) .*--clips\.max_skipped 5\.0% .*skipped\.csv', the first was 'a\.mp4': too short"
    )
    with pytest.raises(TooManySkippedError, match=message) as caught:
        log.add([Skip("c.mp4", "garbage")])
    assert caught.value.exit_code == 3
    assert "c.mp4" in log.path.read_text()


def test_state_survives_a_resume(tmp_path: Path) -> None:
    log = SkipLog(tmp_path / "skipped.csv", num_videos=40, max_share=0.05)
    log.add([Skip("a.mp4", "too short"), Skip("b.mp4", "garbage")])
    state = pickle.loads(pickle.dumps(log.state_dict()))
    resumed = SkipLog(tmp_path / "new/skipped.csv", num_videos=40, max_share=0.05)
    resumed.load_state_dict(state)
    assert resumed.path.read_text() == log.path.read_text()
    with pytest.raises(TooManySkippedError, match="3 of 40"):
        resumed.add([Skip("c.mp4", "garbage")])
