"""The HTML that the page is sent."""

from __future__ import annotations

import pytest

from rspnet.search.ui.cards import library_facts


@pytest.mark.parametrize(("seconds", "said"), [(19.6, "20 s"), (150, "2.5 min"), (10_800, "3 h")])
def test_a_library_says_how_long_its_videos_are(seconds: float, said: str) -> None:
    facts = library_facts(videos=1200, windows=5, duration_s=seconds, skipped=2)
    assert facts == f"1,200 videos · {said} · 5 windows · 2 skipped"
