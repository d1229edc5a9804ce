"""A thousand damaged files: none crashes, hangs or confuses the reader, and each is named (`make fuzz` runs more)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.fuzz import fuzz, growth_mib

CASES = 1000


def test_a_thousand_damaged_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes = list(fuzz(range(CASES), tmp_path, workers=2))
    assert [outcome for outcome in outcomes if outcome.failed] == []
    counts = Counter(outcome.text for outcome in outcomes)
    assert CASES * 0.1 < counts["read"] < CASES * 0.9, counts
    assert len(counts) > 5
    assert growth_mib(outcomes) < 30
    assert capfd.readouterr() == ("", "")
