"""One word for one thing: the table in CONTRIBUTING holds for every parser, help text and command in the documents."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from rspnet.cli import COMMANDS, parse, resolve, split_command
from rspnet.config.old_words import in_new_options, in_new_words, old_options
from rspnet.config.parser import make_parser
from rspnet.config.words import expand

ROOT = Path(__file__).parents[2]
WITH_WEIGHTS = (
    "pretrain", "embed", "index", "search", "serve", "classify run", "probe", "finetune", "evaluate", "predict",
    "retrieve", "roi", "convert", "export", "study disentangle",
)  # fmt: skip
"""Commands that take weights; a name of a pretext method or network is another thing."""


@cache
def parser_of(command: str) -> ArgumentParser:
    return make_parser(resolve(COMMANDS[command].config), command=command)


def shown(command: str) -> dict[str, str]:
    """Options and places of a command, and their help."""
    actions = [action for action in parser_of(command)._actions if action.help != argparse.SUPPRESS]
    return {action.dest: action.help or "" for action in actions}


def table() -> list[list[str]]:
    """The rows: the words, what they stand for, options and phrases that are not used."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Words\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_no_option_has_another_word_for_a_thing_of_the_table() -> None:
    banned = {name: row[0] for row in table() for name in names(row[2])}
    assert len(banned) > 20
    wrong = [
        f"{command} {option}: {banned[last]}"
        for command in COMMANDS
        for option in shown(command)
        if (last := option.rpartition(".")[2].rstrip("_")) in banned and (command, option) != ("report", "run")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_help_text_has_another_word_for_a_thing_of_the_table() -> None:
    phrases = [phrase.strip() for row in table() for phrase in row[3].split(",") if phrase.strip()]
    assert len(phrases) > 5
    banned = re.compile("|".join(rf"\b{re.escape(phrase)}\b" for phrase in phrases), re.IGNORECASE)
    for command, row in COMMANDS.items():
        texts = [row.summary, inspect.getdoc(resolve(row.config)) or "", *shown(command).values()]
        found = [text for text in texts if banned.search(text)]
        assert not found, f"{command}: {found}"


def test_weights_are_called_so_everywhere_and_written_to_out() -> None:
    for command in COMMANDS:
        assert ("weights" in shown(command)) == (command in WITH_WEIGHTS), command
    for command in COMMANDS:
        for action in parser_of(command)._actions:
            if action.dest == "out":
                assert action.option_strings, f"{command}: --out is never by place"
                assert not action.required, f"{command}: --out has a default"


def test_help_calls_required_only_what_must_be_given() -> None:
    wanted = {action.dest: action.required for action in parser_of("search")._actions if not action.option_strings}
    assert wanted == {"library": True, "queries": False}  # --class takes the place of queries


@pytest.mark.parametrize("command", [command for command in COMMANDS if old_options(command)])
def test_old_names_stand_for_options_that_there_are(command: str) -> None:
    for old, new in old_options(command).items():
        assert new in shown(command), (old, new)
        assert old not in shown(command)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("embed a.ckpt v --clips 3", "embed v --weights a.ckpt --num_clips 3"),
        ("embed rspnet-small v w --fps=8", "embed --weights=rspnet-small v w --fps=8"),
        ("probe a.ckpt --data.root b", "probe b --weights a.ckpt"),
        ("predict a.ckpt v", "predict v --weights=a.ckpt"),
        ("index v --store l --model m", "index v --out l --weights m"),
        ("search l q.mp4 -k 3 --model m", "search l q.mp4 --top 3 --weights m"),
        ("transcode a b --crf 3", "transcode a --out b --crf 3"),
        ("subset a b", "subset a --out=b"),
        ("study claims --root d --out o", "study claims d --out o"),
        ("evaluate r --test-crops 3", "evaluate --weights r --num_crops 3"),
        ("finetune --data.root d --model.init w --look_clips 2", "finetune d --weights w --validation_clips 2"),
        ("pretrain v --model.init w", "pretrain v --weights w"),
    ],
)
def test_old_spellings_mean_the_same_and_say_so(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(*split_command(shlex.split(old))) == parse(*split_command(shlex.split(new)))
    notes = capsys.readouterr().err.splitlines()
    assert notes
    assert all(note.startswith("rspnet: note: ") for note in notes)


def test_new_spellings_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a.mp4", "--weights=m.ckpt", "--out", "b"]
    assert in_new_words("embed", words) == words
    assert in_new_words("transcode", ["a", "--out", "b"]) == ["a", "--out", "b"]
    assert capsys.readouterr().err == ""


def test_files_of_options_may_have_old_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {"clips": {"test_clips": 3, "size": 64}, "model": {"init": "w", "freeze": 1}, "look_clips": 2}
    new = {"clips": {"size": 64, "num_clips": 3}, "model": {"freeze": 1}, "validation_clips": 2, "weights": "w"}
    assert in_new_options("finetune", old) == new
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump(old))
    config = parse("finetune", ["d", "--config", str(file)])
    assert (config.clips.num_clips, config.clips.size, config.weights, config.model.freeze) == (3, 64, "w", 1)
    assert parse("finetune", ["d", f"--config={file}"]) == config
    assert "clips.test_clips is called clips.num_clips now" in capsys.readouterr().err


def commands_in(text: str) -> list[str]:
    """What documents show of `rspnet COMMAND ...`, as far as it is one line's words."""
    text = text.replace("\\\n", " ")
    spans = re.findall(r"`(?:python -m )?rspnet ([a-z][^`\n]*)`", text)
    lines = re.findall(r"^(?:#? {0,4}|.*?-m )rspnet ([a-z][^\n`]*)$", text, re.MULTILINE)
    return [span.partition(" #")[0] for span in [*spans, *lines]]


def test_documents_spell_commands_as_they_are_now(capsys: pytest.CaptureFixture[str]) -> None:
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    files += [*(ROOT / "examples").glob("*.py"), *(ROOT / "src/rspnet/recipes").rglob("*.yaml")]
    seen, wrong = 0, []
    for file in files:
        for line in commands_in(file.read_text(encoding="utf-8")):
            words = line.replace("[", "").replace("]", "").split()
            if words[0] not in {name.split()[0] for name in COMMANDS}:
                continue
            command, rest = split_command(words)
            spelled = in_new_words(command, expand(rest, flags=()))
            options = {word[2:].partition("=")[0].rstrip(".,;)") for word in spelled if word.startswith("--")}
            unknown = options - {*shown(command), "recipe", "config", "plugin", "help", "class"}
            dashed = re.findall(r"--[\w.]*-[\w.-]*", line)
            if unknown or dashed or capsys.readouterr().err:
                wrong.append(f"{file.relative_to(ROOT)}: rspnet {line}")
            seen += 1
    assert seen > 60
    assert not wrong, "\n".join(wrong)
