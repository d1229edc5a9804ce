"""Views of a video: crop, resize and flip of decoded frames, by the cheaper of two exact routes.

Small pictures: whole frame to RGB once, crops by slicing, one batched uint8 resize. Large pictures: FFmpeg's filter
graph crops and scales before the colour conversion, so that only the small result is ever converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.video.colour_spaces import needs_formula, rgb_by_formula

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

GRAPH_PIXELS = 640 * 480
"""Pictures with more pixels than this take the filter graph (measured at 960x720: 40 against 63 ms for 32 frames)."""
RESIZE_BATCH = 16
# Without full_chroma_int the scaler halves the colour resolution of its *output*: 10 levels off on colourful texture.
SCALE_FLAGS = "bilinear+full_chroma_int"


@dataclass(frozen=True)
class View:
    """Frames of one video as one clip sees them.

    Attributes:
        indices: frames in the order wanted, repeats allowed.
        box: crop (top, left, height, width) in displayed pixels; None for the whole picture.
        size: (height, width) after the resize; None to keep the crop's.
        flip: mirror left and right.
    """

    indices: Sequence[int]
    box: Box | None = None
    size: tuple[int, int] | None = None
    flip: bool = False


class Converter:
    """Frames of one reader to RGB [H, W, 3]; keeps FFmpeg's conversion tables between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, quarter_turns: int, *, width: int) -> Pixels:
        """The displayed picture; the memory may belong to FFmpeg and is valid while the result is referenced.

        Args:
            frame: decoded.
            quarter_turns: counter-clockwise turns from the coded to the displayed picture.
            width: of the coded picture in square pixels.

        Raises:
            av.error.FFmpegError: FFmpeg cannot convert its pixel format or colours.
        """
        source = frame
        if needs_formula(frame):
            source = VideoFrame.from_ndarray(rgb_by_formula(frame), format="rgb24")
        picture = self._reformatter.reformat(source, width=width, format="rgb24", interpolation="BILINEAR", threads=1)
        return np.rot90(_as_array(picture), quarter_turns)


def _as_array(frame: VideoFrame) -> Pixels:
    plane = frame.planes[0]
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)


def check_view(view: View, *, num_frames: int, height: int, width: int) -> tuple[Box, tuple[int, int]]:
    """The view's box and size with defaults filled in.

    Raises:
        RSPNetError: an index, box or size outside the video.
    """
    for index in view.indices:
        if not 0 <= index < num_frames:
            raise RSPNetError(
                f"frame index {index} is out of range: the video has {counted(num_frames, 'frame')} (0-based)"
            )
    top, left, box_height, box_width = view.box or (0, 0, height, width)
    inside = top >= 0 and left >= 0 and top + box_height <= height and left + box_width <= width
    if not (inside and box_height > 0 and box_width > 0):
        raise RSPNetError(f"box={view.box} (top, left, height, width) must lie inside the {height}x{width} picture")
    size = view.size or (box_height, box_width)
    if min(size) < 1:
        raise RSPNetError(f"size={size} must be positive")
    return (top, left, box_height, box_width), size


class ViewSink:
    """Collects the frames of one view and gives the finished clip.

    Args:
        view: already checked.
        box, size: of `check_view`.
        quarter_turns: counter-clockwise turns from the coded to the displayed picture.
        square_width: of the coded picture in square pixels.
    """

    def __init__(self, view: View, *, box: Box, size: tuple[int, int], quarter_turns: int, square_width: int) -> None:
        self.view, self.box, self.size, self.quarter_turns = view, box, size, quarter_turns
        self.square_width = square_width
        order = sorted(set(view.indices))
        self._row_of_frame = {frame: row for row, frame in enumerate(order)}
        self.frames = frozenset(order)
        self._rows = np.empty((len(order), *size, 3), np.uint8)
        self._waiting: list[tuple[int, Pixels]] = []
        self._graph: Graph | None = None
        self._graph_key: tuple[Any, ...] | None = None

    def takes_graph(self, frame: VideoFrame) -> bool:
        """Whether the filter graph is the cheaper route for this frame."""
        is_large = frame.width * frame.height > GRAPH_PIXELS
        return is_large and self.size != self.box[2:] and not needs_formula(frame)

    def add_rgb(self, index: int, picture: Pixels) -> None:
        """Take the displayed picture [H, W, 3] of a frame."""
        top, left, height, width = self.box
        crop = picture[top : top + height, left : left + width]
        row = self._row_of_frame[index]
        if self.size == (height, width):
            self._rows[row] = crop
            return
        self._waiting.append((row, crop))
        if len(self._waiting) == RESIZE_BATCH:
            self._resize()

    def _resize(self) -> None:
        if not self._waiting:
            return
        crops = np.stack([crop for _, crop in self._waiting])
        self._rows[[row for row, _ in self._waiting]] = resize(crops, self.size)
        self._waiting.clear()

    def add_frame(self, index: int, frame: VideoFrame) -> None:
        """Take a decoded frame through the filter graph."""
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._graph is None or key != self._graph_key:
            self._graph, self._graph_key = self._make_graph(frame), key
        frame.pts = None
        self._graph.vpush(frame)
        self._rows[self._row_of_frame[index]] = np.rot90(_as_array(self._graph.vpull()), self.quarter_turns)

    def _make_graph(self, frame: VideoFrame) -> Graph:
        top, left, height, width = coded_box(self.box, frame.height, self.square_width, self.quarter_turns)
        out_height, out_width = self.size if self.quarter_turns % 2 == 0 else self.size[::-1]
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add(
                "buffer",
                f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
                f":colorspace={frame.colorspace}:range={frame.color_range}",
            ),
            graph.add("crop", f"{width}:{height}:{left}:{top}:exact=1"),
            graph.add("scale", f"{out_width}:{out_height}:flags={SCALE_FLAGS}"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        if self.square_width != frame.width:
            nodes.insert(1, graph.add("scale", f"{self.square_width}:{frame.height}:flags={SCALE_FLAGS}"))
        graph.link_nodes(*nodes).configure()
        return graph

    def clip(self) -> Pixels:
        """The clip [n, h, w, 3] in the order asked for."""
        self._resize()
        rows = self._rows[:, :, ::-1] if self.view.flip else self._rows
        order = [self._row_of_frame[index] for index in self.view.indices]
        if order == list(range(len(self._rows))):
            return np.ascontiguousarray(rows)
        return np.ascontiguousarray(rows[order])


def resize(pictures: Pixels, size: tuple[int, int]) -> Pixels:
    """Bilinear resize with antialiasing of uint8 pictures [n, H, W, 3] -> [n, h, w, 3]."""
    import torch

    # A channels_last view of uint8 takes torch's vectorised kernel: about 4 times cheaper than float NCHW.
    clip = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(clip, size=size, mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1).numpy()


def coded_box(box: Box, height: int, width: int, quarter_turns: int) -> Box:
    """The box in the coded picture (height, width) that `np.rot90(_, quarter_turns)` turns into the displayed `box`."""
    top, left, box_height, box_width = box
    match quarter_turns % 4:
        case 1:
            return left, width - top - box_height, box_width, box_height
        case 2:
            return height - top - box_height, width - left - box_width, box_height, box_width
        case 3:
            return height - left - box_width, top, box_width, box_height
        case _:
            return box
