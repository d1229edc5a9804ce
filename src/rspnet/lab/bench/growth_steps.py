"""The steps that `rspnet bench growth` measures: each looks at all videos of a set, none decodes them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.datasets import ClipPairDataset
from rspnet.data.loader import make_loader
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairSampler
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.data.synthetic.procedural import plan_clips, write_clip
from rspnet.data.video_clips import EvalSample, VideoClips
from rspnet.features.embedder import Embedded, Embedder, VideoFeatures
from rspnet.features.embedding import sliding_view, stamp_for
from rspnet.features.labelled_features import FeatureMaker
from rspnet.features.linear_probe import fit_linear, nearest_scores
from rspnet.features.read import STORE
from rspnet.features.spaces import unit_rows
from rspnet.features.store import FeatureStore
from rspnet.features.windows import ClipSettings
from rspnet.lab.bench.bench_search import random_checkpoint
from rspnet.runs.embed_run import Embedding, run_embedding
from rspnet.runs.resume import videos_sha256
from rspnet.search.index import update
from rspnet.search.library_store import Store
from rspnet.search.library_tables import About
from rspnet.search.query import Query, search
from rspnet.video.reader import VideoReader

BACKBONE = "r3d_10_slim"
_LINKS, _VIDEOS_A_FOLDER = 50_000, 1000
"""Names of one file at most (file systems have a limit), and of a folder."""
_FRAMES, _FPS, _WINDOW_S = 50, 25.0, 2.0
_CLIP, _BATCH, _WORKERS, _QUERIES, _TESTS, _DIM = 4, 4, 2, 20, 100, 16


class Workers(NamedTuple):
    """What other processes of a step took: CPU seconds, and MiB of memory that is theirs alone."""

    cpu_s: float = 0.0
    mib: float = 0.0


@dataclass(frozen=True)
class GrowthPlace:
    """Where a set of videos is, and what steps make of it.

    Attributes:
        model: a checkpoint of a network with random weights.
        folder: holds `videos` and what steps make.
        count: number of videos.
    """

    model: Path
    folder: Path
    count: int

    def records(self) -> list[VideoRecord]:
        """The videos, in the order of their names."""
        root = self.folder / "videos"
        names = (f"{n // _VIDEOS_A_FOLDER:04d}/{n % _VIDEOS_A_FOLDER:03d}.mp4" for n in range(self.count))
        return [VideoRecord(root / name, name) for name in names]

    def embedder(self) -> Embedder:
        """An embedder of `model` that gives random vectors in the place of decoding."""
        embedder = Embedder(str(self.model), num_clips=1, num_frames=_CLIP, size=32, device="cpu")
        embedder.elsewhere = without_decoding
        return embedder


def make_place(root: Path, count: int) -> GrowthPlace:
    """Write a model and one small video, and give it `count` names."""
    place = GrowthPlace(root / "model.ckpt", root / str(count), count)
    random_checkpoint(place.model, BACKBONE)
    (clip,) = plan_clips(num_videos=1, seed=0, num_frames=_FRAMES, size=64, test_fraction=0.0)
    write_clip(root / "video.mp4", clip)
    content = (root / "video.mp4").read_bytes()
    source = root / "video.mp4"
    for number, record in enumerate(place.records()):
        if number % _LINKS == 0:
            source = place.folder / f"{number}.mp4"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(content)
        if number % _VIDEOS_A_FOLDER == 0:
            record.path.parent.mkdir(parents=True)
        os.link(source, record.path)
    return place


@dataclass(frozen=True)
class _NoVideo:
    """What cutters ask of an open video: two seconds of 25 frames."""

    path: Path
    fps: float = _FPS
    height: int = 64
    width: int = 64

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds of the frames."""
        return np.arange(_FRAMES) / _FPS


def without_decoding(embedder: Embedder, clips: VideoClips) -> Iterator[Embedded]:
    """For `Embedder.elsewhere`: parts of videos that nobody opens, with random vectors."""
    rng = numpy_rng("bench growth")
    features, dim = embedder.model.backbone.num_features, int(embedder.model.config["feature_dim"])
    for record in clips.records:
        layout = clips.cutter(cast(VideoReader, _NoVideo(record.path)), record)
        if not layout.cuts:
            yield Embedded(EvalSample(record, None, None, None, facts=layout.facts), None)
        for part, cut in enumerate(layout.cuts):
            sample = EvalSample(record, None, None, None, part, len(layout.cuts), None if part else layout.facts)
            vectors = (_unit(rng, len(cut.frames), length) for length in (features, dim, dim))
            yield Embedded(sample, VideoFeatures(record, cut.frames, *vectors))


def _unit(rng: np.random.Generator, count: int, length: int) -> NDArray[np.float32]:
    return unit_rows(rng.standard_normal((count, length), np.float32))


# --- the steps: each prepares, and returns what is measured -----------------------------------------------------------


