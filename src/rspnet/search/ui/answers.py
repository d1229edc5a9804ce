"""What the page is answered: a search by its address, an explanation, the map, the start page. Values for JSON.

A tab of a browser is known by a number it made up. Kept of it are its last hits, so that a browser names them by their
place and nothing that it says of a file is believed, and its steps of labelling, so that it undoes its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rspnet.config.search import DEFAULT_ALPHA
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.search.hits import Hit, Moment
from rspnet.search.label_log import Labels
from rspnet.search.library_map import methods
from rspnet.search.standing import Standing
from rspnet.search.ui import cards
from rspnet.search.ui.address import ASK_NEXT, CLASS, Address
from rspnet.search.ui.label_cards import classes_panel, key_of, strip
from rspnet.search.ui.labelling import Change, Judged
from rspnet.search.ui.service import FIRST_QUERY_S, LONGEST_QUERY_S, Asked, Clip, Service
from rspnet.video.reader import VIDEO_SUFFIXES

MOST_NAMES = 5_000
_SHELF = 24
_TABS = 500
_ASKED_KEPT = 256
_UPLOAD = "upload"
Answer = dict[str, Any]


@dataclass
class Tab:
    """What is kept of one tab; `note` is what came of its last step, `lock` lets its steps follow one another."""

    asked: Asked | None = None
    hits: Sequence[Moment] = ()
    judged: Judged | None = None
    history: list[Change] = field(default_factory=list)
    note: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class PageAnswers:
    """Answers for the page's requests.

    Args:
        service: the library.
        upload_mb: largest upload, to be told.
    """

    def __init__(self, service: Service, *, upload_mb: int) -> None:
        self.service = service
        self._upload_mb = upload_mb
        self._tabs: OrderedDict[str, Tab] = OrderedDict()
        self._asked: OrderedDict[tuple[str, float | None, float | None], Asked] = OrderedDict()
        self._lock = threading.Lock()

    def tab(self, name: str) -> Tab:
        """A tab by its number; the longest unused are forgotten."""
        with self._lock:
            tab = self._tabs.setdefault(name, Tab())
            self._tabs.move_to_end(name)
            while len(self._tabs) > _TABS:
                self._tabs.popitem(last=False)
            return tab

    # --- what does not depend on a search ---------------------------------------------------------------------------

    def about(self) -> Answer:
        """The library, and what can be chosen."""
        service = self.service
        return {
            "title": service.root.name or "library",
            "facts": cards.library_facts(
                videos=len(service.files),
                windows=len(service.library.store),
                duration_s=sum(row.duration_s for row in service.files.values()),
                skipped=service.skipped,
            ),
            "names": list(service.names)[:MOST_NAMES],
            "folders": service.folders(),
            "longest": service.longest_s,
            "mix": DEFAULT_ALPHA,
            "colours": list(service.groups),
            "methods": list(methods()),
            "uploadMB": self._upload_mb,
            "suffixes": sorted(VIDEO_SUFFIXES),
            "longestQuery": LONGEST_QUERY_S,
        }

    def shelf(self, first: int) -> Answer:
        """Some videos of the library from `first` on, as pictures to start with."""
        names = list(self.service.names)
        shown = names[max(first, 0) : max(first, 0) + _SHELF]
        posters = [self.service.poster(self.service.names[name]) for name in shown]
        more = max(first, 0) + len(shown)
        return {"cards": cards.shelf(shown, posters), "next": more if more < len(names) else None}

    def map(self, space: str, colour: str, method: str) -> Answer:
        """The points of the library's map, [x, y, name, number of the group, poster] each, and what they mean."""
        service = self.service
        if space not in ("motion", "appearance", "both") or colour not in service.groups or method not in methods():
            raise RSPNetError(f"there is no map {space!r} coloured by {colour!r}, drawn by {method!r}")
        layout = service.layout(space, method)
        groups = [service.groups[colour](path) for path in service.paths]
        names = [service.shown_name(path) for path in service.paths]
        shown, colours, note = cards.map_legend(layout, groups)
        number = {group: place for place, (group, _) in enumerate(colours)}
        last = len(colours) - 1
        return {
            "points": [
                [*layout.points[i].round(4).tolist(), names[i], number.get(groups[i], last), service.poster(path)]
                for i, path in enumerate(service.paths)
                if i in shown
            ],
            "groups": colours,
            "note": note,
        }

    # --- a search ---------------------------------------------------------------------------------------------------

    def search(self, tab: Tab, address: Address) -> Answer:
        """The hits of an address, and all on the page that goes with them."""
        service = self.service
        asked = self._open(address) if address.query else None
        if address.show:
            tab.judged = tab.judged or service.labelling.train()
        hits, standings = self._found(tab, asked, address)
        tab.asked, tab.hits = asked, hits
        names = [service.shown_name(hit.path) for hit in hits]
        shows = [] if tab.judged is None else shows_of(tab.judged)
        caution = tab.judged.caution() if tab.judged is not None and address.show else ""
        searched = [self._open(Address(e.name, e.start_s, e.end_s)) for e in address.examples]
        examples = [
            (e.wanted, e.name, one.start_s, one.end_s) for e, one in zip(address.examples, searched, strict=True)
        ]
        return {
            "query": self._query(asked),
            "player": self._player(asked),
            "cards": self._cards(hits, standings, names, caution) if hits else cards.NOTHING_FOUND,
            "hits": names,
            "list": self._list(hits, names) if hits else None,
            "news": _news(hits, names, asked, address),
            "also": cards.example_list(examples),
            "shows": shows,
            **self.labels(tab),
        }

    def _open(self, address: Address) -> Asked:
        """The query, as it was when it was last asked with where that is still known."""
        what = address.query, address.start_s, address.end_s
        with self._lock:
            known = self._asked.get(what)
        if known is not None:
            self.service.require(known.clip)
            return known
        clip = self._clip(address.query)
        length = clip.facts.duration_s
        start = address.start_s or 0.0
        if start >= length > 0:
            raise RSPNetError(f"{address.query[:200]}: the start, {start:g} s, lies behind the end, {length:.2f} s")
        start = min(start, max(length - 0.2, 0.0))
        first = start + (FIRST_QUERY_S if address.start_s is None else LONGEST_QUERY_S)
        asked = self.service.ask(clip, start, min(length if address.end_s is None else address.end_s, first))
        with self._lock:
            self._asked[what] = asked
            while len(self._asked) > _ASKED_KEPT:
                self._asked.popitem(last=False)
        return asked

    def _clip(self, query: str) -> Clip:
        kind, _, rest = query.partition(":")
        ticket, _, name = rest.partition(":")
        if kind == _UPLOAD and ticket and query not in self.service.names:
            return self.service.open_upload(ticket, name)
        if query not in self.service.names:
            raise RSPNetError(f"the library has no video {query[:200]}")
        return self.service.open_library(self.service.names[query])

    def _found(
        self, tab: Tab, asked: Asked | None, address: Address
    ) -> tuple[Sequence[Moment], Sequence[Standing | None]]:
        service, filters, k = self.service, address.filters, address.count
        if address.show and tab.judged is not None:
            within = service.within(filters)
            if address.show == ASK_NEXT:
                found = service.labelling.ask_next(tab.judged, k=k, within=within)
            else:
                label = address.show.removeprefix(CLASS)
                if label not in tab.judged.classes:
                    raise RSPNetError(f"there is no trained class {label[:40]!r}: train again")
                found = service.labelling.ranked(tab.judged, label, k=k, within=within)
            return found, [None] * len(found)
        if asked is None:
            return (), ()
        parts: dict[bool, list[Asked]] = {True: [asked], False: []}
        for example in address.examples:
            same = Address(example.name, example.start_s, example.end_s)
            parts[example.wanted].append(self._open(same))
        return service.hits(parts[True], filters, unlike=parts[False], alpha=address.alpha, k=k)

    def _query(self, asked: Asked | None) -> Answer | None:
        if asked is None:
            return None
        facts = asked.clip.facts
        frames = self.service.film_strip(asked.clip)
        return {
            "name": asked.clip.name,
            "start": asked.start_s,
            "end": asked.end_s,
            "duration": facts.duration_s,
            "frames": frames,
        }

    def _player(self, asked: Asked | None) -> str:
        if asked is None:
            return ""
        preview = self.service.preview(asked.clip, asked.start_s, asked.end_s)
        return cards.player(asked.clip.name, preview, key=key_of(moment_of(asked)), length=asked.clip.facts.duration_s)

    def _cards(
        self, hits: Sequence[Moment], standings: Sequence[Standing | None], names: Sequence[str], caution: str
    ) -> str:
        service = self.service
        shown = [
            cards.Card(
                hit=hit,
                standing=standing,
                key=key_of(hit),
                name=name,
                preview=service.preview_hit(hit),
                video=service.offer_video(hit.path),
                duration_s=service.files[hit.path].duration_s,
            )
            for hit, standing, name in zip(hits, standings, names, strict=True)
        ]
        return cards.hit_cards(shown, caution=caution)

    def _list(self, hits: Sequence[Moment], names: Sequence[str]) -> str:
        """The name of a table of the hits."""
        rows: list[Sequence[Any]] = [("rank", "video", "start_s", "end_s", "score", "motion", "appearance", "path")]
        for rank, (hit, name) in enumerate(zip(hits, names, strict=True), start=1):
            scores = (hit.motion, hit.appearance) if isinstance(hit, Hit) else ("", "")
            rows.append((rank, name, hit.start_s, hit.end_s, hit.score, *scores, hit.path))
        content = csv_text(rows)
        return self.service.previews.offer(("list", content), ".csv", lambda target: write_text(target, content))

    def why(self, tab: Tab, index: Any, key: Any) -> Answer:
        """Why is this a hit?"""
        hit = hit_meant(tab, index, key)
        if tab.asked is None or not isinstance(hit, Hit):
            raise RSPNetError("that is no longer there: search again")
        shown = self.service.explain(tab.asked, hit)
        return {"html": cards.explanation(self.service.shown_name(hit.path), int(index), shown)}

    # --- labels, as the page shows them -----------------------------------------------------------------------------

    def labels(self, tab: Tab) -> Answer:
        """The classes, which of them the cards have, and the query's video in time.

        Where labels cannot be read there are none, and the note says why: searching goes on.
        """
        service, asked, judged, note = self.service, tab.asked, tab.judged, tab.note
        try:
            labels = service.labelling.read()
        except RSPNetError as error:
            labels, note = Labels(), str(error)
        marks = [labels.at(hit.path, hit.start_s, hit.end_s) for hit in tab.hits]
        inside = None if asked is None or asked.clip.row is None else asked.clip.row.path
        own = None if asked is None or inside is None else labels.at(inside, asked.start_s, asked.end_s)
        downloads = [(service.offer_labels(labels), "labels.csv")] if labels.marks else []
        if judged is not None:
            downloads.append((service.offer_classifier(judged), "classifier.npz"))
        in_time = ""
        if asked is not None and inside is not None:
            marked, events = labels.of(inside), [] if judged is None else judged.events(inside)
            part = asked.start_s, asked.end_s
            if marked or events:
                in_time = strip(labels, marked, events, part, asked.clip.facts.duration_s)
        return {"panel": classes_panel(labels, marks, own, note=note, downloads=downloads), "strip": in_time}


