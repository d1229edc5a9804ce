"""The HTML that the page is sent: hits, the query's player, explanations. Every name in it is made harmless first."""

from __future__ import annotations

import html
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from rspnet.core.cost import as_time
from rspnet.core.counts import counted
from rspnet.features.roi_maps import WORTH
from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.library_map import MapLayout
from rspnet.search.standing import Rank, Standing
from rspnet.show.roi_picture import NOTE

# Distinct for colour-blind readers too (after Tol's "muted" scheme and Okabe and Ito); the last is for all the rest.
_COLOURS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77",
    "#cc6677", "#882255", "#aa4499", "#e69f00", "#0072b2", "#d55e00",
)  # fmt: skip
_REST = "#b8bcc2"
_TAIL = 9
"""Last letters of a name that always show: there it says which of its kind it is."""
MOST_POINTS = 5_000


@dataclass(frozen=True)
class Card:
    """What a hit is shown by.

    Attributes:
        hit: what was found.
        standing: where it stands in the library; None for a moment of a class.
        key: says which part it is.
        name: of its video.
        preview: of its part.
        video: name by which the whole video can be opened, None where it cannot.
        duration_s: of its video.
    """

    hit: Moment
    standing: Standing | None
    key: str
    name: str
    preview: str
    video: str | None
    duration_s: float


def escape(text: str) -> str:
    """Text that stays text in HTML."""
    return html.escape(text, quote=True)


def cut(name: str) -> str:
    """A name that is cut in its middle where it does not fit, and read whole."""
    first, last = name[:-_TAIL], name[-_TAIL:]
    return (
        f"<span class='cut' title='{escape(name)}'><span aria-hidden='true'><i>{escape(first)}</i><b>{escape(last)}</b>"
        f"</span><span class='unseen'>{escape(name)}</span></span>"
    )


def file_and_folder(name: str) -> str:
    """A video's name: the file, and below it the folder; each has a line of its own, so that less is cut."""
    folder, file = Path(name).parent.as_posix(), Path(name).name
    return cut(file) + ("" if folder == "." else f"<small>{cut(folder)}</small>")


