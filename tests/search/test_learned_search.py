"""Search by motion and by appearance, with the shipped weights.

Scores are counted over 60 held-out videos of the procedural set, whose motion classes, textures and speeds are drawn
independently of one another; docs/small-scale.md has the figures of longer trainings and of untrained networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.extras import need

from rspnet import Library
from rspnet.cli import main
from rspnet.data.synthetic.procedural import ProceduralRecord, plan_clips, read_set, write_set
from rspnet.search.query import search

need("lancedb")
pytestmark = pytest.mark.timeout(900)  # half a minute on a quiet core, many times that on a busy one
QUERIES = 60
Label = Callable[[ProceduralRecord], object]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A folder with the training and the held-out videos."""
    root = tmp_path_factory.mktemp("learned") / "videos"
    write_set(root, plan_clips(num_videos=3 * QUERIES, seed=3, num_frames=64, size=64, test_fraction=1 / 3))
    return root


def precision_at_1(
    library: Library, records: Sequence[ProceduralRecord], questions: Mapping[str, tuple[float, Label]]
) -> dict[str, float]:
    """How often the first hit of a held-out video at some alpha shares some label, for every question."""
    by_name = {record.path.name: record for record in records}
    right: dict[str, list[bool]] = {name: [] for name in questions}
    for record in records:
        if record.clip.split == "test":
            query = library.embed(record.path)
            for name, (alpha, label) in questions.items():
                (hit,) = search(library.store, query, alpha=alpha, k=1)
                right[name].append(label(by_name[Path(hit.path).name]) == label(record))
    return {name: float(np.mean(answers)) for name, answers in right.items()}


def speed_third(record: ProceduralRecord) -> int:
    """Which third of the (log-uniform) speeds: by chance the same in 1 of 3."""
    return min(2, int(3 * math.log(record.clip.speed * 128 / record.clip.size) / math.log(128 / 24)))


@pytest.mark.slow
def test_alpha_0_finds_the_texture_and_alpha_1_the_motion_and_the_speed(videos: Path) -> None:
    """With the shipped weights, which never saw these videos."""
    store = videos.parent / "library"
    words = [f"--out={store}", "--weights=rspnet-small", "--num_clips=3", "--num_workers=0"]
    assert main(["index", str(videos / "train"), *words]) == 0
    questions: dict[str, tuple[float, Label]] = {
        "texture": (0.0, lambda record: record.clip.texture),
        "motion": (1.0, lambda record: record.clip.motion),
        "speed": (1.0, speed_third),
    }
    found = precision_at_1(Library(str(store)), read_set(videos), questions)
    print(f"P@1 {found}; chance: texture 0.12, motion 0.17, speed 0.33")
    assert found["texture"] >= 0.2
    assert found["motion"] >= 0.3
    assert found["speed"] >= 0.45
