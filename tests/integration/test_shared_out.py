"""Features, scores and a search library are the same on one rank and on several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.clips_on_disk import write_labelled_videos
from helpers.extras import need
from helpers.forking import Mother
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.features.read import read_features

RANKS = (1, 2)
pytestmark = pytest.mark.timeout(900)
READING = ["--num_workers=0", "--device=cpu", "--precision=fp32"]


@pytest.fixture(scope="module")
def folder(mother: Mother, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All commands run on one and on two ranks; FOLDER/COMMAND-RANKS is what they left."""
    need("sklearn", "lancedb")
    base = tmp_path_factory.mktemp("shared")
    videos = write_labelled_videos(base, count=14)
    (videos / "even" / "broken.mp4").write_bytes(b"no video")
    model = str(save_tiny_checkpoint(base / "model.ckpt"))
    labelled = [f"--data.root={videos}", "--data.kind=folders", "--data.test_share=0.5", "--num_clips=2", *READING]
    for ranks in RANKS:
        outs = {name: base / f"{name}-{ranks}" for name in ("embed", "probe", "retrieve", "index")}
        probing = ["--few_labels=[1]", f"--cache={base / f'cache-{ranks}'}"]
        commands = [
            ["embed", f"--weights={model}", str(videos), "--num_clips=2", f"--out={outs['embed']}", *READING],
            ["probe", f"--weights={model}", *labelled, *probing, f"--out={outs['probe']}"],
            [
                "retrieve",
                f"--weights={model}",
                *labelled,
                f"--cache={base / f'cache2-{ranks}'}",
                f"--out={outs['retrieve']}",
            ],
            [
                "index",
                str(videos),
                f"--weights={model}",
                f"--out={outs['index']}",
                "--window_s=0.3",
                "--hop_s=0.3",
                *READING,
            ],
        ]
        for words in commands:
            mother.run(words, ranks=ranks, log=base / "log.txt")
    return base


def result(folder: Path) -> Any:
    """A result without its time."""
    return {
        name: part
        for name, part in json.loads((folder / "result.json").read_text()).items()
        if name not in ("finished", "next")
    }


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_embed(folder: Path, ranks: int) -> None:
    one, several = (read_features(folder / f"embed-{count}").table for count in (1, ranks))
    assert len(one) == 14
    assert one.equals(several)
    assert len(list((folder / f"embed-{ranks}" / "features.parquet").glob("*.parquet"))) == ranks
    logs = [(folder / f"embed-{count}" / "skipped.csv").read_text() for count in (1, ranks)]
    assert "broken.mp4" in logs[0]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("ranks", RANKS[1:])
@pytest.mark.parametrize("command", ["probe", "retrieve"])
def test_scores(folder: Path, command: str, ranks: int) -> None:
    one, several = (folder / f"{command}-{count}" for count in (1, ranks))
    assert result(one)["results"]
    assert result(one) == result(several)
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in several.iterdir())


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_index(folder: Path, ranks: int) -> None:
    from rspnet.search.library_store import Store

    one, several = (Store(str(folder / f"index-{count}")) for count in (1, ranks))
    assert len(one) > 14
    assert one.files() == several.files()
    tables = [
        store._clips.to_arrow().sort_by([("path", "ascending"), ("window", "ascending")]) for store in (one, several)
    ]
    assert tables[0].equals(tables[1])