def seconds(value: float) -> str:
    """A time in a video: 3.2 s, or 2:03.2 from a minute on."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)}:{value % 60:04.1f}"


def library_facts(*, videos: int, windows: int, duration_s: float, skipped: int) -> str:
    """What the library holds, as text."""
    left_out = f" · {skipped} skipped" if skipped else ""
    return f"{counted(videos, 'video')} · {as_time(duration_s)} · {counted(windows, 'window')}{left_out}"


def empty(title: str, text: str) -> str:
    """What stands where there is nothing."""
    return f"<div class='empty'><strong>{escape(title)}</strong><p>{escape(text)}</p></div>"


NOTHING_FOUND = empty("Nothing found", "No other video passes the filters: let more of them through.")


def shelf(names: Sequence[str], posters: Sequence[str]) -> str:
    """Videos of the library as pictures, each a button that searches with it."""
    items = [
        f"<li><button type='button' data-do='open' data-name='{escape(name)}'>"
        f"<img src='preview/{poster}' alt='' loading='lazy'><span>{file_and_folder(name)}</span></button></li>"
        for name, poster in zip(names, posters, strict=True)
    ]
    return "".join(items)


def player(name: str, preview: str, *, key: str, length: float) -> str:
    """The query, playing."""
    return (
        f"<figure class='query' data-key='{key}'>{_video(preview, f'the query {name}', autoplay=True)}"
        f"<figcaption>{cut(name)}<small>{seconds(length)} in all</small><div class='mark'></div></figcaption></figure>"
    )


def hit_cards(cards: Sequence[Card], *, caution: str = "") -> str:
    """The hits in order, each with its place in its video and in the library; above them how to read their scores."""
    above = f"<p class='caution'>{escape(caution)}</p>" if caution else ""
    return f"{above}<ol class='hits'>{''.join(_card(rank, card) for rank, card in enumerate(cards))}</ol>"


def _card(rank: int, card: Card) -> str:
    hit, name = card.hit, card.name
    left, width = (100 * part / max(card.duration_s, 1e-6) for part in (hit.start_s, hit.end_s - hit.start_s))
    file = Path(name).name
    buttons = [
        _button("use", rank, "Search", f"Search with this part of {file}"),
        _button("like", rank, "+", f"Search for what is like {file}, too"),
        _button("unlike", rank, "\N{MINUS SIGN}", f"Search for what is unlike {file}"),
    ]
    scores = ""
    if isinstance(hit, Hit):
        if card.standing is not None:
            scores = _place("moves alike", card.standing.motion, hit.motion)
            scores += _place("looks alike", card.standing.appearance, hit.appearance)
        buttons.insert(0, _button("explain", rank, "Why?", f"Show where {file} is like the query"))
    elif isinstance(hit, ClassHit):
        scores = _bar("class", hit.label, hit.score, f"{hit.score:.2f}", "probability")
    opened = f"<a href='video/{card.video}' target='_blank' rel='noopener'>Open</a>" if card.video else ""
    return (
        f"<li class='hit' data-name='{escape(name)}' data-index='{rank}' data-key='{card.key}' "
        f"data-path='{escape(hit.path)}' data-start='{hit.start_s:.3f}' data-end='{hit.end_s:.3f}'>"
        f"{_video(card.preview, f'hit {rank + 1}, {file}')}"
        f"<div class='place' title='where in the video'><i style='left:{left:.1f}%;width:{width:.1f}%'></i></div>"
        f"<div class='name'><b>{rank + 1}</b><span>{file_and_folder(name)}</span></div>"
        f"<p class='time'>{seconds(hit.start_s)} to {seconds(hit.end_s)} of {seconds(card.duration_s)}</p>"
        f"{scores}<div class='mark'></div><div class='do'>{''.join(buttons)}</div>"
        f"<div class='do file'>{opened}{_button('copy', rank, 'Copy path', f'Copy the path of {file}')}</div></li>"
    )


def example_list(items: Sequence[tuple[bool, str, float, float]]) -> str:
    """Further clips of a search: (wanted, name, start, end) each, with a button that takes it out."""
    rows = []
    for index, (wanted, name, start, end) in enumerate(items):
        kind, sign = ("wanted", "+") if wanted else ("unwanted", "\N{MINUS SIGN}")
        part = f"{Path(name).name}, {seconds(start)} to {seconds(end)}"
        leave = _button("leave", index, "\N{MULTIPLICATION SIGN}", f"Search without {part}")
        rows.append(f"<li class='{kind}'><b>{sign}</b><span>{escape(part)}</span>{leave}</li>")
    return f"<ul class='examples' aria-label='Further clips of the search'>{''.join(rows)}</ul>" if rows else ""


def _button(action: str, index: int, text: str, title: str) -> str:
    spoken = title if title.startswith(text) else f"{text}: {title}"
    named = f"title='{escape(title)}' aria-label='{escape(spoken)}'"
    return f"<button type='button' data-do='{action}' data-index='{index}' {named}>{text}</button>"


def _place(name: str, place: Rank, cosine: float) -> str:
    return _bar(name.partition(" ")[0], name, place.share, str(place), f"cosine {cosine:.3f}")


def _bar(kind: str, name: str, share: float, text: str, title: str) -> str:
    filled = f"<i><u style='width:{100 * min(1.0, max(0.0, share)):.0f}%'></u></i>"
    return f"<div class='bar {kind}' title='{escape(title)}'><span>{escape(name)}</span>{filled}<em>{text}</em></div>"


def _video(preview: str, label: str, *, autoplay: bool = False) -> str:
    auto = " autoplay" if autoplay else ""
    return (
        f"<div class='film'><video src='preview/{preview}' muted loop playsinline preload='auto'{auto} tabindex='0' "
        f"role='button' aria-label='Play {escape(label)}'></video></div>"
    )


def explanation(name: str, rank: int, shown: tuple[str, str]) -> str:
    """Where query and hit are alike: the film of the maps, and the strip of them over time (`shown`: strip, film)."""
    strip, film = shown
    return (
        f"<h2 id='why-title'>Why {escape(Path(name).name)} is hit {rank + 1}</h2>"
        f"<div class='maps'><div class='film-of-maps'><span></span><span>clip</span><span>motion</span>"
        f"<span>appearance</span><span>query</span><span>hit</span><video src='preview/{film}' muted loop playsinline "
        f"autoplay aria-label='Similarity maps over query and hit, playing'></video></div>"
        f"<div class='reading'><p>Where the middles of query and hit are alike, for each of the two tasks the network "
        f"was trained with: {escape(NOTE)}.</p><p>Of the weights rspnet-small: {escape(WORTH)}</p></div></div>"
        f"<details><summary>Frame by frame</summary><a href='preview/{strip}' target='_blank'>"
        f"<img src='preview/{strip}' loading='lazy' alt='Similarity maps over the frames of query and hit, by motion "
        f"and by appearance'></a>"
        f"</details>"
    )


def map_legend(layout: MapLayout, groups: Sequence[str]) -> tuple[Container[int], list[tuple[str, str]], str]:
    """Which points of the map are shown, the colours of its groups (the last may be for all others), and a note."""
    count = len(groups)
    shown = range(count) if count <= MOST_POINTS else range(0, count, -(-count // MOST_POINTS))
    counts: dict[str, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
    ranked = sorted(counts, key=lambda group: (-counts[group], group))[: len(_COLOURS)]
    colours = list(zip(sorted(ranked), _COLOURS, strict=False))
    if len(counts) > len(colours):
        colours.append((f"{len(counts) - len(colours)} more", _REST))
    notes = [f"{len(shown):,} of {counted(count, 'video')} shown"] if len(shown) < count else []
    if layout.explained is not None:
        notes.append(f"the axes hold {layout.explained[0]:.0%} and {layout.explained[1]:.0%} of the variance")
    return shown, colours, " · ".join(notes)
