"""A library of one's own videos: index them once, then search by motion, by appearance, or between the two.

`Library` opens a store and searches it; `rspnet index` fills one. Needs the extra `rspnet[search]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rspnet.search.hits import Hit
    from rspnet.search.library import Library
    from rspnet.search.query import ClipOf

__all__ = ["ClipOf", "Hit", "Library"]
_HOMES = {"ClipOf": "rspnet.search.query", "Hit": "rspnet.search.hits", "Library": "rspnet.search.library"}


def __getattr__(name: str) -> Any:
    """The names above, on first use: a search for a video of the library needs no torch."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
