"""Runs that diverge end, in time and with the files named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from rspnet.core.errors import DivergedError
from rspnet.core.run_files import LAST
from rspnet.engine.divergence import DivergenceWatch


def feed(watch: DivergenceWatch, losses: list[float], *, first: int = 0, saving: bool = False) -> None:
    """Note steps with these losses; a batch is the list of its files."""
    for step, loss in enumerate(losses, start=first):
        watch.note(step, [f"{step}-a.mp4", f"{step}-b.mp4"], {"loss": torch.tensor(loss), "top1": torch.tensor(0.5)})
    watch.look(saving=saving)


def make_watch(folder: Path, *, patience: int = 3) -> DivergenceWatch:
    return DivergenceWatch(folder, patience=patience, files_of=lambda batch: batch)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_so_many_steps_in_a_row_end_the_run(tmp_path: Path, bad: float) -> None:
    watch = make_watch(tmp_path)
    feed(watch, [1.0, bad, bad, 1.0, bad])  # never three in a row
    feed(watch, [bad], first=5)
    with pytest.raises(DivergedError, match=r"^steps 4 to 6: the loss is not finite; .*bad_batch.csv'") as caught:
        feed(watch, [bad, 1.0], first=6)
    assert caught.value.exit_code == 4
    rows = list(csv.DictReader((tmp_path / "bad_batch.csv").read_text().splitlines()))
    assert [row["file"] for row in rows] == [f"{step}-{side}.mp4" for step in (4, 5, 6) for side in "ab"]
    assert list(rows[0]) == ["step", "rank", "file", "loss", "top1"]
    assert (rows[0]["step"], rows[0]["rank"], rows[0]["loss"]) == ("4", "0", f"{bad:g}")


def test_a_checkpoint_is_spoken_of_where_there_is_one(tmp_path: Path) -> None:
    for kept in (False, True):
        if kept:
            (tmp_path / LAST).touch()
        with pytest.raises(DivergedError) as caught:
            feed(make_watch(tmp_path, patience=1), [float("nan")])
        assert str(caught.value).endswith("bad_batch.csv'; the last checkpoint is from before them") == kept
        assert str(caught.value).endswith("bad_batch.csv'") != kept


def test_ten_times_the_highest_of_the_first_hundred_is_an_explosion(tmp_path: Path) -> None:
    watch = make_watch(tmp_path, patience=1)
    feed(watch, [0.1, *[0.02] * 99])
    feed(watch, [0.99], first=100)
    resumed = make_watch(tmp_path, patience=1)
    resumed.load_state_dict(watch.state_dict())
    with pytest.raises(DivergedError, match=r"steps 101 to 101: the loss is 1\.01;"):
        feed(resumed, [1.01], first=101)


def test_early_losses_may_grow(tmp_path: Path) -> None:
    feed(make_watch(tmp_path, patience=1), [0.001 * 2**step for step in range(40)])


def test_no_checkpoint_of_a_bad_step(tmp_path: Path) -> None:
    watch = make_watch(tmp_path)
    feed(watch, [1.0, float("nan"), 1.0], saving=True)
    with pytest.raises(DivergedError):
        feed(watch, [float("nan")], first=3, saving=True)
