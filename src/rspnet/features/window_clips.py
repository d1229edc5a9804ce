"""Reading the windows of videos: files to clips."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.core.errors import ConfigError
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import centre_square
from rspnet.data.cuts import Crop, Cut, Layout
from rspnet.features.windows import ClipSettings, Seconds, cut_windows
from rspnet.video.reader import VideoReader

WINDOWS_AT_ONCE = 16
"""Windows that are held as pixels together, whatever a video's length."""


@dataclass(frozen=True)
class CutVideo:
    """A video and its windows.

    Attributes:
        start_s: float64 [n], start of each window of the video, or of the part asked for.
        end_s: float64 [n], end of each window.
        duration_s: of the whole video.
        fps: average frames a second.
        width: in pixels.
        height: in pixels.
    """

    start_s: Seconds
    end_s: Seconds
    duration_s: float
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class WindowClips:
    """The clips of a video's windows, 16 windows at a time; the layout's facts are its `CutVideo`.

    Attributes:
        settings: how to cut.
        start_s: seconds from the video's first frame, where the part to cut starts.
        end_s: where it ends; None is the video's end.
    """

    settings: ClipSettings
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.settings.size

    @property
    def frames_at_once(self) -> int:
        """Frames of the clips of 16 windows."""
        return WINDOWS_AT_ONCE * self.settings.clips * self.settings.num_frames

    def __call__(self, video: VideoReader, _record: VideoRecord, /) -> Layout:
        """The windows of a video; no picture but the first is decoded.

        Raises:
            ConfigError: `start_s` lies behind the video's end.
        """
        times = video.times
        duration = float(times[-1] - times[0]) + 1 / video.fps
        if self.start_s >= duration:
            raise ConfigError(
                f"{str(video.path)!r}: the start, {self.start_s:g} s, lies behind the video's end, {duration:.2f} s"
            )
        windows = cut_windows(times, self.settings, fps=video.fps, start_s=self.start_s, end_s=self.end_s)
        crop = Crop(centre_square(video.height, video.width))
        step = WINDOWS_AT_ONCE * self.settings.clips
        parts = [windows.frames[first : first + step] for first in range(0, len(windows.frames), step)]
        facts = CutVideo(windows.start_s, windows.end_s, duration, video.fps, video.width, video.height)
        return Layout([Cut(part, [crop] * len(part)) for part in parts], facts)
