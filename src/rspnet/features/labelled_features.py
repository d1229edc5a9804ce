"""Features of labelled videos, from the cache where it has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from rspnet.core.cost import CostMeter, cost_in_words, sampled
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.ranks import gather_objects, rank, world_size
from rspnet.data.annotations import VideoRecord
from rspnet.data.cuts import Cutter
from rspnet.data.skipped import Skip, SkipLog, would_skip
from rspnet.engine.runtime import device_in_words
from rspnet.features.descriptor import RULE
from rspnet.features.embedder import Embedder
from rspnet.features.feature_cache import FeatureCache
from rspnet.features.video_stream import embedded_videos


def tensors_sha256(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers (names, shapes and bytes), whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def embedder_view(embedder: Embedder) -> dict[str, Any]:
    """Everything but weights and file that a feature depends on, for a stamp and as part of the cache's key."""
    model = embedder.model
    return {
        "backbone": model.backbone.name,
        "input": model.backbone.input,
        "num_frames": embedder.num_frames,
        "stride": embedder.stride,
        "fps": embedder.fps,
        "size": embedder.size,
        "num_clips": embedder.num_clips,
        "num_crops": 1,
        "pooling": embedder.pooling,
        "descriptor": embedder.descriptor,
        "descriptor_rule": RULE if embedder.descriptor == "mean_std_change" else None,
        "stream": embedder.stream_described,
        "precision": embedder.precision,
        **({"plugins_sha256": code} if (code := embedder.plugins_sha256) else {}),
    }


class FeatureMaker:
    """Descriptors of videos: from the cache where it has them, by the network where not.

    Args:
        embedder: network and view.
        cache_folder: see `FeatureCache`.
        log: gets every unreadable video.

    Attributes:
        tensors_sha256: of the network.
        from_cache: videos so far that the cache had.
    """

    def __init__(self, embedder: Embedder, *, cache_folder: Path, log: SkipLog) -> None:
        self.embedder, self.cache_folder, self.log = embedder, cache_folder, log
        self.tensors_sha256 = tensors_sha256(embedder.model.backbone)
        self.from_cache = 0

    def vectors(
        self,
        records: Sequence[VideoRecord],
        *,
        what: str,
        cutter: Cutter | None = None,
        view: Mapping[str, Any] | None = None,
    ) -> tuple[list[VideoRecord], NDArray[np.float32]]:
        """The readable records in their order and their vectors float32 [N, C].

        Args:
            records: the videos.
            what: what to call them in progress and errors.
            cutter: which clips are read of them; by default the embedder's evenly spaced squares.
            view: names all that `cutter` changes but for the videos' names, for the cache's key.

        Raises:
            RSPNetError: not one of them is readable.
        """
        cache = self._cache(view)
        known = gather_objects(_stored(cache, records, view) if rank() == 0 else {})[0]
        missing = [record for record in records if record.path not in known]
        self.from_cache += len(records) - len(missing)
        made = embedded_videos(
            self.embedder, missing, what=what, leave_out=lambda skip: self.log.add([skip]), cutter=cutter
        )
        for result in made:
            known[result.record.path] = self.embedder.describe(result.features)
            if rank() == 0:
                with suppress(OSError):  # the file has just gone
                    cache.put(result.record.path, known[result.record.path], name=_name_for(result.record, view))
        kept = [record for record in records if record.path in known]
        if not kept:
            raise RSPNetError(f"none of the {len(records)} {what} could be read: see {str(self.log.path)!r}")
        return kept, np.stack([known[record.path] for record in kept])

    def _cache(self, view: Mapping[str, Any] | None) -> FeatureCache:
        made_from = embedder_view(self.embedder) | dict(view or {})
        return FeatureCache(self.cache_folder, tensors_sha256=self.tensors_sha256, view=made_from)

    def foretell(self, records: Sequence[VideoRecord], *, view: Mapping[str, Any] | None = None) -> str:
        """What the vectors of these videos cost, in words, from some seconds of a few of them; nothing is kept.

        Args:
            records: the videos.
            view: as for `vectors`.
        """
        known = _stored(self._cache(view), records, view)
        missing = [record for record in records if record.path not in known]
        sample = sampled(missing)
        meter, bad = CostMeter(len(missing), bytes_per_item=0), list[Skip]()
        results = embedded_videos(self.embedder, sample, what="videos tried", leave_out=bad.append)
        # Ranks must agree on when to stop.
        for result in meter.until_sampled(results) if world_size() == 1 else results:
            meter.bytes_per_item = self.embedder.describe(result.features).nbytes
            meter.add(1, 1)
        counts = f"{counted(len(missing), 'video')} to do, {len(known)} from the cache"
        counts += would_skip(bad, tried=len(sample))
        if not missing:
            return counts
        where = device_in_words(self.embedder.device)
        return f"{counts}: {cost_in_words(meter.whole(), what='vectors', where=where, ranks=world_size())}"


def _stored(
    cache: FeatureCache, records: Sequence[VideoRecord], view: Mapping[str, Any] | None
) -> dict[Path, NDArray[np.float32]]:
    """The vectors that the cache has, by path."""
    found = {record.path: cache.get(record.path, name=_name_for(record, view)) for record in records}
    return {path: vector for path, vector in found.items() if vector is not None}


def _name_for(record: VideoRecord, view: Mapping[str, Any] | None) -> str:
    """What the cache knows a vector by besides the file's content: crops are drawn by a video's name."""
    return record.name if view else ""
