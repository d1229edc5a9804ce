"""Encoding frames to small, valid video files, atomically."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError
from rspnet.core.files import atomic_path


@dataclass(frozen=True)
class Coding:
    """How a video file is encoded.

    Attributes:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        pixels: pixel format that is encoded; 4:2:0 ones need even sides.
        b_frames: most consecutive B-frames, or None for the encoder's own choice.
        tag: four letters that name the codec in the file, or None for the usual ones.
    """

    container: str
    codec: str
    options: Mapping[str, str]
    pixels: str = "yuv420p"
    b_frames: int | None = None
    tag: str | None = None


H264 = Coding("mp4", "libx264", {"preset": "veryfast", "crf": "16", "rc-lookahead": "0"})
XVID = Coding("avi", "mpeg4", {"qmin": "2", "qmax": "4"}, b_frames=2, tag="XVID")
_BY_ENDING = {".mp4": H264, ".avi": XVID}


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float,
    size: tuple[int, int] | None = None,
    coding: Coding | None = None,
) -> None:
    """Write RGB frames as H.264 in MP4 or as MPEG-4 part 2 (tag XVID, two B-frames) in AVI, by the ending of `path`.

    Quality is high (CRF 16, quantiser 2 to 4), so that coding leaves little trace of its own. Encoding uses one thread
    (callers run several files at once) and no look-ahead, with which x264 gives other bytes from run to run: here equal
    frames give equal files.

    Args:
        path: ends in .mp4 or .avi, unless `coding` says what to write.
        frames: uint8 [H, W, 3] each, all of one shape.
        fps: frames per second.
        size: (height, width) to resize to; None keeps the frames' own. Odd sides lose one pixel (4:2:0 needs even).
        coding: another coding than that of the ending.

    Raises:
        RSPNetError: another ending, no frames, or the file cannot be written.
    """
    path = Path(path)
    coding = coding or _BY_ENDING.get(path.suffix.lower())
    if coding is None:
        raise RSPNetError(f"cannot write {str(path)!r}: the ending must be one of {', '.join(sorted(_BY_ENDING))}")
    rate = Fraction(fps).limit_denominator(1001)
    stream: VideoStream | None = None
    converter = VideoReformatter()  # a frame's own would be made anew for each, which takes longer than converting
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format=coding.container) as container:
        for number, array in enumerate(frames):
            height, width = (side - side % 2 for side in (size or array.shape[:2]))
            stream = stream or _add_stream(container, coding, rate, (height, width))
            if size is None:
                array = np.ascontiguousarray(array[:height, :width])
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame = converter.reformat(frame, width, height, format=coding.pixels, interpolation="AREA")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        if stream is None:
            raise RSPNetError(f"cannot write {str(path)!r}: there are no frames")
        container.mux(stream.encode(None))


def _add_stream(container: OutputContainer, coding: Coding, rate: Fraction, size: tuple[int, int]) -> VideoStream:
    stream = container.add_stream(coding.codec, rate=rate, options=dict(coding.options))
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = size
    stream.pix_fmt = coding.pixels
    stream.codec_context.thread_count = 1
    if coding.tag is not None:
        stream.codec_context.codec_tag = coding.tag
    if coding.b_frames is not None:
        stream.codec_context.max_b_frames = coding.b_frames
    return stream
