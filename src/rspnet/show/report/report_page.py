"""What a report is made of, and its one HTML file.

Jinja2 with autoescaping writes the page: every name that comes from a file is escaped unless the template says
otherwise, where an f-string would have to remember it each time; torch already depends on it. The page has no script
and a content policy that forbids every address but `data:`; films are strips of frames that CSS moves.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.image import imsave
from numpy.typing import NDArray

from rspnet.core.files import write_text

_TEMPLATE = "page.html.j2"
Frames = NDArray[np.uint8]
Tone = Literal["", "good", "mixed", "bad"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """Rows of text below a header; the first column names its row."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Pairs:
    """Names with a value each, in columns."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Code:
    """Preformatted text that opens on a click."""

    title: str
    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Charts:
    """Drawings as SVG elements made by us, side by side: (title, SVG)."""

    charts: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True)
class PageImage:
    """A PNG file's bytes."""

    png: bytes
    title: str
    kind: ClassVar[str] = "picture"

    @property
    def uri(self) -> str:
        """The picture as a data address."""
        return _data_uri(self.png, "png")


@dataclass(frozen=True)
class Film:
    """A clip that plays in a loop, and the same frames as a strip.

    Attributes:
        frames: uint8 [T, H, W, 3].
        seconds: that the clip lasts.
        caption: lines below it or at its side.
        tone: colour of its frame: whether a neighbour shares the query's labels.
        exact: keep every pixel (PNG); otherwise a JPEG, a tenth of the bytes.
    """

    frames: Frames
    seconds: float
    caption: Sequence[str]
    tone: Tone = ""
    exact: bool = False

    @cached_property
    def uri(self) -> str:
        """All frames side by side, as a data address."""
        file, format_ = io.BytesIO(), "png" if self.exact else "jpeg"
        strip = np.ascontiguousarray(np.concatenate(list(self.frames), axis=1))
        imsave(file, strip, format=format_, pil_kwargs={} if self.exact else {"quality": 82})
        return _data_uri(file.getvalue(), format_)

    @property
    def aspect(self) -> float:
        """Width / height of one frame."""
        return float(self.frames.shape[2] / self.frames.shape[1])


@dataclass(frozen=True)
class Films:
    """Films one below the other: a player and the strip of its frames a line."""

    title: str
    films: Sequence[Film]
    kind: ClassVar[str] = "films"


@dataclass(frozen=True)
class NeighbourRows:
    """A contact sheet that plays: one line a query, then its neighbours, best first."""

    title: str
    rows: Sequence[tuple[Film, list[Film]]]
    kind: ClassVar[str] = "neighbours"


@dataclass(frozen=True)
class Players:
    """Films in a wrapping line, each with its caption."""

    films: Sequence[Film]
    kind: ClassVar[str] = "players"


Part = Text | Table | Pairs | Code | Charts | PageImage | Films | NeighbourRows | Players


@dataclass(frozen=True)
class Section:
    """A titled part of the page; one without parts is a line at the page's end: `note` says why there is nothing."""

    title: str
    parts: Sequence[Part] = ()
    note: str = ""

    @property
    def anchor(self) -> str:
        """Address inside the page."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.title.lower()).split())


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: the run.
        subtitle: what it did and when.
        facts: the few numbers to see first, as (name, value).
        sections: in their order.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def write_page(path: Path, page: Page) -> None:
    """Write the page as one HTML file, atomically.

    Raises:
        RSPNetError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("rspnet.show", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(_TEMPLATE).render(page=page)
    write_text(path, text)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
