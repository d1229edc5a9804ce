"""`rspnet recipes plan`: the chain of a published result, and that its facts are those of the documents."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rspnet.cli import main, parse, split_command
from rspnet.recipes import recipe_path
from rspnet.recipes.published import PUBLISHED, find_cell

METHOD = Path(__file__).parents[2] / "docs" / "method.md"
ROWS = {
    "s3dg": ("S3D-G, 1000 epochs", "S3D-G, 200 epochs"),
    "r2plus1d_vcop": ("R(2+1)D (small)",),
    "r3d_18": ("R3D-18",),
    "c3d": ("C3D",),
}


def test_the_table_is_that_of_the_documents() -> None:
    text = METHOD.read_text(encoding="utf-8").partition("## 5. ")[2].partition("## 6. ")[0]
    rows = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in text.splitlines()]
    told = {row[0]: row[1:4] for row in rows if len(row) > 4}
    for cell, known in PUBLISHED.items():
        dataset, _, network = cell.partition("-")
        column = ["ucf101", "hmdb51", "ssv2"].index(dataset)
        for epochs, value in known.items():
            name = next(name for row in ROWS[network] for name in told if name.startswith(row) and (
                len(ROWS[network]) == 1 or str(epochs) in row
            ))  # fmt: skip
            assert float(told[name][column]) == value, cell
        header = recipe_path(f"finetune/{cell}").read_text()
        assert all(str(value) in header.partition("\ndata:")[0] for value in known.values())


@pytest.mark.parametrize("cell", PUBLISHED)
def test_every_command_of_the_chain_is_one(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "plan", cell, "UCF 101"]) == 0
    text = capsys.readouterr().out
    commands = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("rspnet ")]
    assert [words[0] for words in commands] == ["pretrain", "finetune", "evaluate", "compare"]
    configs = [parse(*split_command(words)) for words in commands]
    found = find_cell(cell)
    assert configs[0].epochs == found.epochs
    assert configs[0].engine.devices == found.gpus
    assert configs[1].weights == configs[0].out
    assert configs[1].data.root == "UCF 101"
    assert configs[1].protocol == "official"
    header = recipe_path(f"finetune/{cell}").read_text().partition("\ndata:")[0]
    told = re.search(r"Batch as published: (\d+) clips (a GPU|on each of 4 GPUs)", header)
    assert told is not None
    assert configs[1].engine.devices == 4
    assert configs[1].clips.batch_size == 4 * int(told[1])
    assert f"published {found.hours * found.epochs / 200:g} h on {found.gpus} V100" in text
    assert f"published {found.top1}" in text


def test_hours_are_of_the_speeds_that_were_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--pretrain_speed=1000", "--finetune_speed=500", "--gpus=8", f"--out={tmp_path}"]
    assert main(["recipes", "plan", "ucf101-r3d_18", *words]) == 0
    text = capsys.readouterr().out
    assert "# 1. pretrain: 13.3 h at 1000 clips/s of 8 GPUs together" in text  # 240,000 x 200 / 1000 s
    assert "# 2. finetune: 9.54 min at 500 clips/s, and the test" in text  # 9,537 x 30 / 500 s
    script = (tmp_path / "finetune.sbatch").read_text()
    assert "--ntasks-per-node=8" in script
    assert re.search(r"srun \S+ rspnet finetune DATASET .*--clips.batch_size 256 .*--resume", script)
    assert "{" not in (tmp_path / "pretrain.sbatch").read_text()


def test_a_cell_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "plan"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.split("\n\n")[0].splitlines()] == list(PUBLISHED)
    assert "hmdb51-s3dg            published top-1 59.6 (200 epochs), 64.7 (1000 epochs)" in listed
    assert main(["recipes", "plan", "ucf101-x3d"]) == 2
    assert "cell 'ucf101-x3d': did you mean ucf101-c3d?" in capsys.readouterr().err
    assert main(["recipes", "plan", "ucf101-c3d", "--epochs=7"]) == 2
    assert "--epochs 7: ucf101-c3d was published for 200 epochs" in capsys.readouterr().err
