"""The page: its parts, its look, and what each of them does when it is used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.search.hits import Hit
from rspnet.search.library_map import methods
from rspnet.search.ui import cards
from rspnet.search.ui.service import FIRST_QUERY_S, Asked, Clip, Filters, Service
from rspnet.video.reader import VIDEO_SUFFIXES

_HERE = Path(__file__).parent
_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_AT_ONCE = 4
_WAITING = 64
_NOTHING_YET = cards.empty(
    "No query yet", "Drop in a clip, or pick a video of the library. Its most alike parts will play here."
)
_NOTHING_FOUND = cards.empty("Nothing found", "No other video passes the filters: let more of them through.")

Update = dict[Any, Any]


@dataclass(frozen=True)
class Parts:
    """The parts of the page that events read or write."""

    asked: gr.State
    hits: gr.State
    drop: gr.HTML
    picker: gr.Dropdown
    notice: gr.HTML
    player: gr.HTML
    trim: gr.Group
    start: gr.Slider
    end: gr.Slider
    alpha: gr.Slider
    folder: gr.Dropdown
    shortest: gr.Number
    longest: gr.Number
    others: gr.Checkbox
    count: gr.Slider
    why: gr.HTML
    cards: gr.HTML
    map_tab: gr.Tab
    map: gr.HTML
    space: gr.Radio
    colour: gr.Radio
    method: gr.Radio

    def all(self) -> list[Any]:
        """Every part: what any event may write."""
        return [getattr(self, item.name) for item in fields(self)]

    def controls(self) -> list[Any]:
        """What a search depends on besides the query."""
        return [self.alpha, self.folder, self.shortest, self.longest, self.others, self.count]


def look_of_page() -> dict[str, Any]:
    """Theme and style sheet: system fonts, nothing from the network."""
    theme = gr.themes.Base(primary_hue="teal", neutral_hue="zinc", radius_size="md", font=_FONTS, font_mono=_FONTS)
    return {"theme": theme, "css": (_HERE / "style.css").read_text(encoding="utf-8")}


def build_page(service: Service, *, upload_bytes: int) -> gr.Blocks:
    """Lay out the page and connect its parts."""
    title = service.root.name or "library"
    blocks = gr.Blocks(title=f"{title} · rspnet", analytics_enabled=False)
    with blocks:
        duration = sum(row.duration_s for row in service.files.values())
        gr.HTML(
            cards.header(
                title,
                videos=len(service.files),
                clips=len(service.library.store),
                duration_s=duration,
                unreadable=service.unreadable,
            )
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=300, elem_id="ask"):
                query = _query_parts(service, upload_bytes=upload_bytes)
            with gr.Column(scale=7, min_width=300, elem_id="found"):
                found = _found_parts(service)
        parts = Parts(asked=gr.State(None), hits=gr.State(()), **query, **found)
        _connect(parts, Handlers(service, parts))
    blocks.queue(default_concurrency_limit=_AT_ONCE, max_size=_WAITING)
    return blocks


def _query_parts(service: Service, *, upload_bytes: int) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "drop": _html("drop", cards.drop_zone(upload_bytes // 2**20, sorted(VIDEO_SUFFIXES))),
        "picker": gr.Dropdown(_pickable(service), value=None, label="or pick a video of the library", elem_id="picker"),
        "notice": _html("notice"),
        "player": _html("player"),
    }
    with gr.Group(visible=False) as trim:
        parts["start"] = gr.Slider(0, 1, 0, step=0.1, label="Start (s)", buttons=[], elem_id="start")
        parts["end"] = gr.Slider(0, 1, 1, step=0.1, label="End (s)", buttons=[], elem_id="end")
    parts["trim"] = trim
    with gr.Accordion("Filters", open=False, elem_id="filters"):
        folders = [("all folders", ""), *((name, name) for name in service.folders())]
        parts["folder"] = gr.Dropdown(folders, value="", label="Folder", elem_id="folder")
        with gr.Row():
            parts["shortest"] = gr.Number(0, minimum=0, label="Shortest (s)", min_width=90, elem_id="shortest")
            longest = math.ceil(service.longest_s)
            parts["longest"] = gr.Number(longest, minimum=0, label="Longest (s)", min_width=90, elem_id="longest")
        parts["others"] = gr.Checkbox(True, label="Leave out the query itself", elem_id="others")
        parts["count"] = gr.Slider(1, 48, 12, step=1, label="Hits", buttons=[], elem_id="count")
    return parts


def _pickable(service: Service) -> list[str]:
    """The names to pick from; the others of a very large library are reached as hits."""
    return list(service.names)[: cards.MOST_POINTS]


def _found_parts(service: Service) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    label = "Alike in appearance (0) or in motion (1)"
    parts["alpha"] = gr.Slider(0, 1, 0.5, step=0.05, label=label, buttons=[], elem_id="alpha")
    with gr.Tab("Hits"):
        parts["why"] = _html("why")
        parts["cards"] = _html("cards", _NOTHING_YET)
    with gr.Tab("Map") as parts["map_tab"]:
        with gr.Row():
            parts["space"] = _choice(["motion", "appearance", "both"], "both", "Near means alike in", min_width=340)
            parts["colour"] = _choice(list(service.groups), next(iter(service.groups)), "Colour")
            parts["method"] = _choice(list(methods()), "PCA", "Drawn by")
        parts["map"] = _html("map")
    return parts


def _choice(choices: list[str], value: str, label: str, *, min_width: int = 180) -> gr.Radio:
    """A choice that is only shown where there is one."""
    return gr.Radio(choices, value=value, label=label, min_width=min_width, visible=len(choices) > 1)


def _html(name: str, value: str = "") -> gr.HTML:
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return gr.HTML(value, elem_id=name, js_on_load=script, apply_default_css=False)


def _connect(parts: Parts, on: Handlers) -> None:
    asked, controls, places = parts.asked, parts.controls(), [parts.space, parts.colour, parts.method]
    options: dict[str, Any] = {"outputs": parts.all(), "api_visibility": "private", "show_progress_on": [parts.cards]}
    live = options | {"trigger_mode": "always_last", "show_progress": "hidden"}
    of_map = options | {"show_progress_on": [parts.map]}
    parts.drop.dropped(on.upload, controls, **options)
    parts.picker.input(on.pick, [parts.picker, *controls], **options)
    for slider in (parts.start, parts.end):
        slider.input(on.trim, [asked, parts.start, parts.end, *controls], **live)
    for control in controls:
        control.input(on.search_again, [asked, *controls], **live)
    parts.cards.use(on.use, [parts.hits, *controls], **options)
    parts.cards.explain(on.explain, [asked, parts.hits], **options)
    parts.why.close(lambda: {parts.why: ""}, None, **options)
    parts.map.pick(on.pick_point, controls, **options)
    for place in places:
        place.input(on.draw_map, places, **of_map)
    parts.map_tab.select(on.draw_map, places, **of_map)


def _told(handler: Callable[..., Update]) -> Callable[..., Update]:
    """An error of the user's becomes a notice on the page, with the file called as the user calls it."""

    @wraps(handler)
    def told(self: Handlers, *values: Any) -> Update:
        try:
            return {self.parts.notice: "", **handler(self, *values)}
        except DecodeError as error:
            return {self.parts.notice: cards.notice(f"This video cannot be read: {error.why}.")}
        except RSPNetError as error:
            return {self.parts.notice: cards.notice(str(error))}

    return told