def _listing(place: GrowthPlace) -> Callable[[], None]:
    def work() -> None:
        assert len(read_folder(place.folder / "videos")) == place.count

    return work


def _sampler(place: GrowthPlace) -> Callable[[], None]:
    def work() -> None:
        """The first and last batch of three epochs: an order is drawn for each."""
        steps = place.count // _BATCH
        sampler = PairSampler(place.count, batch_size=_BATCH, seed=0, speeds=(2,), total_steps=3 * steps)
        for epoch in range(3):
            sampler.requests(epoch * steps)
            sampler.requests((epoch + 1) * steps - 1)

    return work


def _pretrain(place: GrowthPlace) -> Callable[[], Workers]:
    records = place.records()

    def work() -> Workers:
        """To the first batch of two workers, with what a checkpoint notes of the videos."""
        videos_sha256(records)
        dataset = ClipPairDataset(
            records, num_frames=_CLIP, speeds=(2,), size=32, preset=augment_preset("published"), seed=0
        )
        sampler = PairSampler(len(records), batch_size=_BATCH, seed=0, speeds=(2,), total_steps=_WORKERS)
        for _ in make_loader(dataset, sampler, num_workers=_WORKERS):
            used = [_use_of(child.pid or 0) for child in multiprocessing.active_children()]
            return Workers(sum(each.cpu_s for each in used), sum(each.mib for each in used))
        raise AssertionError

    return work


def _use_of(process: int) -> Workers:
    folder = Path("/proc") / str(process)
    fields = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    seconds = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return Workers(seconds, status_mib("RssAnon", process=str(process)))


def status_mib(name: str, *, process: str = "self") -> float:
    """A size that Linux tells of a process, in MiB."""
    text = Path("/proc", process, "status").read_text(encoding="utf-8", errors="replace")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:")) / 1024


def _embed(place: GrowthPlace) -> Callable[[], None]:
    embedder, records = place.embedder(), place.records()
    view = sliding_view(embedder, window_s=_WINDOW_S, hop_s=_WINDOW_S, clips=1, fps=None)
    stamp = stamp_for(embedder, view, model=str(place.model), dtype="float32")

    def work() -> None:
        job = Embedding(FeatureStore(place.folder / STORE), stamp, embedder, view)
        done = run_embedding(job, records, skipped=place.folder / SKIPPED)
        assert done.done + done.unchanged == place.count

    return work


def _index(place: GrowthPlace) -> Callable[[], None]:
    embedder = place.embedder()
    paths = [str(record.path) for record in place.records()]
    clip = ClipSettings(_WINDOW_S, _WINDOW_S, 1, embedder.num_frames, embedder.stride, embedder.size)
    lengths = embedder.vector_lengths()
    about = About(
        str(place.model), "", embedder.precision, lengths["motion"], lengths["appearance"], lengths["features"], clip
    )

    def work() -> None:
        store = Store.open_or_create(str(place.folder / "library"), about)
        report = update(store, embedder, paths, folder=place.folder / "videos")
        assert report.done + report.unchanged == place.count == len(store)

    return work


def _search(place: GrowthPlace) -> Callable[[], None]:
    def work() -> None:
        store, rng = Store(str(place.folder / "library")), numpy_rng("bench growth", "queries")
        for _ in range(_QUERIES):
            motion, appearance = (_unit(rng, 1, length) for length in (store.about.motion, store.about.appearance))
            query = Query(np.zeros(1), np.full(1, _WINDOW_S), motion, appearance)
            assert len(search(store, query, alpha=0.5, k=10)) == 10

    return work


def _probe(place: GrowthPlace) -> Callable[[], None]:
    embedder, records = place.embedder(), place.records()
    log = SkipLog(place.folder / SKIPPED, num_videos=place.count)
    maker = FeatureMaker(embedder, cache_folder=place.folder / "cache", log=log)
    maker.vectors(records[::_LINKS], what="videos")
    rng = numpy_rng("bench growth", "probe")
    labels = np.arange(place.count) % 2
    train, test = (rng.standard_normal((count, _DIM), np.float32) for count in (place.count, _TESTS))

    def work() -> None:
        """Features from the cache, then both classifiers on short random vectors."""
        assert len(maker.vectors(records, what="videos")[0]) == place.count
        fit_linear(train, labels, test, num_classes=2, folds=2, seed=0)
        nearest_scores(train, labels, test, num_classes=2, neighbours=20, temperature=0.07)

    return work


STEPS: dict[str, Callable[[GrowthPlace], Callable[[], Workers | None]]] = {
    "listing": _listing,
    "sampler": _sampler,
    "start of pre-training": _pretrain,
    "embed": _embed,
    "embed again": _embed,
    "index": _index,
    "index again": _index,
    f"search ({_QUERIES} queries)": _search,
    "probe": _probe,
}
"""What is measured, in this order: later steps use what earlier ones made."""
