"""What commands take over decoding: the start of each, measured on one video, is taken away."""

import pytest

from rspnet.lab.bench.bench_waits import _against_decoding


def test_the_start_is_no_part_of_what_is_compared_with_decoding() -> None:
    spent = {"decode single": 1, "index single": 4, "decode short": 5, "index short": 9, "search short": 2}
    rows = _against_decoding([{"what": what, "cpu_s": cpu_s} for what, cpu_s in spent.items()])
    over = {row["what"]: row["over_decoding"] for row in rows}
    assert over["index short"] == pytest.approx((9 - 4) / (5 - 1))
    assert over["decode short"] == 1
    assert [what for what, value in over.items() if value is None] == ["decode single", "index single", "search short"]
