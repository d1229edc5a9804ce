"""What happens at each event of the page: values of parts in, new values of parts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, NamedTuple

import gradio as gr

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.search.hits import Hit, Moment
from rspnet.search.ui import cards
from rspnet.search.ui.label_cards import classes_panel, key_of, strip
from rspnet.search.ui.labelling import Judged
from rspnet.search.ui.service import FIRST_QUERY_S, Asked, Clip, Example, Filters, Service

NOTHING_FOUND = cards.empty("Nothing found", "No other video passes the filters: let more of them through.")
BY_QUERY, ASK_NEXT = "like the query", "ask me next"
"""What the page can show besides the likeliest moments of a class."""
MOST_EXAMPLES = 12

Update = dict[Any, Any]


class Controls(NamedTuple):
    """What a search depends on besides the query, in the order of `Parts.controls`."""

    alpha: Any
    folder: Any
    shortest: Any
    longest: Any
    others: Any
    count: Any
    show: Any
    judged: Judged | None
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Parts:
    """The parts of the page that events read or write."""

    asked: gr.State
    hits: gr.State
    judged: gr.State
    examples: gr.State
    history: gr.State
    drop: gr.HTML
    picker: gr.Dropdown
    notice: gr.HTML
    player: gr.HTML
    strip: gr.HTML
    also: gr.HTML
    classes: gr.HTML
    trim: gr.Group
    start: gr.Slider
    end: gr.Slider
    alpha: gr.Slider
    folder: gr.Dropdown
    shortest: gr.Number
    longest: gr.Number
    others: gr.Checkbox
    count: gr.Slider
    show: gr.Radio
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

    def knobs(self) -> list[Any]:
        """The controls of a search that a user moves."""
        return [self.alpha, self.folder, self.shortest, self.longest, self.others, self.count, self.show]

    def controls(self) -> list[Any]:
        """What a search depends on besides the query, as `Controls`."""
        return [*self.knobs(), self.judged, self.examples]


def told(handler: Callable[..., Update]) -> Callable[..., Update]:
    """An error of the user's becomes a notice on the page, with the file called as the user calls it."""

    @wraps(handler)
    def tells(self: Any, *values: Any) -> Update:
        try:
            return {self.parts.notice: "", **handler(self, *values)}
        except DecodeError as error:
            return {self.parts.notice: cards.notice(f"This video cannot be read: {error.why}.")}
        except RSPNetError as error:
            return {self.parts.notice: cards.notice(str(error))}

    return tells


