"""Options of `rspnet index`, `rspnet search` and `rspnet serve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rspnet.config.on_ray import RayViewConfig
from rspnet.config.rules import DEFAULT_WEIGHTS, Device, positional, require, several
from rspnet.config.view import ViewConfig

DEFAULT_ALPHA = 0.8
"""Share of motion in the score of a search: best for who does what, on training videos (docs/rspnet-small.md)."""


@dataclass(frozen=True)
class IndexConfig(ViewConfig, RayViewConfig):
    """Make a folder of videos searchable; run it again after changes, only new or changed videos are done.

    Example: rspnet index my_videos --out library
    """

    WRITES_TO_ADDRESSES: ClassVar[bool] = True

    videos: str = positional(
        "Folder of videos (those that have left it leave the library), or a list of them (.csv, .txt)."
    )
    out: str = "library"
    """The library: a folder, or an object-store address (s3://, gs://, az://)."""
    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    window_s: float = 2.0
    """Seconds of video behind one vector."""
    hop_s: float = 1.0
    """Seconds from one window to the next."""
    num_clips: int | None = None
    """Clips of a window, from the middles of as many equal parts. The default is 3 for a network with two streams,
    whose vectors of motion also hold how features vary over the clips, else 1."""

    dry_run: bool = False
    """Only say what it would cost in time and disk: a few seconds' sample, nothing is written."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_ray()
        require(self.window_s > 0, f"--window_s {self.window_s}: must be above 0")
        require(0 < self.hop_s <= self.window_s, f"--hop_s {self.hop_s}: must be above 0 and at most --window_s")


@dataclass(frozen=True)
class SearchConfig:
    """Find the parts of a library's videos that move like a query, look like it, or both; or those of a trained class.

    Examples: rspnet search library query.mp4 --alpha 1 --top 5 --out hits.png
              rspnet search library jump.mp4 other.mp4@3-5 --unlike fall.mp4
              rspnet search library --class classifier:jump
    """

    library: str = positional("The library that rspnet index made.")
    queries: list[str] = positional(
        "Videos that show what is wanted, each whole or as VIDEO@START-END (seconds); the scores of several are "
        "averaged.",
        nargs="*",
    )
    unlike: list[str] = several("Videos, or parts of them, that show what is not wanted: they lower the score.")
    class_: str | None = None
    """In place of queries: CLASSIFIER[:label], a run folder of rspnet classify fit and one of its classes; finds the
    likeliest moments."""
    start: float = 0.0
    """Second at which a single query starts in its video."""
    end: float | None = None
    """Second at which it ends; the default is the video's end."""
    alpha: float = DEFAULT_ALPHA
    """1 searches by motion, 0 by appearance; the score is alpha * motion + (1 - alpha) * appearance. The default finds
    best who does what (docs/rspnet-small.md)."""
    top: int = 10
    """Videos to find, or moments with --class."""
    same_part: bool = False
    """Find what the queries themselves show, too; else moments of the queries in their own videos are no hits."""
    not_same_video: bool = False
    """Leave out the queries' own videos (any file with the same content)."""
    weights: str | None = None
    """The library's weights, where they have moved since it was made."""
    out: str | None = None
    """hits.json, hits.png (a contact sheet), or a run folder for both; only printed without it."""
    json: bool = False
    """Print the hits as JSON, as hits.json has them."""
    explain: bool = False
    """Also show why the best hit is alike (roi.png and roi.mp4; needs a run folder and a single query)."""
    device: Device = "auto"
    """Where to run."""

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, f"--alpha {self.alpha}: must be from 0 (appearance) to 1 (motion)")
        require(self.top >= 1, f"--top {self.top}: must be at least 1")
        require(self.start >= 0, f"--start {self.start}: must not be negative")
        require(self.end is None or self.end > self.start, f"--end {self.end}: must be after --start {self.start}")
        folder = self.out is not None and not self.out.endswith((".json", ".png"))
        require(folder or not self.explain, "--explain: name a run folder with --out")
        asks = bool(self.queries) != (self.class_ is not None)
        require(asks, "queries: name at least one video, or a trained class with --class; not both")
        of_queries = ("unlike", "alpha", "same_part", "not_same_video")
        given = [name for name in of_queries if getattr(self, name) != getattr(SearchConfig, name, [])]
        require(self.class_ is None or not given, f"--{''.join(given[:1])}: is for queries, not for --class")
        single = len(self.queries) == 1
        whole = self.start == 0 and self.end is None
        require(single or whole, "--start, --end: are for a single query; give parts as VIDEO@START-END")
        require(single or not self.explain, "--explain: needs a single query")


@dataclass(frozen=True)
class ServeConfig:
    """Search a library in the browser: drop in a clip, weigh motion and appearance, see why; label what you see.

    Example: rspnet serve library
    """

    library: str = positional("The library that rspnet index made.")
    host: str = "127.0.0.1"
    """Address to listen at; any but this machine's own opens the library's videos to the network, without a login."""
    port: int = 7860
    """Port to listen at; 0 takes a free one."""
    max_upload_mb: int = 200
    """Largest clip that may be dropped in, in mebibytes."""
    labels: str | None = None
    """CSV with the columns path and label: the map can then be coloured by class."""
    marks: str | None = None
    """Folder for the labels that are made in the page; the default is labels in the library."""
    weights: str | None = None
    """The library's weights, where they have moved since it was made."""
    device: Device = "auto"
    """Where to run."""

    def __post_init__(self) -> None:
        require(0 <= self.port <= 65535, f"--port {self.port}: must be from 0 to 65535")
        require(self.max_upload_mb >= 1, f"--max_upload_mb {self.max_upload_mb}: must be at least 1")
