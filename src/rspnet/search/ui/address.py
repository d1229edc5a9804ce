"""What the address of a page asks for. All that makes a search is in it, so Back, reload and a copied address work."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rspnet.config.search import DEFAULT_ALPHA
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.search.ui.service import Filters

MOST_HITS = 48
MOST_EXAMPLES = 12
ASK_NEXT, CLASS = "next", "class:"
"""What may be shown besides what is like the query: the moments to label next, and (a class's name follows) a class."""
_PART = re.compile(r"(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A part of a video of the library that is wanted too, or is not."""

    name: str
    start_s: float
    end_s: float
    wanted: bool


@dataclass(frozen=True)
class Address:
    """A search.

    Attributes:
        query: name of a video of the library, or `upload:TICKET:NAME`; empty for none.
        start_s: where the query's part starts; None for the first seconds.
        end_s: where it ends.
        alpha: 1 by motion, 0 by appearance.
        filters: which videos may be found.
        count: hits.
        examples: what is wanted too, and what is not.
        show: empty for what is like the query, else `ASK_NEXT`, or `CLASS` and the name of a trained class.
    """

    query: str = ""
    start_s: float | None = None
    end_s: float | None = None
    alpha: float = DEFAULT_ALPHA
    filters: Filters = field(default_factory=lambda: Filters(other_videos=True))
    count: int = 12
    examples: tuple[Example, ...] = ()
    show: str = ""


def read_address(one: Mapping[str, str], several: Mapping[str, Sequence[str]]) -> Address:
    """The search that the fields of an address name; those that are not there have their defaults.

    Args:
        one: fields that come once: q, from, to, mix, folder, min, max, own, n, show.
        several: fields that may come often: like, unlike.

    Raises:
        RSPNetError: a field says what cannot be; names it.
    """

    def number(name: str) -> float | None:
        text = one.get(name, "")
        try:
            value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise RSPNetError(f"the page's address says {name}={text[:40]}: a number from 0 on is needed")
        return value

    alpha, count = number("mix"), number("n")
    filters = Filters(
        one.get("folder", ""), number("min") or None, number("max"), other_videos=one.get("own", "") != "1"
    )
    examples = [_example(text, wanted=True) for text in several.get("like", ())]
    examples += [_example(text, wanted=False) for text in several.get("unlike", ())]
    if len(examples) > MOST_EXAMPLES:
        raise RSPNetError(f"the page's address names {counted(len(examples), 'further clip')}: at most {MOST_EXAMPLES}")
    return Address(
        query=one.get("q", ""),
        start_s=number("from"),
        end_s=number("to"),
        alpha=DEFAULT_ALPHA if alpha is None else min(alpha, 1.0),
        filters=filters,
        count=12 if count is None else int(min(max(count, 1), MOST_HITS)),
        examples=tuple(examples),
        show=one.get("show", ""),
    )


def _example(text: str, *, wanted: bool) -> Example:
    found = _PART.fullmatch(text)
    if found is None:
        raise RSPNetError(f"the page's address names {text[:80]!r}: VIDEO@START-END is needed")
    return Example(found[1], float(found[2]), float(found[3]), wanted)