def shows_of(judged: Judged) -> list[tuple[str, str]]:
    """What can be shown once classes are trained: what an address calls it, and what a page does."""
    return [*((CLASS + name, name) for name in judged.classes), (ASK_NEXT, "ask me next")]


def moment_of(asked: Asked) -> Moment:
    """The query as a part of a video."""
    path = str(asked.clip.path) if asked.clip.row is None else asked.clip.row.path
    return Moment(path=path, start_s=asked.start_s, end_s=asked.end_s, score=1.0, fps=asked.clip.facts.fps)


def hit_meant(tab: Tab, index: Any, key: Any) -> Moment:
    """The hit whose place and key a browser sent: what it showed, not what has come since.

    Raises:
        RSPNetError: there is no such hit (any more).
    """
    if not isinstance(index, int) or not 0 <= index < len(tab.hits) or key != key_of(tab.hits[index]):
        raise RSPNetError("that is no longer there: search again")
    return tab.hits[index]


def _news(hits: Sequence[Moment], names: Sequence[str], asked: Asked | None, address: Address) -> str:
    """What has been found, in words, for who does not see it appear."""
    if not hits:
        return "Nothing found"
    count = counted(len(hits), "hit")
    first = Path(names[0]).name
    if address.show == ASK_NEXT:
        return f"{counted(len(hits), 'moment')} to label next"
    if address.show:
        return f"{count} of {address.show.removeprefix(CLASS)}; first {first}"
    assert asked is not None
    part = f"{cards.seconds(asked.start_s)} to {cards.seconds(asked.end_s)}"
    return f"{count} for {Path(asked.clip.name).name}, {part}; first {first}"
