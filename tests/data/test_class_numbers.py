from __future__ import annotations

import pytest

from rspnet.core.errors import RSPNetError
from rspnet.data.class_numbers import class_numbers, classes_that_mirror


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["wave", "Bow", "clap", "wave"], ["Bow", "clap", "wave"]),
        (["10", "2", "1"], ["1", "2", "10"]),
        (["20231200", "1.7e12", "-1", "0"], ["-1", "0", "20231200", "1.7e12"]),
        (["nan", "7", "inf", "-2.5"], ["-2.5", "7", "inf", "nan"]),
        (
            ["1e999", "12345678901234567890", "12345678901234567891"],
            ["12345678901234567890", "12345678901234567891", "1e999"],
        ),
        (["-1", "1", "x-1", "x1"], ["-1", "1", "x-1", "x1"]),
    ],
)
def test_ids_are_names_in_their_order(names: list[str], ordered: list[str]) -> None:
    assert class_numbers(names, source="list") == {name: number for number, name in enumerate(ordered)}


@pytest.mark.parametrize(
    ("first", "second"),
    [("Left", "left"), ("01", "1"), ("1", "1.0"), ("1.7e12", "1700000000000"), ("push-up", "push up"), ("a_b", "a b"),
     ("a  b", "a b"), ("caf\u00e9", "cafe\u0301"), ("STRASSE", "straße"), ("+1", "1")],
)  # fmt: skip
def test_nearly_equal_names_are_both_named(first: str, second: str) -> None:
    with pytest.raises(RSPNetError) as caught:
        class_numbers(["other", second, first], source="'list.csv'")
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)
    assert str(caught.value).startswith("'list.csv': ")


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["bow", "left_wave", "right wave"], ("left_wave", "right wave")),
        (["SwipeRight", "SwipeLeft"], ("SwipeRight", "SwipeLeft")),
        (["turn (clockwise)", "turn (counter clockwise)"], ("turn (clockwise)", "turn (counter clockwise)")),
        (["left_wave", "right_bow", "bright", "7", "8"], None),
    ],
)
def test_names_that_differ_by_the_side_alone(names: list[str], pair: tuple[str, str] | None) -> None:
    assert classes_that_mirror(names) == pair
