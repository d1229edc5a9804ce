"""The one loop from videos to their features, with progress; what cannot be read goes where the caller says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rspnet.core.progress import track
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import Cutter
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips
from rspnet.features.embedder import Embedder, VideoFeatures


def embedded_videos(
    embedder: Embedder,
    records: Sequence[VideoRecord],
    *,
    what: str,
    leave_out: Callable[[Skip], object],
    cutter: Cutter | None = None,
) -> Iterator[VideoFeatures]:
    """Features of every readable video in turn (a collective call: every rank gets all of them).

    Args:
        embedder: the network.
        records: the videos.
        what: what to call them in the progress.
        leave_out: called with each video that cannot be read; what it raises ends the loop.
        cutter: which clips are read; by default the embedder's evenly spaced ones.
    """
    if not records:
        return
    clips = VideoClips(records, cutter or embedder.cutter())
    for result in track(embedder.stream_clips(clips), total=len(records), what=what):
        if isinstance(result, Skip):
            leave_out(result)
        else:
            yield result
