"""Counts in words, and every message that counts something does it by `counted`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rspnet.core.counts import counted, of_number

SOURCE = Path(__file__).parents[2] / "src" / "rspnet"
NOUNS = "videos|clips|windows|files|vectors|ranks|classes|rows|labels|moments|events|shards|steps|processes|workers"
NOUNS += "|threads|queries|hits|keys|cores|frames|tensors|GPUs|runs|folders|points"
BEHIND_A_NUMBER = re.compile(rf"\{{(?!name\}})[^{{}}!:]*(?::,)?\}}(?: [a-z]+)? (?:{NOUNS})\b(?!/s)")
"""A whole number in a message, and what it counts; figures with decimals are not meant."""
NOT_FOR_USERS = ("lab/bench", "lab/study/study_report.py", "lab/disentangle")  # benchmarks, and documents of studies
NEVER_ONE = (
    "{found.num_videos:,} videos are enough",  # 10,000 or more
    "{MANY_VIDEOS:,} videos",
    "{MOST_CLASSES} classes",
    "{len(classes)} classes: at most {MOST_CLASSES}",
    "{clips:,} clips; for the time",  # of the paper's data
    "{half} clips a step",  # 2 or more
    "{usual} clips a step",  # of a recipe
    "{self.frames} frames at speeds",  # 4 or more
    "{clip.window} frames",
    "{found.frames:,} frames or more",
    "{config.data.num_frames} frames x",  # 2 or more
    "{clips.num_frames} frames of",
    "{length} frames",  # a window
    "{config.data.batch_size} clips (",  # 2 or more
    "{ranks} ranks",  # said of several only
    "{_WINDOW} frames",
)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "video", "1 video"),
        (0, "video", "0 videos"),
        (1200, "test video", "1,200 test videos"),
        (2, "class", "2 classes"),
        (2, "query", "2 queries"),
        (3, "key", "3 keys"),
        (2, "process", "2 processes"),
        (2, "batch", "2 batches"),
    ],
)
def test_numbers_and_nouns(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
    assert text.endswith(of_number(count, noun))


def test_every_message_that_counts_does_it_by_one_function() -> None:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).as_posix().startswith(NOT_FOR_USERS):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for match in BEHIND_A_NUMBER.finditer(line):
                if not any(text in line for text in NEVER_ONE):
                    found.append(f"{path.relative_to(SOURCE)}:{number}: {match[0]}")
    assert not found, "\n".join(found)
    assert BEHIND_A_NUMBER.search('f"{len(hits)} test videos"')  # it does find such a place
