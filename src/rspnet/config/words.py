"""The words of a command line, put into the one form that the parser reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import yaml

from rspnet.config.old_words import in_new_options, in_new_words, old_options
from rspnet.core.files import at_home


def in_form(
    words: Sequence[str], *, command: str, flags: Collection[str], places: Sequence[str], several: Collection[str]
) -> list[str]:
    """Words with today's names of options, flags with their values, and what is given by place before the options.

    Args:
        words: of the command line, after the command.
        command: its name.
        flags: its yes-or-no options.
        places: what it takes by place.
        several: options that take one text or more.
    """
    spelled = in_new_words(command, expand(words, flags=flags))
    return places_first(_in_place(_with_files(spelled, command), places), several=several)


def _with_files(words: Sequence[str], command: str) -> list[str]:
    """Words with the content of each file of `--config` in place of its name, where it has options of earlier names."""
    new = list(words)
    for at, word in enumerate(words):
        before, joined = word.partition("=")[::2] if "=" in word else (words[at - 1] if at else "", word)
        if before != "--config":
            continue
        try:
            content = yaml.safe_load(Path(joined).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):  # the parser says what is wrong with it
            continue
        if isinstance(content, dict) and (renamed := in_new_options(command, content)) != content:
            new[at] = word.removesuffix(joined) + yaml.safe_dump(renamed, sort_keys=False)
    return new


def _in_place(words: Sequence[str], places: Sequence[str]) -> list[str]:
    """Words with `--NAME VALUE` of what is given by place at the end, so that its name may be written, too."""
    new, named, left = [], [], iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name.startswith("--") and name[2:] in places:
            named.append(value if equals else next(left, ""))
        else:
            new.append(word)
    return [*new, *named]


def expand(words: Sequence[str], *, flags: Collection[str]) -> list[str]:
    """Spell options with underscores, and `--flag` as `--flag=true`."""
    expanded: list[str] = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        elif name == "-k":
            name = "--k"
        following = words[place + 1] if place + 1 < len(words) else ""
        if name in flags and not equals and following not in ("true", "false"):
            expanded.append(f"{name}=true")
        else:
            expanded.append(name + equals + (at_home(value) if equals else value))
    return expanded


def places_first(words: Sequence[str], *, several: Collection[str]) -> list[str]:
    """Words with those that are given by place before the options: argparse takes none that follow where none must.

    Args:
        words: spelled as `expand` does.
        several: options that take one text or more.
    """
    placed: list[str] = []
    options: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            placed.append(word)
            continue
        options.append(word)
        values = 0 if "=" in word else len(left) if word in several else 1
        while values and left and not left[0].startswith("--"):
            options.append(left.pop(0))
            values -= 1
    return placed + options


def named_in(words: Sequence[str], *, command: str) -> list[str]:
    """Dotted names of the options that words of a command line give."""
    spelled = expand(words, flags=())
    names = [word[2:].partition("=")[0] for word in spelled if word.startswith("--")]
    return [old_options(command).get(name, name) for name in names]
