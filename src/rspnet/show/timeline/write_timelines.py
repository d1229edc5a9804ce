"""The files of a run over many videos: probabilities as they come, then the events in every format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rspnet.core.files import atomic_path, utf8, write_text
from rspnet.features.event_labels import BACKGROUND
from rspnet.features.read import StoredVideo
from rspnet.features.timeline import Event
from rspnet.show.timeline.formats import VideoEvents, as_boris, as_csv, as_elan, as_webvtt, event_rows, file_stems
from rspnet.show.timeline.page import write_timeline_page

WINDOWS, EVENTS, PAGE = "windows.parquet", "events.csv", "timeline.html"
_ROWS = 4096
_EVENT_COLUMNS = {
    "path": pa.string(),
    "label": pa.string(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
    "probability": pa.float64(),
}


class TimelineFiles:
    """Writes the time lines of videos into a folder; use it in a `with` statement.

    windows.parquet grows video by video (path, start_s, end_s, and a probability p_CLASS for every class); events.csv,
    events.parquet, boris.tsv, subtitles/*.vtt, elan/*.eaf and timeline.html are written when all videos are through.
    Nothing is left of it after an error.

    Args:
        folder: the run folder.
        names: of the classes.
        title: of the page.
    """

    def __init__(self, folder: Path, names: Sequence[str], *, title: str) -> None:
        self.folder, self.names, self.title = folder, list(names), title
        self.videos: list[VideoEvents] = []
        self.windows = 0
        columns = [("name", pa.string()), ("path", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]
        self._schema = pa.schema([*columns, *((f"p_{name}", pa.float32()) for name in self.names)])
        self._waiting: list[pa.Table] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        temporary = self._open.enter_context(atomic_path(self.folder / WINDOWS))
        self._writer = self._open.enter_context(pq.ParquetWriter(temporary, self._schema, compression="zstd"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._open.__exit__(kind, error, trace)
        if error is None:
            self._write_events()

    def add(self, video: StoredVideo, probabilities: NDArray[np.float64], events: Sequence[Event]) -> None:
        """Add a video.

        Args:
            video: its windows.
            probabilities: [n, C] of them.
            events: by their start.
        """
        count = len(video.start_s)
        texts = [pa.repeat(pa.scalar(utf8(text), pa.string()), count) for text in (video.name, video.path)]
        chances = [pa.array(column, pa.float32()) for column in probabilities.T]
        times = [pa.array(video.start_s), pa.array(video.end_s)]
        self._waiting.append(pa.Table.from_arrays([*texts, *times, *chances], schema=self._schema))
        self.windows += count
        if sum(table.num_rows for table in self._waiting) >= _ROWS:
            self._flush()
        self.videos.append(VideoEvents(video.name, video.path, float(video.end_s[-1]), video.fps, list(events)))

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._waiting = []

    def _remove_old(self) -> None:
        """Remove the tracks of the result that this one replaces: videos of that run may not be in this one."""
        if (self.folder / EVENTS).is_file():
            for name, ending in (("subtitles", ".vtt"), ("elan", ".eaf")):
                for file in (self.folder / name).rglob(f"*{ending}"):
                    file.unlink(missing_ok=True)

    def _write_events(self) -> None:
        videos = sorted(self.videos, key=lambda video: video.path)
        self._remove_old()
        write_text(self.folder / EVENTS, as_csv(videos))
        write_text(self.folder / "boris.tsv", as_boris(videos))
        rows = [dict(zip(_EVENT_COLUMNS, (utf8(row[0]), *row[1:]), strict=True)) for row in event_rows(videos)]
        with atomic_path(self.folder / "events.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(_EVENT_COLUMNS.items()))), temporary)
        for video, stem in zip(videos, file_stems([video.name for video in videos]), strict=True):
            write_text(self.folder / "subtitles" / f"{stem}.vtt", as_webvtt(video))
            write_text(self.folder / "elan" / f"{stem}.eaf", as_elan(video))
        shown = [name for name in self.names if name != BACKGROUND]
        write_timeline_page(self.folder / PAGE, videos, shown, title=self.title)
