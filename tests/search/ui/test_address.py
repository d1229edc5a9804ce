"""What the address of a page asks for."""

from __future__ import annotations

import inspect

import pytest

from rspnet.config.search import DEFAULT_ALPHA, SearchConfig
from rspnet.core.errors import RSPNetError
from rspnet.search.library import Library
from rspnet.search.ui.address import Address, Example, read_address
from rspnet.search.ui.service import Filters


def test_all_fields_of_an_address_and_their_defaults():
    assert read_address({}, {}) == Address()
    one = {"q": "a@b.mp4", "from": "1.5", "to": "3", "mix": "0.25", "folder": "x", "min": "2", "max": "9", "own": "1",
           "n": "5", "show": "class:wave"}  # fmt: skip
    several = {"like": ["v 1@2-3.mp4@0.500-2.000"], "unlike": ["w.mp4@1-2"]}
    assert read_address(one, several) == Address(
        query="a@b.mp4",
        start_s=1.5,
        end_s=3.0,
        alpha=0.25,
        filters=Filters("x", 2.0, 9.0, other_videos=False),
        count=5,
        examples=(Example("v 1@2-3.mp4", 0.5, 2.0, True), Example("w.mp4", 1.0, 2.0, False)),
        show="class:wave",
    )


@pytest.mark.parametrize(
    ("one", "several", "message"),
    [
        ({"from": "nan"}, {}, "from=nan"),
        ({"to": "inf"}, {}, "to=inf"),
        ({"mix": "-1"}, {}, "mix=-1"),
        ({"n": "many"}, {}, "n=many"),
        ({}, {"like": ["a.mp4"]}, r"'a.mp4': VIDEO@START-END is needed"),
        ({}, {"unlike": ["a.mp4@-1-2"]}, "VIDEO@START-END is needed"),
        ({}, {"like": ["a@0-1"] * 7, "unlike": ["b@0-1"] * 6}, "names 13 further clips: at most 12"),
    ],
)
def test_an_address_that_says_what_cannot_be_is_named(one, several, message):
    with pytest.raises(RSPNetError, match=message):
        read_address(one, several)


def test_numbers_out_of_range_are_brought_into_it():
    assert read_address({"mix": "7", "n": "9999"}, {}) == Address(alpha=1.0, count=48)
    assert len(read_address({}, {"like": [f"{k}@0-1" for k in range(12)]}).examples) == 12


def test_page_command_and_python_search_alike_by_default():
    asked = [inspect.signature(way).parameters["alpha"].default for way in (Library.search, Library.search_like)]
    assert {*asked, read_address({}, {}).alpha, SearchConfig("library", ["a.mp4"]).alpha} == {DEFAULT_ALPHA}
