"""A library open for searching: its network turns query videos into vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rspnet.api.open_embedder import open_embedder
from rspnet.config.search import DEFAULT_ALPHA
from rspnet.config.view import ViewConfig
from rspnet.core.errors import CheckpointError, DecodeError, RSPNetError
from rspnet.core.files import sha256_of
from rspnet.core.urls import as_path, content_of
from rspnet.core.weights_files import weights_file
from rspnet.data.annotations import VideoRecord
from rspnet.data.video_clips import VideoClips
from rspnet.features.descriptor import usual_descriptor
from rspnet.features.embedder import Vectors
from rspnet.features.window_clips import CutVideo, WindowClips
from rspnet.search.hits import Hit
from rspnet.search.library_store import Store
from rspnet.search.query import ClipOf, Query, search, stored_query


class Library:
    """A library of videos that `rspnet index` made, open for searching.

    Args:
        uri: the folder or object-store address.
        weights: the checkpoint it was made with; by default where that was at the time.
        device: "auto", "cpu" or "cuda".
        num_workers: processes that read queries; 0 reads in this one, which then ends where a decoder crashes.

    Attributes:
        store: what is on disk.
        weights: the checkpoint.
        embedder: its network.

    Raises:
        RSPNetError: there is no library, or its checkpoint is missing or has changed.

    Example:
        >>> hits = rspnet.Library.open("library").search("query.mp4", alpha=1, k=5)
        >>> hits[0].path, hits[0].start_s, hits[0].end_s, hits[0].score
    """

    def __init__(
        self,
        uri: str,
        *,
        weights: str | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        num_workers: int = 0,
    ) -> None:
        self.store = Store(uri)
        self.weights = path = weights or self.store.about.model
        if not weights_file(path).is_file():
            raise CheckpointError(
                f"library {uri!r} needs its model, {path!r}, which is not there: name it with --weights "
                "(from Python: weights=)"
            )
        self.store.refuse_other_model(path, sha256_of(weights_file(path)))
        about = self.store.about
        clip = about.clip
        view = ViewConfig(
            num_frames=clip.num_frames,
            stride=clip.stride,
            fps=clip.fps or 0,
            size=clip.size,
            num_workers=num_workers,
            device=device,
            precision=about.precision,  # type: ignore[arg-type]
        )
        self.embedder = open_embedder(path, view, descriptor=usual_descriptor(clip.clips), set_threads=False)
        self.store.refuse_other_code(self.embedder.plugins_sha256)

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str],
        *,
        weights: str | os.PathLike[str] | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        num_workers: int = 0,
    ) -> Library:
        """Open a library; arguments and errors are those of the class."""
        path = None if weights is None else os.fspath(weights)
        return cls(os.fspath(uri), weights=path, device=device, num_workers=num_workers)

    def search(
        self,
        video: str | os.PathLike[str],
        *,
        start_s: float = 0.0,
        end_s: float | None = None,
        alpha: float = DEFAULT_ALPHA,
        k: int = 10,
        not_same_video: bool = False,
    ) -> list[Hit]:
        """The k videos with the part most like the query, best first.

        What the query itself shows, in its own video or a copy of it, is no hit.

        Args:
            video: the query's file.
            start_s: second at which the query starts.
            end_s: second at which it ends; None is the video's end.
            alpha: 1 searches by motion, 0 by appearance; the default finds best who does what.
            k: hits wanted; fewer if the library has fewer videos.
            not_same_video: leave out files whose content is the query's.

        Raises:
            DecodeError: the query cannot be read.
            RSPNetError: it starts behind its end.
        """
        return self.search_like([ClipOf(video, start_s, end_s)], alpha=alpha, k=k, not_same_video=not_same_video)

    def search_like(
        self,
        like: Sequence[ClipOf],
        unlike: Sequence[ClipOf] = (),
        *,
        alpha: float = DEFAULT_ALPHA,
        k: int = 10,
        not_same_video: bool = False,
    ) -> list[Hit]:
        """The k videos with the part most like some clips and least like others, best first.

        What the clips of `like` themselves show is no hit.

        Args:
            like: what is wanted, at least one clip; the scores of several are averaged.
            unlike: what is not; the mean of their scores is subtracted.
            alpha: 1 searches by motion, 0 by appearance; the default finds best who does what.
            k: hits wanted; fewer if the library has fewer videos.
            not_same_video: leave out files whose content is that of a clip of `like`.

        Raises:
            DecodeError: a clip cannot be read.
            RSPNetError: a clip starts before its video or ends before its own start, `like` is empty, or something
                else than a clip is given.
        """
        for clip in (*like, *unlike):
            if not isinstance(clip, ClipOf):
                raise RSPNetError(f"search_like takes lists of rspnet.ClipOf, not {clip!r}")
            clip.check()
        wanted, unwanted = (
            [
                stored_query(self.store, clip) or self.embed(clip.video, start_s=clip.start_s, end_s=clip.end_s)
                for clip in clips
            ]
            for clips in (like, unlike)
        )
        return search(self.store, wanted, unlike=unwanted, alpha=alpha, k=k, not_same_video=not_same_video)

    def embed(self, video: str | os.PathLike[str], *, start_s: float = 0.0, end_s: float | None = None) -> Query:
        """The windows of a query; raises as `search`."""
        ClipOf(video, start_s, end_s).check()
        record = VideoRecord(as_path(video), os.fspath(video))
        clips = VideoClips([record], WindowClips(self.store.about.clip, start_s=start_s, end_s=end_s))
        parts, cut = [], None
        for embedded in self.embedder.stream_parts(clips):
            if embedded.sample.skip is not None:
                raise DecodeError(as_path(video), embedded.sample.skip.reason)
            assert embedded.features is not None
            parts.append(embedded.features)
            cut = cut or embedded.sample.facts
        assert cut is not None
        return self._query(cut, [part.clip_vectors for part in parts], content=content_of(as_path(video)))

    def embed_clips(self, cut: CutVideo, clips: Tensor, *, content: str) -> Query:
        """The windows of a query that has been read elsewhere.

        Args:
            cut: the windows of the query.
            clips: uint8 [n * clips, T, S, S, 3], the clips of these windows.
            content: SHA-256 of the file.
        """
        parts = [self.embedder.encode(part) for part in torch.split(clips, self.embedder.batch_size)]
        return self._query(cut, parts, content=content)

    def _query(self, cut: CutVideo, parts: Sequence[tuple[Vectors, Vectors, Vectors]], *, content: str) -> Query:
        features, appearance, motion = (np.concatenate(part) for part in zip(*parts, strict=True))
        vectors = self.embedder.search_vectors((features, appearance, motion), self.store.about.clip.clips)
        return Query(cut.start_s, cut.end_s, *self.store.compared(vectors), content)
