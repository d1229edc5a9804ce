"""The README tells the truth about commands: each one it shows parses, each one there is stands in its table."""

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


def test_every_command_stands_in_the_table_once() -> None:
    rows = re.findall(r"^\| (`.+?`) \| [^|]+ \|$", README.split("## Commands")[1], flags=re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall("`(.+?)`", row)) == sorted(COMMANDS)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_linked_files_pictures_and_headings_exist(name: str) -> None:
    """Of the files that are not part of the site, whose own links `make docs` checks."""
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    for link in links:
        path, _, heading = link.partition("#")
        if path.startswith("http"):
            continue
        target = ROOT / (path or name)
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


def test_make_goals_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert goals
    assert all(f"\n{goal}:" in makefile for goal in goals)
