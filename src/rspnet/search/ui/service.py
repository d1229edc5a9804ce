"""What the page can ask for, without any page: opening a clip, searching with it, explaining a hit, the map.

One service answers all users at once. It keeps nothing of any of them: what a user has opened is handed to and fro as
frozen values. The network is shared and works for one user at a time, behind a lock.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch

from rspnet.core.errors import DecodeError, RSPNetError
from rspnet.core.files import write_text
from rspnet.core.urls import as_path, is_url
from rspnet.data.annotations import read_list
from rspnet.data.list_rows import read_rows
from rspnet.features.roi_maps import Pair
from rspnet.search.hit_pictures import explain_clips, slowness
from rspnet.search.hits import Hit, Moment
from rspnet.search.label_log import Labels
from rspnet.search.lance import LABELS
from rspnet.search.library import Library
from rspnet.search.library_map import MapLayout, Method, lay_out
from rspnet.search.library_tables import FileRow
from rspnet.search.query import Query, search
from rspnet.search.standing import Standing, Yardstick
from rspnet.search.ui.decoding import (
    ClipFacts,
    ClipPart,
    look_at,
    read_explained,
    read_query,
    within_limit,
    write_film_strip,
    write_poster,
    write_preview,
)
from rspnet.search.ui.labelling import Judged, Labelling
from rspnet.search.ui.previews import BoundedFolder, Previews
from rspnet.show.roi_picture import write_film, write_strip
from rspnet.video.reader import VIDEO_SUFFIXES

LONGEST_QUERY_S = 60.0
FIRST_QUERY_S = 10.0
Space = Literal["motion", "appearance", "both"]
LABEL_SUFFIXES = frozenset({".csv", ".tsv"})
_PREVIEW_BYTES = 512 * 2**20
_UPLOADS_KEPT = 20


@dataclass(frozen=True)
class Clip:
    """A video that can be asked with: one of the library, or an upload.

    Attributes:
        name: what to call it on the page.
        path: its file on the server.
        row: its row in the library; None for an upload.
        facts: length and size.
    """

    name: str
    path: Path
    row: FileRow | None
    facts: ClipFacts


@dataclass(frozen=True)
class Asked:
    """A part of a clip, as the library sees it."""

    clip: Clip
    start_s: float
    end_s: float
    query: Query


@dataclass(frozen=True)
class Filters:
    """Which videos may be found: below a folder ("" is all), of some length in seconds, not the query's own."""

    folder: str = ""
    shortest_s: float | None = None
    longest_s: float | None = None
    other_videos: bool = False


