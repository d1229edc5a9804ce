"""`rspnet retrieve`: the paper's retrieval benchmark (METHOD section 4; paper, table 5) on any labelled data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from rspnet.api.labelled_options import labelled_records
from rspnet.api.open_embedder import open_embedder
from rspnet.config.retrieve import RetrieveConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.core.progress import print_note
from rspnet.core.ranks import rank
from rspnet.core.rng import numpy_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import draw_clip
from rspnet.data.cuts import Crop, Cut, EvenClips, Layout
from rspnet.data.labelled.cautions import cautions
from rspnet.data.presets import FINETUNING_CROP, AugmentPreset
from rspnet.data.skipped import SKIPPED, SkipLog
from rspnet.engine.processes import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.features.descriptor import Descriptor
from rspnet.features.feature_cache import default_cache_folder
from rspnet.features.labelled_features import FeatureMaker, embedder_view
from rspnet.features.neighbours import average_precisions, hits_at_k
from rspnet.features.scores import bootstrap_interval
from rspnet.features.whitening import comparable, comparison
from rspnet.runs.predictions import data_stamp
from rspnet.runs.run_folder import open_run_folder, write_result
from rspnet.runs.verdict import Verdict, report_command, score_line
from rspnet.video.reader import VideoReader

KS = (1, 5, 10, 20, 50)
"""The published columns."""
PER_CLASS = "per_class.csv"
# METHOD section 4: the crops of fine-tuning's training view; no jitter.
_TRAINING_VIEW = AugmentPreset(crop_area=FINETUNING_CROP, grayscale_p=0.0, jitter_p=0.0)


@dataclass(frozen=True)
class Protocol:
    """How features are made and which videos take part.

    NOTE: paper and public code differ: the paper max-pools and says nothing of the gallery's view; the code averages,
    looks at the gallery through the random training crops and drops its incomplete last batch. Ours is the evaluation
    view of every video; see METHOD section 6.
    """

    pooling: Literal["average", "max"]
    gallery_view: Literal["centre", "training"]
    drops_last_batch: bool
    descriptor: Descriptor


PROTOCOLS = {
    "ours": Protocol("average", "centre", drops_last_batch=False, descriptor="mean_std_change"),
    "paper": Protocol("max", "centre", drops_last_batch=False, descriptor="mean"),
    "official": Protocol("average", "training", drops_last_batch=True, descriptor="mean"),
}


@dataclass(frozen=True)
class VideoSet:
    """Feature vectors float32 [N, C] of N labelled videos."""

    records: list[VideoRecord]
    vectors: torch.Tensor

    @classmethod
    def of(cls, records: list[VideoRecord], vectors: NDArray[np.float32]) -> VideoSet:
        """Records with NumPy vectors."""
        return cls(records, torch.from_numpy(vectors))

    @property
    def labels(self) -> torch.Tensor:
        """Class numbers, int64 [N]."""
        return torch.tensor([record.label for record in self.records])


@dataclass(frozen=True)
class RetrievalScores:
    """What came out, query by query.

    Attributes:
        classes: int64 [Q], the queries' class numbers.
        hits: k -> bool [Q], whether one of the k nearest gallery videos has the query's class.
        average_precision: float64 [Q], NaN for a query whose class the gallery lacks.
    """

    classes: NDArray[np.int64]
    hits: dict[int, NDArray[np.bool_]]
    average_precision: NDArray[np.float64]


def retrieve(config: RetrieveConfig) -> None:
    """Run the command: features of both splits, scores, result.json and per_class.csv.

    Raises:
        RSPNetError: bad data or checkpoint, or a split without one readable video.
    """
    protocol = PROTOCOLS[config.protocol]
    join_ranks(pick_device(config.device))
    train, test = labelled_records(config.data, "train"), labelled_records(config.data, "test")
    if protocol.drops_last_batch:
        train = drop_incomplete_batch(train, config.official_batch)
    embedder = open_embedder(
        config.weights,
        config,
        pooling=config.pooling or protocol.pooling,
        stream=config.stream,
        descriptor=config.descriptor or protocol.descriptor,
    )
    log = SkipLog(Path(config.out) / SKIPPED, num_videos=len(train + test))
    cache = Path(config.cache) if config.cache else default_cache_folder()
    maker = FeatureMaker(embedder, cache_folder=cache, log=log)
    if config.dry_run:
        _preview(maker, train, test, _view(protocol, config.seed))
        return
    folder = open_run_folder(config.out, config, command="retrieve")
    gallery = gallery_set(maker, train, protocol, seed=config.seed)
    queries = VideoSet.of(*maker.vectors(test, what="test videos"))
    if rank() > 0:
        return
    near, asked = comparable(gallery.vectors.numpy(), queries.vectors.numpy(), embedder.descriptor)
    scores = score(VideoSet.of(queries.records, asked), VideoSet.of(gallery.records, near))
    for caution in cautions(gallery.records, queries.records):
        print_note(PlainConsole(stderr=True), caution)
    _write(config, maker, scores, folder, gallery=gallery, queries=queries)


def gallery_set(maker: FeatureMaker, records: list[VideoRecord], protocol: Protocol, *, seed: int) -> VideoSet:
    """The gallery in the protocol's view."""
    what = "training videos"
    if protocol.gallery_view == "centre":
        return VideoSet.of(*maker.vectors(records, what=what))
    cutter = TrainingView(maker.embedder.cutter(), seed)
    return VideoSet.of(*maker.vectors(records, what=what, cutter=cutter, view=_view(protocol, seed)))


