"""The one place where a command's options become an embedder."""

from __future__ import annotations

from functools import partial
from typing import Literal

from rspnet.config.view import EvenViewConfig, ViewConfig
from rspnet.core.errors import ConfigError
from rspnet.core.ranks import world_size
from rspnet.core.ray_jobs import RayCluster
from rspnet.features.descriptor import Descriptor
from rspnet.features.embedder import Embedder
from rspnet.features.embedding_on_ray import embed_on_ray
from rspnet.features.spaces import Stream
from rspnet.pretext.base import PretextModel


def open_embedder(
    model: PretextModel | str,
    view: ViewConfig,
    *,
    pooling: Literal["average", "max"] = "average",
    descriptor: Descriptor | None = None,
    stream: Stream = "motion",
    cluster: RayCluster | None = None,
    set_threads: bool = True,
) -> Embedder:
    """An embedder for these options.

    Args:
        model: a model, or the path of a checkpoint.
        view: the options.
        pooling: see `Embedder`.
        descriptor: see `Embedder`.
        stream: see `Embedder`.
        cluster: where videos are embedded instead of here; then `view.num_workers` processes of each worker read.
        set_threads: whether the cores are shared out, which sets torch's number of threads in this process; else
            `view.num_workers` processes read, or none where that is None.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: no such device, a precision that it lacks, or a cluster together with several ranks.
    """
    embedder = Embedder(
        model,
        num_clips=view.num_clips if isinstance(view, EvenViewConfig) else 1,
        num_frames=view.num_frames,
        stride=view.stride,
        fps=view.fps,
        size=view.size,
        pooling=pooling,
        descriptor=descriptor,
        stream=stream,
        batch_size=view.batch_size,
        num_workers=view.num_workers or 0,
        device=view.device,
        precision=view.precision,
    )
    if cluster is not None:
        if world_size() > 1:
            raise ConfigError("--on ray under torchrun: start one process, the cluster has the others")
        embedder.num_workers = 1 if view.num_workers is None else view.num_workers
        embedder.elsewhere = partial(embed_on_ray, cluster=cluster)
    elif set_threads:
        embedder.share_cores(view.num_workers)
    return embedder