class Handlers:
    """What happens at each event: values of parts in, new values of parts out. Nothing of a user is kept here."""

    def __init__(self, service: Service, parts: Parts) -> None:
        self.service = service
        self.parts = parts

    @_told
    def upload(self, event: gr.EventData, *controls: Any) -> Update:
        """A clip was dropped in, and has arrived."""
        ticket, name = (str(getattr(event, part, "")) for part in ("ticket", "name"))
        return self._ask(self.service.open_upload(ticket, name), controls) | {self.parts.picker: None}

    @_told
    def pick(self, name: str | None, *controls: Any) -> Update:
        """A video of the library was chosen by name."""
        if name is None:
            return {}
        return self._ask(self.service.open_library(self.service.names.get(name, "")), controls)

    @_told
    def use(self, event: gr.EventData, hits: tuple[Hit, ...], *controls: Any) -> Update:
        """A hit is to be the next query: its part, not the whole video."""
        hit = _chosen(hits, event)
        clip = self.service.open_library(hit.path)
        return self._ask(clip, controls, part=(hit.start_s, hit.end_s)) | {self.parts.picker: self._picked(clip)}

    @_told
    def pick_point(self, event: gr.EventData, *controls: Any) -> Update:
        """A point of the map was chosen."""
        clip = self.service.open_library(_chosen(self.service.paths, event))
        return self._ask(clip, controls) | {self.parts.picker: self._picked(clip)}

    @_told
    def trim(self, asked: Asked | None, start_s: float, end_s: float, *controls: Any) -> Update:
        """The query's start or end was moved."""
        return {} if asked is None else self._ask(asked.clip, controls, part=(start_s, end_s), keep=True)

    @_told
    def search_again(self, asked: Asked | None, *controls: Any) -> Update:
        """The slider or a filter was moved."""
        return {} if asked is None else self._found(asked, controls)

    @_told
    def explain(self, event: gr.EventData, asked: Asked | None, hits: tuple[Hit, ...]) -> Update:
        """Why is this a hit?"""
        if asked is None:
            return {}
        hit = _chosen(hits, event)
        strip, film = self.service.explain(asked, hit)
        name = self.service.shown_name(hit.path)
        return {self.parts.why: cards.explanation(hit, name, hits.index(hit), strip, film)}

    @_told
    def draw_map(self, space: Any, colour: str, method: Any) -> Update:
        """Show the map, or another one."""
        group_of = self.service.groups[colour]
        names = [self.service.shown_name(path) for path in self.service.paths]
        groups = [group_of(path) for path in self.service.paths]
        return {self.parts.map: cards.library_map(self.service.layout(space, method), names, groups)}

    def _picked(self, clip: Clip) -> str | None:
        return clip.name if clip.name in _pickable(self.service) else None

    def _ask(self, clip: Clip, controls: Any, *, part: tuple[float, float] | None = None, keep: bool = False) -> Update:
        """Search with a part of a clip, by default its first seconds; `keep` leaves the sliders as they are."""
        length = clip.facts.duration_s
        start_s, end_s = part or (0.0, length if length <= FIRST_QUERY_S else FIRST_QUERY_S)
        asked = self.service.ask(clip, start_s, end_s)
        preview = self.service.preview(clip, asked.start_s, asked.end_s)
        shown = cards.player(clip.name, preview, start_s=asked.start_s, end_s=asked.end_s, duration_s=length)
        update = self._found(asked, controls) | {self.parts.asked: asked, self.parts.player: shown}
        if not keep:
            last = round(length + 0.05, 1)
            update |= {
                self.parts.trim: gr.update(visible=True),
                self.parts.start: gr.update(value=round(start_s, 1), maximum=last),
                self.parts.end: gr.update(value=round(end_s, 1), maximum=last),
            }
        return update

    def _found(self, asked: Asked, controls: Any) -> Update:
        alpha, folder, shortest, longest, others, count = controls
        no_end = longest is None or longest >= self.service.longest_s
        filters = Filters(folder or "", shortest or None, None if no_end else longest, bool(others))
        hits = self.service.hits(asked, filters, alpha=float(alpha), k=int(count))
        names = [self.service.shown_name(hit.path) for hit in hits]
        previews = [self.service.preview_hit(hit) for hit in hits]
        lengths = [self.service.files[hit.path].duration_s for hit in hits]
        body = cards.hit_cards(hits, names, previews, lengths) if hits else _NOTHING_FOUND
        body += cards.rings([self.service.paths.index(hit.path) for hit in hits])
        return {self.parts.hits: tuple(hits), self.parts.cards: body, self.parts.why: ""}


def _chosen(things: Any, event: gr.EventData) -> Any:
    """The thing whose number a browser sent; a number is all that is believed of it."""
    index = getattr(event, "index", None)
    if not isinstance(index, int) or not 0 <= index < len(things):
        raise RSPNetError("that is no longer there: search again")
    return things[index]