def _view(protocol: Protocol, seed: int) -> dict[str, Any]:
    """What the gallery's vectors depend on besides the embedder, for the cache."""
    return {} if protocol.gallery_view == "centre" else {"view": "training", "seed": seed}


def _preview(
    maker: FeatureMaker, train: Sequence[VideoRecord], test: Sequence[VideoRecord], view: Mapping[str, Any]
) -> None:
    """What a run would do and what it costs."""
    console = PlainConsole(quiet=rank() > 0)
    for name, text in (("training", maker.foretell(train, view=view)), ("test", maker.foretell(test))):
        console.print(f"features of the {name} videos: {text}")
    text = f"then every test video asks for its nearest training videos; results: {maker.log.path.parent}"
    console.print(text)


def drop_incomplete_batch(records: list[VideoRecord], batch: int) -> list[VideoRecord]:
    """The records without those that do not fill a batch (as `drop_last` of the public code's loader).

    Raises:
        RSPNetError: nothing is left.
    """
    kept = records[: len(records) // batch * batch]
    if not kept:
        raise RSPNetError(
            f"--protocol official drops the incomplete last batch of {batch}, and the gallery has only {len(records)} "
            "videos: lower --official_batch"
        )
    return kept


def score(queries: VideoSet, gallery: VideoSet) -> RetrievalScores:
    """Cosine retrieval of every query in the gallery; k beyond the gallery's size is left out."""
    sides = (queries.vectors, gallery.vectors, queries.labels, gallery.labels)
    hits = hits_at_k(*sides, [k for k in KS if k <= len(gallery.records)])
    return RetrievalScores(
        classes=queries.labels.numpy(),
        hits={k: hit.numpy() for k, hit in hits.items()},
        average_precision=average_precisions(*sides).numpy(),
    )


def summary(scores: RetrievalScores, *, seed: int) -> dict[str, dict[str, float]]:
    """`recall@k` and `mAP` as shares of 1, each with its 95 % bootstrap interval over queries.

    A query whose class the gallery lacks is a miss to all of them.
    """
    columns = {f"recall@{k}": hit.astype(np.float64) for k, hit in scores.hits.items()}
    columns["mAP"] = np.nan_to_num(scores.average_precision)
    rows = {}
    for name, values in columns.items():
        low, high = bootstrap_interval(values, seed=seed)
        rows[name] = {"value": float(values.mean()), "low": low, "high": high}
    return rows


def chance_of_hits(queries: VideoSet, gallery: VideoSet) -> float:
    """The recall@1 of gallery videos drawn blindly: the mean over queries of their class's share of the gallery."""
    counts = torch.bincount(gallery.labels, minlength=int(queries.labels.max()) + 1)
    return float(counts[queries.labels].double().mean() / len(gallery.records))


def per_class_rows(scores: RetrievalScores, names: dict[int, str]) -> list[dict[str, Any]]:
    """One row a class of the queries: name, number of queries, recall@k and mAP ("" where it is undefined)."""
    rows = []
    for label in np.unique(scores.classes):
        chosen = scores.classes == label
        row: dict[str, Any] = {"class": names[int(label)], "queries": int(chosen.sum())}
        row |= {f"recall@{k}": round(float(hit[chosen].mean()), 6) for k, hit in scores.hits.items()}
        precision = float(scores.average_precision[chosen].mean())
        rows.append(row | {"mAP": "" if np.isnan(precision) else round(precision, 6)})
    return rows


@dataclass(frozen=True)
class TrainingView:
    """Evenly spaced clips, each through its own random training crop and flip: the public code's gallery.

    Attributes:
        even: the clips.
        seed: the draws depend on it, on the video's name and on the clip's number.
    """

    even: EvenClips
    seed: int

    @property
    def size(self) -> int:
        """S, height and width of the clips in pixels."""
        return self.even.size

    @property
    def frames_at_once(self) -> int:
        """Frames of all clips together."""
        return self.even.frames_at_once

    def __call__(self, video: VideoReader, record: VideoRecord, /) -> Layout:
        """All clips in one cut."""
        frames, crops = self.even.frames(video), []
        for number in range(len(frames)):
            rng = numpy_rng(self.seed, "retrieval gallery", record.name, number)
            draw = draw_clip(_TRAINING_VIEW, height=video.height, width=video.width, rng=rng)
            crops.append(Crop(draw.box, draw.flip))
        return Layout([Cut(frames, crops)])


def _write(
    config: RetrieveConfig,
    maker: FeatureMaker,
    scores: RetrievalScores,
    folder: Path,
    *,
    gallery: VideoSet,
    queries: VideoSet,
) -> None:
    names = {int(record.label or 0): record.class_name or str(record.label) for record in queries.records}
    rows = per_class_rows(scores, names)
    write_text(folder / PER_CLASS, csv_text([rows[0], *(row.values() for row in rows)]))
    figures = summary(scores, seed=config.seed)
    chosen = PROTOCOLS[config.protocol]
    stamp = {**embedder_view(maker.embedder), "protocol": config.protocol, "gallery_view": chosen.gallery_view}
    stamp["comparison"] = comparison(maker.embedder.descriptor)
    stamp |= data_stamp(asdict(config.data), train=len(gallery.records), test=len(queries.records))
    stamp |= {"seed": config.seed, "tensors_sha256": maker.tensors_sha256}
    if chosen.drops_last_batch:
        stamp["official_batch"] = config.official_batch
    counts = {"gallery_videos": len(gallery.records), "queries": len(queries.records)}
    counts |= {"skipped": len(maker.log), "features_from_cache": maker.from_cache}
    line = score_line(
        "recall@1", figures["recall@1"], chance=chance_of_hits(queries, gallery), videos=len(queries.records)
    )
    verdict = Verdict([line], [report_command(folder, shows="nearest neighbours, scores by class")])
    results = {**figures, **counts, "per_class": PER_CLASS}
    write_result(folder, command="retrieve", protocol=stamp, results=results, ending=verdict.as_ending())
    shown = Table(
        "",
        "score %",
        "95 % interval",
        title=f"{counted(counts['queries'], 'query')}, {counted(counts['gallery_videos'], 'video')}",
    )
    for name, row in figures.items():
        shown.add_row(name, f"{100 * row['value']:.1f}", f"{100 * row['low']:.1f} to {100 * row['high']:.1f}")
    console = PlainConsole(stderr=True)
    console.print(shown)
    console.print(f"{counts['skipped']} skipped; details: {folder}")
    verdict.print_to(console)