class Handlers:
    """What happens at each event: values of parts in, new values of parts out. Nothing of a user is kept here."""

    def __init__(self, service: Service, parts: Parts) -> None:
        self.service = service
        self.parts = parts

    @told
    def upload(self, event: gr.EventData, *controls: Any) -> Update:
        """A clip was dropped in, and has arrived."""
        ticket, name = (str(getattr(event, part, "")) for part in ("ticket", "name"))
        return self.ask(self.service.open_upload(ticket, name), controls) | {self.parts.picker: None}

    @told
    def pick(self, name: str | None, *controls: Any) -> Update:
        """A video of the library was chosen by name."""
        if name is None:
            return {}
        return self.ask(self.service.open_library(self.service.names.get(name, "")), controls)

    @told
    def use(self, event: gr.EventData, hits: tuple[Hit, ...], *controls: Any) -> Update:
        """A hit is to be the next query: its part, not the whole video."""
        hit = chosen(hits, event)
        clip = self.service.open_library(hit.path)
        return self.ask(clip, controls, part=(hit.start_s, hit.end_s)) | {self.parts.picker: self._picked(clip)}

    @told
    def pick_point(self, event: gr.EventData, *controls: Any) -> Update:
        """A point of the map was chosen."""
        clip = self.service.open_library(chosen(self.service.paths, event))
        return self.ask(clip, controls) | {self.parts.picker: self._picked(clip)}

    @told
    def trim(self, asked: Asked | None, start_s: float, end_s: float, *controls: Any) -> Update:
        """The query's start or end was moved."""
        return {} if asked is None else self.ask(asked.clip, controls, part=(start_s, end_s), keep=True)

    @told
    def search_again(self, asked: Asked | None, *controls: Any) -> Update:
        """The slider, a filter, or what is shown was moved."""
        return self.found(asked, controls)

    @told
    def like(self, event: gr.EventData, asked: Asked | None, hits: Any, *controls: Any) -> Update:
        """A hit is to be searched for, too; the first one is the query."""
        hit = chosen(hits, event)
        if asked is None:
            clip = self.service.open_library(hit.path)
            return self.ask(clip, controls, part=(hit.start_s, hit.end_s))
        return self._another(hit, asked, controls, wanted=True)

    @told
    def unlike(self, event: gr.EventData, asked: Asked | None, hits: Any, *controls: Any) -> Update:
        """What is like a hit is to be avoided."""
        return self._another(chosen(hits, event), asked, controls, wanted=False)

    def _another(self, hit: Moment, asked: Asked | None, controls: Any, *, wanted: bool) -> Update:
        if asked is None:
            raise RSPNetError("choose what to search for first")
        example = Example(self.service.ask(self.service.open_library(hit.path), hit.start_s, hit.end_s), wanted)
        return self._with_examples(asked, controls, (*Controls(*controls).examples, example)[-MOST_EXAMPLES:])

    @told
    def leave_out(self, event: gr.EventData, asked: Asked | None, *controls: Any) -> Update:
        """A further clip is to be left out again."""
        examples = Controls(*controls).examples
        gone = chosen(examples, event)
        return self._with_examples(asked, controls, tuple(example for example in examples if example is not gone))

    def _with_examples(self, asked: Asked | None, controls: Any, examples: tuple[Example, ...]) -> Update:
        items = [(e.wanted, e.asked.clip.name, e.asked.start_s, e.asked.end_s) for e in examples]
        update = {self.parts.examples: examples, self.parts.also: cards.example_list(items)}
        by_query = {self.parts.show: gr.update(value=BY_QUERY)}
        now = Controls(*controls)._replace(show=BY_QUERY, examples=examples)
        return self.found(asked, now) | update | by_query

    @told
    def explain(self, event: gr.EventData, asked: Asked | None, hits: tuple[Hit, ...]) -> Update:
        """Why is this a hit?"""
        if asked is None:
            return {}
        hit = chosen(hits, event)
        strip, film = self.service.explain(asked, hit)
        name = self.service.shown_name(hit.path)
        return {self.parts.why: cards.explanation(hit, name, hits.index(hit), strip, film)}

    @told
    def draw_map(self, space: Any, colour: str, method: Any) -> Update:
        """Show the map, or another one."""
        group_of = self.service.groups[colour]
        names = [self.service.shown_name(path) for path in self.service.paths]
        groups = [group_of(path) for path in self.service.paths]
        return {self.parts.map: cards.library_map(self.service.layout(space, method), names, groups)}

    def _picked(self, clip: Clip) -> str | None:
        return clip.name if clip.name in pickable(self.service) else None

    def ask(self, clip: Clip, controls: Any, *, part: tuple[float, float] | None = None, keep: bool = False) -> Update:
        """Search with a part of a clip, by default its first seconds; `keep` leaves the sliders as they are."""
        length = clip.facts.duration_s
        start_s, end_s = part or (0.0, length if length <= FIRST_QUERY_S else FIRST_QUERY_S)
        asked = self.service.ask(clip, start_s, end_s)
        preview = self.service.preview(clip, asked.start_s, asked.end_s)
        shown = cards.player(
            clip.name,
            preview,
            key=key_of(moment_of(asked)),
            start_s=asked.start_s,
            end_s=asked.end_s,
            duration_s=length,
        )
        update = self.found(asked, Controls(*controls)._replace(show=BY_QUERY))
        update |= {self.parts.asked: asked, self.parts.player: shown, self.parts.show: gr.update(value=BY_QUERY)}
        update |= {self.parts.strip: self.strip(asked, Controls(*controls).judged)}
        if not keep:
            last = round(length + 0.05, 1)
            update |= {
                self.parts.trim: gr.update(visible=True),
                self.parts.start: gr.update(value=round(start_s, 1), maximum=last),
                self.parts.end: gr.update(value=round(end_s, 1), maximum=last),
            }
        return update

    def found(self, asked: Asked | None, controls: Any) -> Update:
        """The hits: by the query, of a class, or what to label next."""
        now, labelling = Controls(*controls), self.service.labelling
        no_end = now.longest is None or now.longest >= self.service.longest_s
        filters = Filters(now.folder or "", now.shortest or None, None if no_end else now.longest, bool(now.others))
        k = int(now.count)
        hits: Sequence[Moment] = ()
        if now.judged is not None and now.show == ASK_NEXT:
            hits = labelling.ask_next(now.judged, k=k, within=self.service.within(filters))
        elif now.judged is not None and now.show in now.judged.classes:
            hits = labelling.ranked(now.judged, now.show, k=k, within=self.service.within(filters))
        elif asked is not None:
            hits = self.service.hits(asked, filters, alpha=float(now.alpha), k=k, examples=now.examples)
        else:
            return {}
        names = [self.service.shown_name(hit.path) for hit in hits]
        previews = [self.service.preview_hit(hit) for hit in hits]
        lengths = [self.service.files[hit.path].duration_s for hit in hits]
        body = cards.hit_cards(hits, [key_of(hit) for hit in hits], names, previews, lengths) if hits else NOTHING_FOUND
        body += cards.rings(sorted({self.service.paths.index(hit.path) for hit in hits}))
        panel = self.panel(asked, tuple(hits), now.judged)
        return {self.parts.hits: tuple(hits), self.parts.cards: body, self.parts.why: "", self.parts.classes: panel}

    def panel(self, asked: Asked | None, hits: Sequence[Moment], judged: Judged | None, *, note: str = "") -> str:
        """The classes, and which of them the cards have."""
        labels = self.service.labelling.read()
        marks = [labels.at(hit.path, hit.start_s, hit.end_s) for hit in hits]
        own = None if asked is None or asked.clip.row is None else labels.at(*_part_of(asked))
        downloads = [(self.service.offer_labels(labels), "labels.csv")] if labels.marks else []
        if judged is not None:
            downloads.append((self.service.offer_classifier(judged), "classifier.npz"))
        return classes_panel(labels, marks, own, note=note, downloads=downloads)

    def strip(self, asked: Asked | None, judged: Judged | None) -> str:
        """The time of the query's video; nothing for an upload."""
        if asked is None or asked.clip.row is None:
            return ""
        labels, path = self.service.labelling.read(), asked.clip.row.path
        events = [] if judged is None else judged.events(path)
        part = asked.start_s, asked.end_s
        return strip(labels, labels.of(path), events, part, asked.clip.facts.duration_s)


def _part_of(asked: Asked) -> tuple[str, float, float]:
    assert asked.clip.row is not None
    return asked.clip.row.path, asked.start_s, asked.end_s


def moment_of(asked: Asked) -> Moment:
    """The query as a part of a video."""
    path = str(asked.clip.path) if asked.clip.row is None else asked.clip.row.path
    return Moment(path=path, start_s=asked.start_s, end_s=asked.end_s, score=1.0, fps=asked.clip.facts.fps)


def pickable(service: Service) -> list[str]:
    """The names to pick from; the others of a very large library are reached as hits."""
    return list(service.names)[: cards.MOST_POINTS]


def chosen(things: Any, event: gr.EventData, *, name: str = "index") -> Any:
    """The thing whose number a browser sent; a number is all that is believed of it."""
    index = getattr(event, name, None)
    if not isinstance(index, int) or not 0 <= index < len(things):
        raise RSPNetError("that is no longer there: search again")
    return things[index]
