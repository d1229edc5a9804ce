"""What `rspnet pretrain VIDEOS` chooses where nothing is named: few and many videos, short and long, CPU and GPU."""

from __future__ import annotations

import shlex
from typing import Literal

import pytest

from rspnet.cli import parse
from rspnet.config.choice import MOST_STEPS_CPU, PUBLISHED, SMALL, Choice, Circumstances, choose_settings
from rspnet.config.parser import is_undecided, parse_words
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.words import named_in


def chosen(choice: Choice) -> tuple[str, int, int, int, int]:
    """Recipe, batch, queue, steps and visits an epoch."""
    config = parse_words(PretrainConfig, ["videos"], command="pretrain", defaults=choice.options())
    data = config.data
    return choice.recipe, data.batch_size, config.model.queue_size, config.max_steps, data.clips_per_video


@pytest.mark.parametrize(
    ("num_videos", "device", "expected"),
    [
        (10, "cpu", (SMALL, 4, 2, 500, 8)),
        (128, "cpu", (SMALL, 32, 32, 500, 5)),
        (1_000, "cpu", (SMALL, 32, 192, 625, 1)),
        (100_000, "cpu", (SMALL, 32, 192, MOST_STEPS_CPU, 1)),
        (10, "cuda", (SMALL, 4, 2, 500, 8)),
        (128, "cuda", (SMALL, 32, 32, 500, 5)),
        (1_000, "cuda", (SMALL, 32, 192, 625, 1)),
        (100_000, "cuda", (PUBLISHED, 64, 16_384, 312_500, 1)),
    ],
)
def test_by_number_of_videos(
    num_videos: int, device: Literal["cpu", "cuda"], expected: tuple[str, int, int, int, int]
) -> None:
    choice = choose_settings(Circumstances(num_videos, 300, device))
    assert chosen(choice) == expected
    assert set(choice.reasons) == {"recipe", "clip", "batch", "queue", "steps"}
    words = shlex.split(f"videos {choice.words()}")
    assert parse("pretrain", words) == parse_words(
        PretrainConfig, ["videos"], command="pretrain", defaults=choice.options()
    )


@pytest.mark.parametrize("num_videos", [1, 2, 3, 7, 31, 33, 63, 64, 257, 9_999, 10_000, 240_000])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_choice_can_be_trained(num_videos: int, device: Literal["cpu", "cuda"]) -> None:
    recipe, batch, queue, steps, visits = chosen(choose_settings(Circumstances(num_videos, None, device)))
    assert 2 <= batch <= max(2, num_videos // 2)
    assert 1 <= queue <= max(1, num_videos // 4)
    assert steps >= 500
    assert num_videos * visits // batch >= 20  # steps of an epoch
    assert (recipe == PUBLISHED) == (device == "cuda" and num_videos >= 10_000)


def test_clips_are_cut_to_the_length_of_the_videos() -> None:
    frames = {length: chosen_frames(length) for length in (5_000, 64, 63, 32, 31, 15, None)}
    assert frames == {5_000: 16, 64: 16, 63: 8, 32: 8, 31: 4, 15: 4, None: 16}
    reasons = {length: choose_settings(Circumstances(100, length, "cpu")).reasons["clip"] for length in (63, 15, None)}
    assert "a window of 32 frames fits into nine of ten videos, 64 would not" in reasons[63]
    assert "more than one of ten videos is shorter than 16 frames and will be skipped" in reasons[15]
    assert "could not be read" in reasons[None]


def chosen_frames(length: int | None) -> int:
    options = choose_settings(Circumstances(100, length, "cpu")).options()
    frames = options["data"]["num_frames"]
    assert isinstance(frames, int)
    return frames


@pytest.mark.parametrize(
    ("words", "undecided"),
    [
        ("my_videos", True),
        ("my_videos --out run --resume --dry-run --seed 3", True),
        ("--data.root my_videos --engine.device cuda --engine.devices=4 --data.num-workers 2", True),
        ("my_videos --recipe pretrain/small-cpu", False),
        ("my_videos --config mine.yaml", False),
        ("my_videos --data.size=64", False),
        ("my_videos --max_steps 10", False),
    ],
)
def test_nothing_is_chosen_where_something_was_said(words: str, undecided: bool) -> None:
    assert is_undecided(PretrainConfig, named_in(words.split(), command="pretrain")) is undecided
