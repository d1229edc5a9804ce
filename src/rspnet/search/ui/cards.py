"""The page's own HTML: hits, the query's player, the explanation, the map. Every name in it is made harmless first."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from rspnet.search.hits import ClassHit, Hit, Moment
from rspnet.search.library_map import MapLayout
from rspnet.show.roi_picture import NOTE

# Distinct for colour-blind readers too (after Tol's "muted" scheme and Okabe and Ito); the last is for all the rest.
_COLOURS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77",
    "#cc6677", "#882255", "#aa4499", "#e69f00", "#0072b2", "#d55e00",
)  # fmt: skip
_REST = "#b8bcc2"
_MAP_WIDTH, _MAP_HEIGHT, _MAP_EDGE = 900, 440, 14
MOST_POINTS = 5_000


def escape(text: str) -> str:
    """Text that stays text in HTML and in the template languages of Gradio ({{ }} and ${ })."""
    safe = html.escape(text, quote=True)
    return safe.replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;").replace("`", "&#96;")


def seconds(value: float) -> str:
    """A time in a video: 3.2 s, or 2:03.2 from a minute on."""
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)}:{value % 60:04.1f}"


def header(name: str, *, videos: int, clips: int, duration_s: float, unreadable: int) -> str:
    """The page's first line."""
    minutes = f"{duration_s / 60:.0f} min" if duration_s < 7200 else f"{duration_s / 3600:.1f} h"
    left_out = f" · {unreadable} unreadable" if unreadable else ""
    facts = f"{videos:,} videos · {minutes} · {clips:,} clips{left_out}"
    return f"<header class='top'><h1>{escape(name)}</h1><p>{facts}</p></header>"


def notice(text: str) -> str:
    """Something that went wrong, in place."""
    return f"<p class='notice' role='alert'>{escape(text)}</p>" if text else ""


def empty(title: str, text: str) -> str:
    """What stands where there is nothing yet."""
    return f"<div class='empty'><strong>{escape(title)}</strong><p>{escape(text)}</p></div>"


def drop_zone(limit_mb: int, suffixes: Sequence[str]) -> str:
    """Where clips are dropped in; page.js does the rest."""
    return (
        f"<label class='drop'><input type='file' accept='{','.join(suffixes)}' data-limit='{limit_mb}'>"
        f"<b>Drop a clip, or click to choose</b><span role='status'>up to {limit_mb} MB</span></label>"
    )


def player(name: str, preview: str, *, key: str, start_s: float, end_s: float, duration_s: float) -> str:
    """The query, playing."""
    return (
        f"<figure class='query' data-key='{key}'>{_video(preview, f'the query {name}', autoplay=True)}"
        f"<figcaption><b title='{escape(name)}'>{escape(name)}</b>"
        f"<span>{seconds(start_s)} to {seconds(end_s)} of {seconds(duration_s)}</span></figcaption>"
        f"<div class='mark'></div></figure>"
    )


def hit_cards(
    hits: Sequence[Moment],
    keys: Sequence[str],
    names: Sequence[str],
    previews: Sequence[str],
    durations: Sequence[float],
) -> str:
    """The hits in order, each with its place in its video and its scores."""
    rows = zip(hits, keys, names, previews, durations, strict=True)
    cards = [_card(rank, *row) for rank, row in enumerate(rows)]
    return f"<ol class='hits'>{''.join(cards)}</ol>"


def _card(rank: int, hit: Moment, key: str, name: str, preview: str, duration_s: float) -> str:
    left, width = (100 * part / max(duration_s, 1e-6) for part in (hit.start_s, hit.end_s - hit.start_s))
    folder, file = Path(name).parent.as_posix(), Path(name).name
    where = "" if folder == "." else f"<small>{escape(folder)}</small>"
    buttons = [
        _button("use", rank, "Use as query", "Search with this part"),
        _button("like", rank, "+", "Search for what is like this, too"),
        _button("unlike", rank, "\N{MINUS SIGN}", "Search for what is unlike this"),
    ]
    scores = ""
    if isinstance(hit, Hit):
        scores = _bar("motion", hit.motion) + _bar("appearance", hit.appearance)
        buttons.insert(0, _button("explain", rank, "Why?", "Show where it is like the query"))
    elif isinstance(hit, ClassHit):
        scores = _bar(hit.label, hit.score, kind="class")
    return (
        f"<li class='hit' data-path='{escape(name)}' data-index='{rank}' data-key='{key}'>"
        f"{_video(preview, f'hit {rank + 1}, {file}')}"
        f"<div class='place' title='where in the video'><i style='left:{left:.1f}%;width:{width:.1f}%'></i></div>"
        f"<div class='name'><b>{rank + 1}</b><span title='{escape(name)}'>{escape(file)}{where}</span>"
        f"<output title='score'>{hit.score:.2f}</output></div>"
        f"<p class='time'>{seconds(hit.start_s)} to {seconds(hit.end_s)} of {seconds(duration_s)}</p>"
        f"{scores}<div class='mark'></div><div class='do'>{''.join(buttons)}</div></li>"
    )


