"""Names: what to say of one that is not known, and those of nested options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rspnet.core.errors import ConfigError


def did_you_mean(name: str, names: Iterable[str], *, cutoff: float = 0.75) -> str:
    """The name that was meant, where one is at least so near (0 to 1); "" where none is."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else ""


def known_names(name: str, names: Iterable[str]) -> str:
    """The name that was meant, where one is near, or all there are."""
    known = list(names)
    return did_you_mean(name, known) or f"one of {', '.join(known)}"


def dotted(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested options one by one, each with its dotted name; a ConfigError where a name is no text."""
    for name, value in options.items():
        if not isinstance(name, str):
            raise ConfigError(f"option {name!r}: options have names")
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
