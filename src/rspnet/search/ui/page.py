"""The page: its parts, its look, and what each of them does when it is used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gradio as gr

from rspnet.search.library_map import methods
from rspnet.search.ui import cards
from rspnet.search.ui.handlers import BY_QUERY, Handlers, Parts, pickable
from rspnet.search.ui.label_cards import classes_panel
from rspnet.search.ui.label_handlers import LabelHandlers
from rspnet.search.ui.service import Service
from rspnet.video.reader import VIDEO_SUFFIXES

_HERE = Path(__file__).parent
_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_AT_ONCE = 4
_WAITING = 64
_NOTHING_YET = cards.empty(
    "No query yet", "Drop in a clip, or pick a video of the library. Its most alike parts will play here."
)


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
        states: dict[str, Any] = {name: gr.State(()) for name in ("hits", "examples", "history")}
        parts = Parts(asked=gr.State(None), judged=gr.State(None), **states, **query, **found)
        handlers = Handlers(service, parts)
        _connect(parts, handlers)
        _connect_labels(blocks, parts, LabelHandlers(handlers))
    blocks.queue(default_concurrency_limit=_AT_ONCE, max_size=_WAITING)
    return blocks


def _query_parts(service: Service, *, upload_bytes: int) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "drop": _html("drop", cards.drop_zone(upload_bytes // 2**20, sorted(VIDEO_SUFFIXES))),
        "picker": gr.Dropdown(pickable(service), value=None, label="or pick a video of the library", elem_id="picker"),
        "notice": _html("notice"),
        "player": _html("player"),
        "strip": _html("strip"),
        "also": _html("also"),
    }
    with gr.Group(visible=False) as trim:
        parts["start"] = gr.Slider(0, 1, 0, step=0.1, label="Start (s)", buttons=[], elem_id="start")
        parts["end"] = gr.Slider(0, 1, 1, step=0.1, label="End (s)", buttons=[], elem_id="end")
    parts["trim"] = trim
    parts["classes"] = _html("classes", classes_panel(service.labelling.read(), [], None))
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


def _found_parts(service: Service) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    label = "Alike in appearance (0) or in motion (1)"
    parts["alpha"] = gr.Slider(0, 1, 0.5, step=0.05, label=label, buttons=[], elem_id="alpha")
    with gr.Tab("Hits"):
        parts["show"] = gr.Radio([BY_QUERY], value=BY_QUERY, label="Show", visible=False, elem_id="show")
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
    for control in parts.knobs():
        control.input(on.search_again, [asked, *controls], **live)
    parts.cards.like(on.like, [asked, parts.hits, *controls], **options)
    parts.cards.unlike(on.unlike, [asked, parts.hits, *controls], **options)
    parts.also.leave(on.leave_out, [asked, *controls], **options)
    parts.cards.use(on.use, [parts.hits, *controls], **options)
    parts.cards.explain(on.explain, [asked, parts.hits], **options)
    parts.why.close(lambda: {parts.why: ""}, None, **options)
    parts.map.pick(on.pick_point, controls, **options)
    for place in places:
        place.input(on.draw_map, places, **of_map)
    parts.map_tab.select(on.draw_map, places, **of_map)


def _connect_labels(blocks: gr.Blocks, parts: Parts, on: LabelHandlers) -> None:
    # Steps of one user must follow one another, and keys come quickly: none is dropped, one is done at a time.
    steps: dict[str, Any] = {
        "outputs": parts.all(),
        "api_visibility": "private",
        "show_progress": "hidden",
        "trigger_mode": "multiple",
        "concurrency_limit": 1,
        "concurrency_id": "labels",
    }
    own = [parts.asked, parts.hits, parts.judged, parts.history]
    for place in (parts.cards, parts.player):
        place.mark(on.mark, own, **steps)
    blocks.load(on.open, None, **steps)
    parts.classes.newclass(on.new_class, own, **steps)
    parts.classes.retract(on.undo, own, **steps)
    parts.classes.imported(on.take_in, own, **steps)
    parts.classes.train(on.train, [parts.asked, *parts.controls()], **steps)
    parts.strip.seek(on.seek, [parts.asked, *parts.controls()], **steps)
