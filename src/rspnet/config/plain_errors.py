"""What jsonargparse says of bad values, in plain words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list such as [2]",
    "list": "a list such as [a,b]",
    "str": "text",
}
"""Python's name of an option's type -> how errors call it."""

_HINTS = dict.fromkeys(("method", "backbone"), ", or one from outside with --plugin")
"""Option -> what else there is than the values that an error lists."""


def plainly(message: str, *, places: Collection[str] = (), lists: Mapping[str, str] | None = None) -> str:
    """What jsonargparse says of a value of the wrong type, on one line and without Python's names for types.

    Args:
        message: its error.
        places: options that are given by place.
        lists: options that are lists of words, and what they look like.
    """
    text = " ".join(message.split())
    if missing := re.fullmatch(r"the following arguments are required: (.+)", text):
        names = ", ".join(name if name in places else f"--{name}" for name in missing[1].split(", "))
        return f"the following arguments are required: {names}"
    found = re.fullmatch(r'Parser key "([^"]+)": (.+?) (?:Got|Given) value: ?(.*)', text)
    if found is None:
        return text
    option, rule, value = found[1], found[2].partition(" Given value type")[0], found[3]
    choices = re.search(r"typing\.Literal\[(.*?)\]", rule)
    kinds = [words for name, words in _KINDS.items() if f"<class '{name}'>" in rule]
    wanted = [f"one of {choices[1]}".replace("'", "")] if choices else kinds
    if lists and option in lists and not choices:
        wanted = [f"a list such as {lists[option]}"]
    name = option if option in places else f"--{option}"
    hint = _HINTS.get(option.rpartition(".")[2], "")
    return f"{name} {value!r}: must be {' or '.join(wanted)}{hint}" if wanted else text


def type_in_words(text: str) -> str:
    """A type as a person says it: `Optional[Literal['a', 'b']]` is "a or b"."""
    text = text.removesuffix(" | null")
    while (inside := re.fullmatch(r"(Optional|tuple|list|Literal)\[(.*?)(, \.\.\.)?\]", text)) is not None:
        kind, text = inside[1], inside[2]
        if kind == "Literal":
            *most, last = text.replace("'", "").split(", ")
            return f"{', '.join(most)} or {last}" if most else last
        if kind != "Optional":
            each = type_in_words(text)
            return f"list of {each}{'s' * each.endswith('number')}"
    return _KINDS.get(text, text).removeprefix("a ")