class Service:
    """A library and the private folder its page works in.

    Args:
        library: open for searching.
        folder: private and empty; whoever made it removes it.
        upload_bytes: largest upload.
        marks: folder of the labels that are made in the page; by default `labels` in a library that is a folder.

    Attributes:
        files: the library's readable videos by path.
        names: their paths by what the page calls them.
        root: the folder that holds all of them.
        longest_s: length of the longest of them.
        paths: of the videos on the map, in its order.
        groups: what the map can be coloured by: name, and the group of a video's path.
        previews: all that can be watched.
        labelling: the labels of the library.
    """

    def __init__(self, library: Library, folder: Path, *, upload_bytes: int, marks: Path | None = None) -> None:
        self.library = library
        known = library.store.files()
        self.files = {path: row for path, row in known.items() if row.clips}
        self.skipped = len(known) - len(self.files)
        self.root = _common_folder(self.files)
        self.names = {self.shown_name(path): path for path in sorted(self.files)}
        self._shown = {path: name for name, path in self.names.items()}  # a filter asks for all of them
        self.previews = Previews(folder / "previews", limit_bytes=_PREVIEW_BYTES)
        self.longest_s = max((row.duration_s for row in self.files.values()), default=0.0)
        self.groups = self._groups()
        self._uploads = BoundedFolder(folder / "uploads", limit_bytes=_UPLOADS_KEPT * upload_bytes)
        self._model = threading.Lock()
        self.paths, self._means = library.store.video_means()
        self.layout = cache(self._layout)
        self._yardstick = Yardstick(library.store, self.files)
        self._offered: dict[str, str] = {}
        if marks is None and not is_url(library.store.uri):
            marks = Path(library.store.uri) / LABELS
        self.labelling = Labelling(library, self.names, marks)

    def shown_name(self, path: str) -> str:
        """A video of the library, below the folder that holds all of it."""
        place = as_path(path)
        return place.relative_to(self.root).as_posix() if place.is_relative_to(self.root) else path

    def folders(self) -> list[str]:
        """All folders with videos somewhere below them, without the one that holds all."""
        found = {parent.as_posix() for name in self.names for parent in Path(name).parents}
        return sorted(found - {"."})

    # --- the query --------------------------------------------------------------------------------------------------

    def new_upload(self, name: str) -> Path:
        """Where to write an upload that its user calls `name`; say `uploaded` once it is whole.

        Raises:
            RSPNetError: its ending is no video's.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in VIDEO_SUFFIXES | LABEL_SUFFIXES:
            raise RSPNetError(f"{name} does not end like a video ({', '.join(sorted(VIDEO_SUFFIXES))})")
        return self._uploads.folder / (secrets.token_hex(16) + suffix)

    def uploaded(self, path: Path) -> str:
        """Count in a whole upload; returns the ticket to open it with."""
        self._uploads.add(path.name)
        return path.name

    def forget_unfinished(self, path: Path) -> None:
        """Remove an upload that was not `uploaded`."""
        if self._uploads.find(path.name) is None:
            path.unlink(missing_ok=True)

    def open_upload(self, ticket: str, name: str) -> Clip:
        """An uploaded file, by its ticket and by what its user calls it.

        Raises:
            RSPNetError: there is no such upload (any more), or it cannot be decoded.
        """
        path = self._uploads.find(ticket)
        if path is None:
            raise _gone(name)
        with _called(name):
            return Clip(name, path, None, within_limit(look_at, path, path))

    def uploaded_table(self, ticket: str, name: str) -> Path:
        """An uploaded table of labels; raises RSPNetError where there is none (any more)."""
        path = self._uploads.find(ticket)
        if path is None or path.suffix not in LABEL_SUFFIXES:
            raise _gone(name)
        return path

    def offer_labels(self, labels: Labels) -> str:
        """The name of a file of these labels."""
        return self.previews.offer(("labels", labels), ".csv", lambda target: write_text(target, labels.as_csv()))

    def offer_classifier(self, judged: Judged) -> str:
        """The name of a file of what was trained, for `rspnet classify run` and `rspnet search --class`."""
        return self.previews.offer(("classifier", judged.labels), ".npz", judged.classifier.save)

    def open_library(self, path: str) -> Clip:
        """A video of the library.

        Raises:
            RSPNetError: the library has no such video, or its file is not what was indexed.
        """
        row = self._indexed(path)
        with _called(self.shown_name(path)):
            facts = within_limit(look_at, as_path(path), as_path(path))
        return Clip(self.shown_name(path), as_path(path), row, facts)

    def ask(self, clip: Clip, start_s: float, end_s: float) -> Asked:
        """Turn a part of a clip into vectors.

        Raises:
            RSPNetError: the part is empty, too long, or cannot be decoded.
        """
        end_s = min(end_s, clip.facts.duration_s)
        if not 0 <= start_s < end_s:
            raise RSPNetError(f"the part from {start_s:.1f} s to {end_s:.1f} s is empty: let it end after it starts")
        if end_s - start_s > LONGEST_QUERY_S + 1e-6:
            raise RSPNetError(f"the part is {end_s - start_s:.0f} s long: choose {LONGEST_QUERY_S:.0f} s or less")
        part = ClipPart(self.require(clip), start_s, end_s)
        with _called(clip.name):
            read = within_limit(read_query, (part, self.library.store.about.clip), part.path)
        with self._model:
            query = self.library.embed_clips(read.video, torch.from_numpy(read.clips), content=read.content)
        return Asked(clip, start_s, end_s, query)

    # --- the answers ------------------------------------------------------------------------------------------------

    def hits(
        self, like: Sequence[Asked], filters: Filters, *, alpha: float, k: int, unlike: Sequence[Asked] = ()
    ) -> tuple[list[Hit], list[Standing]]:
        """The k best videos that pass the filters, and where they stand among all videos of the library."""
        wanted, unwanted = ([asked.query for asked in parts] for parts in (like, unlike))
        how: dict[str, Any] = {"unlike": unwanted, "alpha": alpha, "not_same_video": filters.other_videos}
        hits = search(self.library.store, wanted, k=k, within=self.within(filters), same_part=True, **how)
        return hits, self._yardstick.standings(hits, wanted, **how)

    def within(self, filters: Filters) -> list[str] | None:
        """The videos that pass the filters; None where all do."""
        return None if _lets_all_pass(filters) else [path for path in self.files if self._passes(path, filters)]

    def preview(self, clip: Clip, start_s: float, end_s: float) -> str:
        """The name of the preview of a part of a clip; at most a minute of it."""
        part = ClipPart(clip.path, start_s, min(end_s, start_s + LONGEST_QUERY_S))
        return self.previews.offer(part, ".mp4", partial(self._cut, clip, part))

    def preview_hit(self, hit: Moment) -> str:
        """The name of a hit's preview."""
        row = self.files[hit.path]
        facts = ClipFacts(row.duration_s, hit.fps, 0, 0)
        return self.preview(Clip(hit.path, as_path(hit.path), row, facts), hit.start_s, hit.end_s)

    def poster(self, path: str) -> str:
        """The name of a picture of a video of the library."""
        return self.previews.offer(("poster", path), ".jpg", partial(self._poster, path))

    def film_strip(self, clip: Clip) -> str:
        """The name of a row of pictures of a whole clip."""
        return self.previews.offer(("strip", clip.path), ".jpg", partial(self._strip, clip))

    def offer_video(self, path: str) -> str | None:
        """A name by which a video of the library can be opened as it is; None for one that is not on this machine."""
        if is_url(path):
            return None
        name = self.previews.name_of(("video", path), Path(path).suffix)
        self._offered[name] = path
        return name

    def offered_video(self, name: str) -> Path | None:
        """The video of such a name; None where none was given out.

        Raises:
            RSPNetError: its file is not what was indexed.
        """
        path = self._offered.get(name)
        return None if path is None else as_path(self._indexed(path).path)

    def explain(self, asked: Asked, hit: Hit) -> tuple[str, str]:
        """The names of a picture (made when it is looked at) and a film of where query and hit are alike.

        Raises:
            RSPNetError: a file has gone, or the library's model has not the two heads.
        """
        what = (asked.clip.path, asked.start_s, asked.end_s, hit)
        strip = self.previews.offer(what, ".png", partial(self._draw, asked, hit, write_strip))
        draw = partial(write_film, slow=slowness(self.library))
        film = self.previews.offer(what, ".mp4", partial(self._draw, asked, hit, draw))
        self.previews.get(film)
        return strip, film

    def _draw(self, asked: Asked, hit: Hit, draw: Callable[[Path, Pair, Any], None], target: Path) -> None:
        self._indexed(hit.path)
        part = ClipPart(self.require(asked.clip), asked.start_s, asked.end_s)
        with _called(f"{asked.clip.name} or {self.shown_name(hit.path)}"):
            first, second = within_limit(read_explained, (part, hit, self.library.store.about.clip), part.path)
        clips = (replace(first, path=Path(asked.clip.name)), second)  # an upload's file has a made-up name
        with self._model:
            draw(target, clips, explain_clips(self.library, clips))

    # --- the map ----------------------------------------------------------------------------------------------------

    def _layout(self, space: Space, method: Method) -> MapLayout:
        """The points of `paths`, near each other where the videos' motion, appearance, or both are alike."""
        motion, appearance = self.library.store.parts_of(self._means)
        return lay_out({"motion": motion, "appearance": appearance, "both": self._means}[space], method)

    def colour_by_class(self, table: Path) -> None:
        """Let the map be coloured by the classes of a list, which names videos as `read_list` or as the page does.

        Raises:
            RSPNetError: as `read_list`.
        """
        as_here = any(row.path in self.names for row in read_rows(table))
        records = read_list(table, self.root if as_here else None)
        classes = {str(record.path.absolute()): record.class_name or str(record.label) for record in records}
        self.groups = {"class": lambda path: classes.get(path, "no class"), **self.groups}

    def _groups(self) -> dict[str, Callable[[str], str]]:
        """What the map can be coloured by: name, and the group of a video's path."""
        found: dict[str, Callable[[str], str]] = {"folder": lambda path: self._folder_of(path).as_posix()}
        if any(len(Path(name).parts) > 2 for name in self.names):
            found["top folder"] = lambda path: self._folder_of(path).parts[0]
        return found

    def _folder_of(self, path: str) -> Path:
        """A video's folder below the one that holds all, or that one's name."""
        folder = Path(self.shown_name(path)).parent
        return folder if folder.parts else Path(self.root.name)

    # --- files ------------------------------------------------------------------------------------------------------

    def _passes(self, path: str, filters: Filters) -> bool:
        seconds = self.files[path].duration_s
        long_enough = filters.shortest_s is None or seconds >= filters.shortest_s
        short_enough = filters.longest_s is None or seconds <= filters.longest_s
        below = not filters.folder or self._shown[path].startswith(filters.folder + "/")
        return long_enough and short_enough and below

    def _indexed(self, path: str) -> FileRow:
        """The row of a video whose file still is what was indexed: nothing else is ever opened."""
        row = self.files.get(path)
        if row is None:
            raise RSPNetError("the library has no such video")
        if not row.is_unchanged():
            raise RSPNetError(
                f"{self.shown_name(path)} has changed or gone since it was indexed: run rspnet index again"
            )
        return row

    def require(self, clip: Clip) -> Path:
        """The file of a clip that was opened before.

        Raises:
            RSPNetError: it has gone or changed since.
        """
        if clip.row is not None:
            self._indexed(clip.row.path)
        elif self._uploads.find(clip.path.name) is None:
            raise _gone(clip.name)
        return clip.path

    def _cut(self, clip: Clip, part: ClipPart, target: Path) -> None:
        self.require(clip)
        within_limit(write_preview, (part, target), part.path)

    def _poster(self, path: str, target: Path) -> None:
        video = as_path(self._indexed(path).path)
        within_limit(write_poster, (video, target), video)

    def _strip(self, clip: Clip, target: Path) -> None:
        within_limit(write_film_strip, (self.require(clip), target), clip.path)


@contextmanager
def _called(name: str) -> Iterator[None]:
    """What a decoder says of a file, under the name that the user knows the file by."""
    try:
        yield
    except DecodeError as error:
        raise RSPNetError(f"{name} cannot be read: {error.why}") from error


def _gone(name: str) -> RSPNetError:
    return RSPNetError(f"{name} was uploaded long ago and has been removed: drop it in again")


def _lets_all_pass(filters: Filters) -> bool:
    return not filters.folder and filters.shortest_s is None and filters.longest_s is None


def _common_folder(paths: Iterable[str]) -> Path:
    """The folder that holds all of some files; the current one, which names nothing, where disk and stores mix."""
    try:
        return as_path(os.path.commonpath([as_path(path).parent for path in paths]))
    except ValueError:
        return Path()
