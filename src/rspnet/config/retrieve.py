"""Options of `rspnet retrieve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rspnet.config.labelled import DATASET, LabelledDataConfig
from rspnet.config.rules import DEFAULT_WEIGHTS, ByPlace, require
from rspnet.config.view import EvenViewConfig


@dataclass(frozen=True)
class RetrieveConfig(EvenViewConfig):
    """Score frozen features by video retrieval: do a test video's nearest training videos show its class?

    Example: rspnet retrieve UCF101 --weights runs/first --out runs/retrieve
    """

    BY_PLACE: ClassVar[ByPlace] = DATASET

    data: LabelledDataConfig
    """Labelled videos: the test split queries the training split."""
    weights: str = DEFAULT_WEIGHTS
    """Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."""
    out: str = "retrieve"
    """Run folder: result.json, per_class.csv, skipped.csv and config.yaml go there."""
    protocol: Literal["ours", "official", "paper"] = "ours"
    """ours: evaluation view of all videos, average pooling; paper: the same with max pooling; official (the public
    code): gallery seen through the training crops, its incomplete last batch left out, average pooling."""
    pooling: Literal["average", "max"] | None = None
    """Pooling of the last feature map; the default is the protocol's."""
    descriptor: Literal["mean", "mean_std", "mean_std_change"] | None = None
    """A video's vector. mean: of its clips' features; mean_std: followed by their standard deviation over the clips;
    mean_std_change: and by their change from clip to clip, of two earlier stages, too. The latter two are
    whitened over the gallery. The default is the protocol's: mean_std_change in ours, mean in the others."""
    stream: Literal["motion", "appearance", "both"] = "motion"
    """Of a network with two streams, the one whose features count; any other has one."""
    official_batch: int = 32
    """Videos per batch of the public code's gallery loader; only the official protocol leaves out what is over."""
    cache: str | None = None
    """Folder of features kept between runs; the default is rspnet/features in the user's cache folder."""
    seed: int = 0
    """Seed of the bootstrap intervals and of the official protocol's crops."""
    dry_run: bool = False
    """Print what would be done and what it will take (a few videos are tried), write nothing, and stop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.official_batch >= 1, f"--official_batch {self.official_batch}: must be at least 1")
