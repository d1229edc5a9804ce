"""What indexing will cost, from a few seconds of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich.console import Console

from rspnet.core.cost import CostMeter, cost_in_words
from rspnet.core.progress import print_note
from rspnet.core.ranks import world_size
from rspnet.engine.runtime import device_in_words
from rspnet.features.embedder import Embedded, Embedder
from rspnet.search.library_tables import About

_ROW_BYTES = 100
"""Of a window on disk without its vectors."""


class IndexCost:
    """Watches the parts of videos as they come.

    Args:
        sizes: path -> bytes of the videos to do; what a video costs is taken to grow with them.
        about: the library.
        embedder: what computes.
    """

    def __init__(self, sizes: Mapping[str, int], about: About, embedder: Embedder) -> None:
        self._sizes, self._clips = sizes, about.clip.clips
        lengths = about.motion + about.appearance + about.features
        total = sum(max(1, size) for size in sizes.values())
        self.meter = CostMeter(total, bytes_per_item=_ROW_BYTES + 4 * lengths)
        self._where = device_in_words(embedder.device)

    def take(self, embedded: Embedded) -> None:
        """Count a part of a video."""
        sample, features = embedded.sample, embedded.features
        windows = 0 if features is None else len(features.features) // self._clips
        self.meter.add(max(1, self._sizes[sample.record.name]) / max(1, sample.parts), windows)

    def tell_once(self, console: Console) -> None:
        """Say what is left, as soon as that can be told."""
        if cost := self.meter.foretold():
            # All ranks take in all parts, so their time together is the library's.
            print_note(console, f"still to do: {cost.as_text(what='windows', where=self._where, ranks=world_size())}")

    def whole(self) -> str:
        """All of it, in words."""
        return cost_in_words(self.meter.whole(), what="windows", where=self._where)


def preview_index(cost: IndexCost, parts: Callable[[], Iterable[Embedded]]) -> str:
    """What all of it costs, from some seconds of the parts of a sample; nothing is written."""
    for embedded in cost.meter.until_sampled(parts()):
        cost.take(embedded)
    return cost.whole()
