"""Options that are lists of words: on a command line `motion` and `motion,appearance` stand for lists, too."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints


def word_lists(kind: type) -> dict[str, str]:
    """The dotted names of such options of a configuration, and what their values look like, for errors."""
    return dict(_word_lists(kind, ""))


def _word_lists(kind: type, prefix: str) -> Iterator[tuple[str, str]]:
    hints = get_type_hints(kind)
    for item in fields(kind):
        hint: Any = hints[item.name]
        if item.metadata:  # what is given by place, or as several words, is a list anyway
            continue
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _word_lists(hint, f"{prefix}{item.name}.")
        elif get_origin(hint) in (tuple, list):
            of = get_args(hint)[0]
            words = get_args(of) if get_origin(of) is Literal else ()
            if of is str or (words and all(isinstance(word, str) for word in words)):
                yield prefix + item.name, f"[{','.join(words[:2] or 'ab')}]"


def with_lists(words: Sequence[str], *, names: Collection[str]) -> list[str]:
    """Words of a command line with lists in place of bare words of options that are lists of words.

    Args:
        words: spelled as `words.in_form` does.
        names: of these options.
    """
    new, option = [], ""
    for word in words:
        name, equals, value = word.partition("=")
        if option:
            new.append(_as_list(word))
            option = ""
        elif name.startswith("--") and name[2:] in names:
            new.append(name + equals + _as_list(value))
            option = "" if equals else name
        else:
            new.append(word)
    return new


def _as_list(text: str) -> str:
    bare = text and not text.startswith(("[", "-"))
    return json.dumps([word.strip() for word in text.split(",")], ensure_ascii=False) if bare else text
