"""The one place where a command's options become an embedder."""

from __future__ import annotations

from typing import Literal

from rspnet.config.view import EvenViewConfig, ViewConfig
from rspnet.features.descriptor import Descriptor
from rspnet.features.embedder import Embedder, Stream
from rspnet.pretext.base import PretextModel


def open_embedder(
    model: PretextModel | str,
    view: ViewConfig,
    *,
    pooling: Literal["average", "max"] = "average",
    descriptor: Descriptor = "mean",
    stream: Stream = "both",
    set_threads: bool = True,
) -> Embedder:
    """An embedder for these options.

    Args:
        model: a model, or the path of a checkpoint.
        view: the options.
        pooling: see `Embedder`.
        descriptor: see `Embedder`.
        stream: see `Embedder`.
        set_threads: whether the cores are shared out, which sets torch's number of threads in this process; else
            `view.num_workers` processes read, or none where that is None.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: no such device, or a precision that it lacks.
    """
    embedder = Embedder(
        model,
        num_clips=view.num_clips if isinstance(view, EvenViewConfig) else 1,
        num_frames=view.num_frames,
        stride=view.stride,
        size=view.size,
        pooling=pooling,
        descriptor=descriptor,
        stream=stream,
        batch_size=view.batch_size,
        num_workers=view.num_workers or 0,
        device=view.device,
        precision=view.precision,
    )
    if set_threads:
        embedder.share_cores(view.num_workers)
    return embedder
