"""The README tells the truth about commands: each one it shows parses, each one there is has a row."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rspnet.cli import COMMANDS, parse, split_command

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("rspnet ")]


def test_readme_shows_commands() -> None:
    assert len(SHOWN) >= 2


@pytest.mark.parametrize("line", SHOWN)
def test_every_shown_command_parses(line: str) -> None:
    _, *words = shlex.split(line)
    parse(*split_command(words))


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    rows = re.findall(r"^\| `rspnet ([\w ]+)`", README, flags=re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_linked_files_and_pictures_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert all((ROOT / link).exists() for link in links if not link.startswith("http"))


def test_make_goals_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert goals
    assert all(f"\n{goal}:" in makefile for goal in goals)
