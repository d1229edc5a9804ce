"""Pictures of where a query and a hit are alike."""

from __future__ import annotations

from pathlib import Path

from rspnet.core.urls import as_path
from rspnet.data.cuts import ClipShape
from rspnet.data.reading import contained
from rspnet.features.roi_maps import Explanation, Pair, explain, read_clip
from rspnet.features.windows import ClipSettings
from rspnet.pretext.create import require_heads
from rspnet.search.hits import Hit
from rspnet.search.library import Library
from rspnet.search.query import ClipOf
from rspnet.show.roi_picture import write_pictures
from rspnet.video.reader import open_video


def write_explanation(folder: Path, library: Library, query: ClipOf, hit: Hit) -> None:
    """Write the pictures of where a query and a hit are alike into a folder.

    Raises:
        RSPNetError: a video cannot be read, or the library's model has not the two heads.
    """
    video = as_path(query.video)
    clips = contained(_explained, (video, (query.start_s, query.end_s), hit, library.store.about.clip), video)
    write_pictures(folder, clips, explain_clips(library, clips), slow=slowness(library))


def _explained(asked: tuple[Path, tuple[float, float | None], Hit, ClipSettings]) -> Pair:
    return clips_to_explain(*asked)


def clips_to_explain(query: Path, part: tuple[float, float | None], hit: Hit, settings: ClipSettings) -> Pair:
    """The clips in the middles of a query and of a hit.

    Args:
        query: the query's video.
        part: start and end of the query in it, in seconds; an end of None is the video's.
        hit: what was found.
        settings: how the library cuts clips.

    Raises:
        DecodeError: a video cannot be read.
    """
    shape = ClipShape(settings.num_frames, settings.stride, settings.size, settings.fps)
    half_s = settings.num_frames * settings.stride / 2 / (settings.fps or hit.fps)
    middles = (_middle(query, *part), (hit.start_s + hit.end_s) / 2)
    first, second = (
        read_clip(path, shape, start_s=max(0.0, middle - half_s))
        for path, middle in zip((query, as_path(hit.path)), middles, strict=True)
    )
    return first, second


def explain_clips(library: Library, clips: Pair) -> tuple[Explanation, Explanation]:
    """Where two clips are alike, by the RoI maps of both heads.

    Raises:
        RSPNetError: the library's model has not the two heads.
    """
    return explain(require_heads(library.embedder.model, task="search"), *clips)


def slowness(library: Library) -> float:
    """How much slower than the video a film of the library's clips is shown."""
    return 4 / library.store.about.clip.stride


def _middle(path: Path, start_s: float, end_s: float | None) -> float:
    with open_video(path) as video:
        return (start_s + (float(video.times[-1] - video.times[0]) if end_s is None else end_s)) / 2
