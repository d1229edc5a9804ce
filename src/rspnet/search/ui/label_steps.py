"""The steps of labelling, as a tab takes them: marking, undoing, taking in a table, training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.search.hits import Moment
from rspnet.search.ui.answers import Answer, PageAnswers, Tab, hit_meant, moment_of, shows_of
from rspnet.search.ui.label_cards import key_of

_STEPS_KEPT = 200
Said = Mapping[str, Any]
"""What a browser sent, of which nothing is believed."""


class LabelSteps:
    """What is done at each step; every one answers with the labels as they then are."""

    def __init__(self, answers: PageAnswers) -> None:
        self._answers, self._service, self._labelling = answers, answers.service, answers.service.labelling

    def mark(self, tab: Tab, said: Said) -> Answer:
        """A class was said of a hit, or (without `index`) of the query's part."""
        moment = self._meant(tab, said)
        classes, label = self._labelling.read().classes, said.get("label")
        if not isinstance(label, int) or not 0 <= label < len(classes):
            raise RSPNetError("there is no such class any more")
        change = self._labelling.mark(moment.path, moment.start_s, moment.end_s, classes[label])
        tab.note = f"{classes[label]}: {self._service.shown_name(moment.path)}" if change.added else "taken back"
        tab.history = [*tab.history, change][-_STEPS_KEPT:]
        return self._answers.labels(tab)

    def _meant(self, tab: Tab, said: Said) -> Moment:
        if said.get("index") is not None:
            return hit_meant(tab, said["index"], said.get("key"))
        if tab.asked is None or said.get("key") != key_of(moment_of(tab.asked)):
            raise RSPNetError("that is no longer there: search again")
        return moment_of(tab.asked)

    def new_class(self, tab: Tab, said: Said) -> Answer:
        """A class was named."""
        self._labelling.add_class(str(said.get("name", ""))[:40])
        tab.note = ""
        return self._answers.labels(tab)

    def undo(self, tab: Tab, _said: Said) -> Answer:
        """The last step of this tab is to be taken back."""
        tab.note = "undone" if tab.history else "nothing of yours to undo"
        if tab.history:
            self._labelling.undo(tab.history.pop())
        return self._answers.labels(tab)

    def take_in(self, tab: Tab, said: Said) -> Answer:
        """A table of labels was sent."""
        ticket, name = (str(said.get(part, "")) for part in ("ticket", "name"))
        file = self._service.uploaded_table(ticket, name)
        try:
            change, count = self._labelling.import_table(file)
        except RSPNetError as error:
            raise RSPNetError(_called(name, str(error), file)) from error
        if count:
            tab.history = [*tab.history, change][-_STEPS_KEPT:]
        tab.note = f"{counted(count, 'label')} taken in from {name}" if count else f"nothing new in {name}"
        return self._answers.labels(tab)

    def train(self, tab: Tab, _said: Said) -> Answer:
        """The classes are to be learned."""
        started = perf_counter()
        tab.judged = judged = self._labelling.train()
        tab.note = f"trained on {counted(len(judged.labels.marks), 'label')} in {perf_counter() - started:.1f} s"
        if lost := self._labelling.elsewhere():
            tab.note += f"; {lost}: left out"
        if not judged.grouped_by:
            tab.note += "; probabilities are rough: label each class in more than one place"
        return {**self._answers.labels(tab), "shows": shows_of(judged)}


def _called(name: str, error: str, file: Path) -> str:
    """What was said of an uploaded table, under the name that its user knows it by, said once."""
    written = repr(str(file))
    if written not in error:
        return f"{name}: {error}"
    return error.replace(f"labels {written}", name).replace(written, name)
