"""What happens at the page's events of labelling: values of parts in, new values of parts out."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import gradio as gr

from rspnet.core.errors import RSPNetError
from rspnet.search.hits import Moment
from rspnet.search.ui.handlers import ASK_NEXT, BY_QUERY, Controls, Handlers, Update, chosen, moment_of, told
from rspnet.search.ui.label_cards import key_of
from rspnet.search.ui.labelling import Change, Judged
from rspnet.search.ui.service import LONGEST_QUERY_S, Asked

_STEPS_KEPT = 200
History = tuple[Change, ...]


class LabelHandlers:
    """Marking, undoing, training, and moving about in a video's time; nothing of a user is kept here."""

    def __init__(self, page: Handlers) -> None:
        self.page, self.service, self.parts = page, page.service, page.parts
        self.labelling = page.service.labelling

    @told
    def open(self) -> Update:
        """The page was opened: labels are as they are by now."""
        return {self.parts.classes: self.page.panel(None, (), None)}

    @told
    def mark(
        self, event: gr.EventData, asked: Asked | None, hits: Any, judged: Judged | None, history: History
    ) -> Update:
        """A class was said of a hit, or of the query's part."""
        moment = self._meant(event, asked, hits)
        label = chosen(self.labelling.read().classes, event, name="label")
        change = self.labelling.mark(moment.path, moment.start_s, moment.end_s, label)
        note = f"{label}: {self.service.shown_name(moment.path)}" if change.added else "taken back"
        return self._changed(asked, hits, judged, (*history, change), note)

    def _meant(self, event: gr.EventData, asked: Asked | None, hits: Any) -> Moment:
        """The part whose key a browser sent: what it showed, not what has come since."""
        key = getattr(event, "key", None)
        if asked is not None and key == key_of(moment_of(asked)) and getattr(event, "index", None) is None:
            return moment_of(asked)
        moment: Moment = chosen(hits, event)
        if key != key_of(moment):
            raise RSPNetError("the hits have changed since: mark it again")
        return moment

    @told
    def new_class(
        self, event: gr.EventData, asked: Asked | None, hits: Any, judged: Judged | None, history: History
    ) -> Update:
        """A class was named."""
        self.labelling.add_class(str(getattr(event, "name", ""))[:40])
        return self._changed(asked, hits, judged, history, "")

    @told
    def undo(self, asked: Asked | None, hits: Any, judged: Judged | None, history: History) -> Update:
        """The last step of this user is to be taken back."""
        if not history:
            return self._changed(asked, hits, judged, history, "nothing of yours to undo")
        self.labelling.undo(history[-1])
        return self._changed(asked, hits, judged, history[:-1], "undone")

    @told
    def take_in(
        self, event: gr.EventData, asked: Asked | None, hits: Any, judged: Judged | None, history: History
    ) -> Update:
        """A table of labels was sent."""
        ticket, name = (str(getattr(event, part, "")) for part in ("ticket", "name"))
        file = self.service.uploaded_table(ticket, name)
        try:
            change, count = self.labelling.import_table(file)
        except RSPNetError as error:
            raise RSPNetError(str(error).replace(repr(str(file)), name)) from error
        note = f"{count} labels taken in from {name}" if count else f"nothing new in {name}"
        return self._changed(asked, hits, judged, (*history, change) if count else history, note)

    @told
    def train(self, asked: Asked | None, *controls: Any) -> Update:
        """The classes are to be learned; shows the first one's likeliest moments, or again what was shown."""
        started = perf_counter()
        judged = self.labelling.train()
        now = Controls(*controls)
        shown = [*judged.classes, ASK_NEXT, BY_QUERY]
        show = now.show if now.judged is not None and now.show in shown else shown[0]
        update = self.page.found(asked, now._replace(judged=judged, show=show))
        note = f"trained on {len(judged.labels.marks)} labels in {perf_counter() - started:.1f} s"
        if not judged.grouped_by:
            note += "; probabilities are rough: label each class in more than one place"
        hits = update.get(self.parts.hits, ())
        return update | {
            self.parts.judged: judged,
            self.parts.show: gr.update(choices=shown, value=show, visible=True),
            self.parts.strip: self.page.strip(asked, judged),
            self.parts.classes: self.page.panel(asked, hits, judged, note=note),
        }

    @told
    def seek(self, event: gr.EventData, asked: Asked | None, *controls: Any) -> Update:
        """A moment of the query's video is to be the query."""
        if asked is None:
            return {}
        start, end = (getattr(event, name, None) for name in ("start", "end"))
        if not (isinstance(start, int | float) and isinstance(end, int | float) and math.isfinite(start + end)):
            raise RSPNetError("that is no moment of the video")
        length = asked.clip.facts.duration_s
        first = min(max(float(start), 0.0), max(length - 0.2, 0.0))
        last = min(max(float(end), first + 0.2), first + LONGEST_QUERY_S, length)
        return self.page.ask(asked.clip, controls, part=(first, last))

    def _changed(self, asked: Asked | None, hits: Any, judged: Judged | None, history: History, note: str) -> Update:
        return {
            self.parts.history: history[-_STEPS_KEPT:],
            self.parts.classes: self.page.panel(asked, hits, judged, note=note),
            self.parts.strip: self.page.strip(asked, judged),
        }