def example_list(items: Sequence[tuple[bool, str, float, float]]) -> str:
    """Further clips of a search: (wanted, name, start, end) each, with a button that takes it out."""
    rows = []
    for index, (wanted, name, start, end) in enumerate(items):
        kind, sign = ("wanted", "+") if wanted else ("unwanted", "\N{MINUS SIGN}")
        rows.append(
            f"<li class='{kind}'><b>{sign}</b>"
            f"<span>{escape(Path(name).name)}, {seconds(start)} to {seconds(end)}</span>"
            f"{_button('leave', index, chr(0xD7), 'Search without it')}</li>"
        )
    return f"<ul class='examples' aria-label='Further clips of the search'>{''.join(rows)}</ul>" if rows else ""


def _button(action: str, index: int, text: str, title: str) -> str:
    return f"<button type='button' data-do='{action}' data-index='{index}' title='{title}'>{text}</button>"


def _bar(name: str, value: float, *, kind: str = "") -> str:
    share = 100 * min(1.0, max(0.0, value))
    filled = f"<i><u style='width:{share:.0f}%'></u></i>"
    return f"<div class='bar {kind or name}'><span>{escape(name)}</span>{filled}<em>{value:.2f}</em></div>"


def _video(preview: str, label: str, *, autoplay: bool = False) -> str:
    auto = " autoplay" if autoplay else ""
    return (
        f"<div class='film'><video src='preview/{preview}' muted loop playsinline preload='auto'{auto} tabindex='0' "
        f"role='button' aria-label='Play {escape(label)}'></video></div>"
    )


def explanation(hit: Hit, name: str, rank: int, strip: str, film: str) -> str:
    """Where query and hit are alike: the film of the maps, and the strip of them over time."""
    return (
        f"<section class='why' tabindex='-1'><h2>Why {escape(Path(name).name)} is hit {rank + 1}</h2>"
        f"<button type='button' data-do='close' aria-label='Close the explanation'>Close</button>"
        f"<div class='maps'><div class='film-of-maps'><span></span><span>clip</span><span>motion</span>"
        f"<span>appearance</span><span>query</span><span>hit</span><video src='preview/{film}' muted loop playsinline "
        f"autoplay aria-label='Similarity maps over query and hit, playing'></video></div>"
        f"<div class='reading'><p>Where the middles of query and hit are alike, for each of the two tasks the network "
        f"was trained with.</p><p>{escape(NOTE[0].upper() + NOTE[1:])}.</p>"
        f"{_bar('motion', hit.motion)}{_bar('appearance', hit.appearance)}<p>Scores of the whole parts.</p></div></div>"
        f"<details><summary>Over time</summary><a href='preview/{strip}' target='_blank'><img src='preview/{strip}' "
        f"loading='lazy' alt='Similarity maps over the frames of query and hit, by motion and by appearance'></a>"
        f"</details></section>"
    )


def library_map(layout: MapLayout, names: Sequence[str], groups: Sequence[str]) -> str:
    """The library as an SVG: a point a video, coloured by its group; a click asks with the video."""
    shown = range(len(names)) if len(names) <= MOST_POINTS else range(0, len(names), -(-len(names) // MOST_POINTS))
    counts: dict[str, int] = {}
    for group in groups:
        counts[group] = counts.get(group, 0) + 1
    ranked = sorted(counts, key=lambda group: (-counts[group], group))[: len(_COLOURS)]
    colours = dict(zip(sorted(ranked), _COLOURS, strict=False))
    points = []
    for index in shown:
        x = _MAP_EDGE + layout.points[index, 0] * (_MAP_WIDTH - 2 * _MAP_EDGE)
        y = _MAP_EDGE + (1 - layout.points[index, 1]) * (_MAP_HEIGHT - 2 * _MAP_EDGE)
        points.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5.5' fill='{colours.get(groups[index], _REST)}' data-do='pick' "
            f"data-index='{index}'><title>{escape(names[index])}</title></circle>"
        )
    legend = [f"<li><i style='background:{colour}'></i>{escape(group)}</li>" for group, colour in colours.items()]
    if len(counts) > len(colours):
        legend.append(f"<li><i style='background:{_REST}'></i>{len(counts) - len(colours)} more</li>")
    notes = [f"{len(shown):,} of {len(names):,} videos shown"] if len(shown) < len(names) else []
    if layout.explained is not None:
        notes.append(f"the axes hold {layout.explained[0]:.0%} and {layout.explained[1]:.0%} of the variance")
    notes.append("rings are the hits; click a point to search with it")
    return (
        f"<figure class='map'><svg viewBox='0 0 {_MAP_WIDTH} {_MAP_HEIGHT}' role='img' "
        f"aria-label='Map of {len(names)} videos'>{''.join(points)}</svg>"
        f"<figcaption><ul>{''.join(legend)}</ul><p>{' · '.join(notes)}</p></figcaption></figure>"
    )


def rings(indices: Sequence[int]) -> str:
    """A style sheet that rings the hits on the map."""
    chosen = ",".join(f".map circle[data-index='{index}']" for index in indices)
    return f"<style>{chosen}{{stroke:var(--ring)!important;stroke-width:2.5!important;r:8}}</style>" if indices else ""
