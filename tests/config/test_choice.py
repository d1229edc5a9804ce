"""What `rspnet pretrain VIDEOS` chooses where nothing is named: few and many videos, short and long, CPU and GPU."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

import pytest

from rspnet.cli import parse
from rspnet.config.choice import MOST_STEPS_CPU, PUBLISHED, SMALL, Choice, Circumstances, choose_settings
from rspnet.config.parser import is_undecided, parse_words
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.words import named_in


def chosen(choice: Choice) -> tuple[str, int, int, int, int, int]:
    """Recipe, batch, queue, steps, visits an epoch and videos held out."""
    config = parse_words(PretrainConfig, ["videos"], command="pretrain", defaults=choice.options())
    data = config.data
    return (
        choice.recipe,
        data.batch_size,
        config.model.queue_size,
        config.max_steps,
        data.clips_per_video,
        data.held_out,
    )


@pytest.mark.parametrize(
    ("num_videos", "device", "expected"),
    [
        (10, "cpu", (SMALL, 4, 2, 500, 8, 0)),
        (128, "cpu", (SMALL, 32, 29, 500, 6, 12)),
        (1_000, "cpu", (SMALL, 32, 192, 562, 1, 100)),
        (100_000, "cpu", (SMALL, 32, 192, MOST_STEPS_CPU, 1, 100)),
        (10, "cuda", (SMALL, 4, 2, 500, 8, 0)),
        (128, "cuda", (SMALL, 32, 29, 500, 6, 12)),
        (1_000, "cuda", (SMALL, 32, 192, 562, 1, 100)),
        (100_000, "cuda", (PUBLISHED, 64, 16_384, 312_188, 1, 100)),
    ],
)
def test_by_number_of_videos(
    num_videos: int, device: Literal["cpu", "cuda"], expected: tuple[str, int, int, int, int, int]
) -> None:
    choice = choose_settings(Circumstances(num_videos, 300, device))
    assert chosen(choice) == expected
    few = {"skipped"} if num_videos < 1_000 else set()
    assert set(choice.reasons) == {"recipe", "clip", "batch", "queue", "steps", "held out", *few}
    words = shlex.split(f"videos {choice.words()}")
    assert parse("pretrain", words) == parse_words(
        PretrainConfig, ["videos"], command="pretrain", defaults=choice.options()
    )


@pytest.mark.parametrize("num_videos", [1, 2, 3, 7, 31, 33, 63, 64, 257, 9_999, 10_000, 240_000])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_choice_can_be_trained(num_videos: int, device: Literal["cpu", "cuda"]) -> None:
    recipe, batch, queue, steps, visits, held = chosen(choose_settings(Circumstances(num_videos, None, device)))
    assert held <= num_videos // 10
    assert (held > 0) == (num_videos >= 100)
    num_videos -= held
    assert 2 <= batch <= max(2, num_videos // 2)
    assert 1 <= queue <= max(1, num_videos // 4)
    assert steps >= 500
    assert num_videos * visits // batch >= 20  # steps of an epoch
    assert (recipe == PUBLISHED) == (device == "cuda" and num_videos + held >= 10_000)


@pytest.mark.slow
def test_short_videos_are_played_slower_before_clips_lose_frames() -> None:
    clips = {length: chosen_clip(length, "cpu") for length in (5_000, 64, 63, 32, 31, 16, 15, 7, None)}
    whole, slower, half, quarter = (16, 2, 4), (16, 1, 2), (8, 1, 2), (4, 1, 2)
    few = {31: half, 16: half, 15: quarter, 7: quarter}
    assert clips == {5_000: whole, 64: whole, 63: slower, 32: slower, **few, None: whole}
    assert {length: chosen_clip(length, "cuda") for length in (32, 31, 15)} == {32: slower, 31: half, 15: quarter}
    reasons = {length: choose_settings(Circumstances(100, length, "cpu")).reasons["clip"] for length in (63, 7, None)}
    assert "a window of 32 frames fits into nine of ten videos, 64 would not" in reasons[63]
    assert "more than one of ten videos is shorter than 8 frames and will be skipped" in reasons[7]
    assert "could not be read" in reasons[None]


def chosen_clip(length: int | None, device: Literal["cpu", "cuda"]) -> tuple[int, int, int]:
    """Frames, slow and fast speed; with a GPU of enough videos for the published network."""
    choice = choose_settings(Circumstances(100 if device == "cpu" else 50_000, length, device))
    data = parse_words(PretrainConfig, ["videos"], command="pretrain", defaults=choice.options()).data
    return data.num_frames, data.base_speed, data.speeds[0]


def test_the_table_in_the_documents_is_what_is_chosen() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| CPU |" in line]
    rows += [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| GPU |" in line]
    assert len(rows) == 8
    for videos, device, *told in rows:
        on: Literal["cpu", "cuda"] = "cpu" if device == "CPU" else "cuda"
        recipe, *numbers = chosen(choose_settings(Circumstances(int(videos.replace(",", "")), 300, on)))
        assert told == [recipe, *(f"{number:,}" for number in numbers)], videos


@pytest.mark.parametrize(
    ("words", "undecided"),
    [
        ("my_videos", True),
        ("my_videos --out run --resume --dry-run --seed 3", True),
        ("--data.root my_videos --engine.device cuda --engine.devices=4 --data.num-workers 2", True),
        ("my_videos --recipe pretrain/small-cpu", False),
        ("my_videos --config mine.yaml", False),
        ("my_videos --data.size=64", False),
        ("my_videos --max_steps 10 --data.held_out 5 --dry_run", True),
        ("my_videos --epochs 3", True),
    ],
)
def test_nothing_is_chosen_where_something_was_said(words: str, undecided: bool) -> None:
    assert is_undecided(PretrainConfig, named_in(words.split(), command="pretrain")) is undecided
