"""A library of one's own videos: index them once, then search by motion, by appearance, or between the two.

`Library` opens a store and searches it; `rspnet index` fills one. Needs the extra `rspnet[search]`.
"""

from __future__ import annotations

from rspnet.search.hits import Hit
from rspnet.search.query import ClipOf, Library

__all__ = ["ClipOf", "Hit", "Library"]
