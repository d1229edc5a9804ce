"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def known_names(name: str, names: Iterable[str]) -> str:
    """The name that was meant, where one is near, or all there are."""
    known = list(names)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
