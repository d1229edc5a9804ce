from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rspnet.core.errors import ConfigError
from rspnet.data.sampler import PairSampler


def sampler(num_videos: int = 21, **changes: Any) -> PairSampler:
    return PairSampler(num_videos, **{"batch_size": 4, "seed": 3, "speeds": [2], "total_steps": 12, **changes})


def test_an_epoch_shows_each_video_once_and_drops_the_last_incomplete_batch() -> None:
    batches = list(sampler())
    assert sampler().steps_per_epoch == 5
    assert [batch[0].epoch for batch in batches] == [0] * 5 + [1] * 5 + [2] * 2
    for epoch in (0, 1):
        indices = [request.index for batch in batches for request in batch if request.epoch == epoch]
        assert len(set(indices)) == len(indices) == 20
    assert [request.index for request in batches[0]] != [request.index for request in batches[5]]


def test_clips_per_video_are_distinct_requests() -> None:
    batches = list(sampler(6, clips_per_video=3, batch_size=6, total_steps=3))
    requests = [request for batch in batches for request in batch]
    assert Counter(request.index for request in requests) == dict.fromkeys(range(6), 3)
    assert len({(request.index, request.repeat) for request in requests}) == 18
    assert all(len({request.index for request in batch}) == 6 for batch in batches)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), start=st.integers(0, 12), world=st.sampled_from([1, 2, 4]))
def test_ranks_together_and_resumes_give_the_one_stream(seed: int, start: int, world: int) -> None:
    whole = list(sampler(seed=seed, speeds=[2, 4]))
    ranks = [
        list(sampler(seed=seed, speeds=[4, 2][::-1], start_step=start, rank=rank, world_size=world))
        for rank in range(world)
    ]
    joined = [[request for part in step for request in part] for step in zip(*ranks, strict=True)]
    assert joined == whole[start:]
    assert len(sampler(start_step=start)) == len(joined)


def test_half_of_each_global_batch_plays_fast_at_one_speed() -> None:
    fast_places, fast_speeds = set(), set()
    for batch in sampler(speeds=[2, 4], total_steps=60):
        fast = [request.speed for request in batch if request.speed > 1]
        assert len(fast) == 2
        assert len({*fast, *(request.other_speed for request in batch if request.speed == 1)}) == 1
        assert all(sorted((r.speed, r.other_speed)) == [1, fast[0]] for r in batch)
        fast_speeds.add(fast[0])
        fast_places.add(tuple(request.speed > 1 for request in batch))
    assert fast_speeds == {2, 4}
    assert len(fast_places) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 22}, "a batch of 22 clips is larger than an epoch of 21 videos x 1 clip"),
        ({"batch_size": 5, "world_size": 2}, "a batch of 5 clips cannot be shared evenly by 2 processes"),
        ({"speeds": [1, 2]}, "above the base speed 1.*not .1, 2."),
        ({"speeds": []}, "above the base speed"),
        ({"batch_size": 0}, "batch_size and clips_per_video must be >= 1"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sampler(**changes)


def test_the_base_speed_takes_the_place_of_one() -> None:
    plain, wide = (list(sampler(speeds=speeds, base_speed=base)) for speeds, base in (([2], 1), ([6], 3)))
    for first, second in zip(plain, wide, strict=True):
        assert [(3 * r.speed, 3 * r.other_speed) for r in first] == [(r.speed, r.other_speed) for r in second]
    for base, speeds in ((0, [2]), (2, [2]), (4, [2, 8])):
        with pytest.raises(ConfigError, match="above the base speed"):
            sampler(speeds=speeds, base_speed=base)
