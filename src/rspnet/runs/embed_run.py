"""Embedding as a run: progress, cost, stops, ranks; what `embed` and `classify run` share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from rspnet.core.console import PlainConsole
from rspnet.core.cost import CostMeter, cost_in_words, sampled
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.progress import print_note, track
from rspnet.core.ranks import gather_objects, rank, world_size
from rspnet.data.annotations import VideoRecord, read_videos, require_videos
from rspnet.data.skipped import Skip, SkipLog, tell_skipped
from rspnet.engine.runtime import device_in_words
from rspnet.engine.stop import STOPPED_EXIT_CODE, StopRequest
from rspnet.features.embedder import Embedder
from rspnet.features.embedding import EmbedPlan, EmbedView, embed_parts, plan_embedding
from rspnet.features.missing_windows import EvenWindows
from rspnet.features.store import FeatureStore, SourceFile, Stamp

_ROW_BYTES = 40
"""Of a row on disk without its vectors."""


@dataclass(frozen=True)
class Embedding:
    """What is embedded into what."""

    store: FeatureStore
    stamp: Stamp
    embedder: Embedder
    view: EmbedView


@dataclass(frozen=True)
class Done:
    """What a run did: numbers of videos, and whether it was stopped by a signal."""

    done: int
    unchanged: int
    dropped: int
    skipped: int
    stopped: bool

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return STOPPED_EXIT_CODE if self.stopped else 0


def videos_of(paths: Sequence[str]) -> list[VideoRecord]:
    """The videos of some files and folders; see `read_videos`.

    Raises:
        RSPNetError: a file or folder does not exist.
    """
    require_videos(paths)
    return read_videos(paths)


def run_embedding(job: Embedding, records: Sequence[VideoRecord], *, skipped: Path, drop_gone: bool = False) -> Done:
    """Embed what is missing; after a few seconds say what the rest will cost (a collective call).

    Args:
        job: what is embedded into what.
        records: the videos.
        skipped: the table of videos that could not be read.
        drop_gone: forget files that are no more.

    Raises:
        RSPNetError: not one of the videos could be read, now or before.
    """
    plan = plan_embedding(job.store, records, drop_gone=drop_gone)
    log = SkipLog(skipped, num_videos=len(records))
    log.add(plan.skipped)
    own_skips: list[Skip] = []
    finished = 0
    meter = _meter(job, plan)
    console = PlainConsole(stderr=True, quiet=rank() > 0)
    own = len(range(rank(), len(plan.todo), world_size()))
    with StopRequest() as stop, job.store.writer(job.stamp, rank=rank()) as writer:
        with closing(embed_parts(plan, job.embedder, job.view, writer)) as parts:
            for step in track(parts, total=own, what="videos", share=lambda step: step.share):
                meter.add(step.share * _weight(job.view, step.source), step.rows)
                if step.skip is not None:
                    own_skips.append(step.skip)
                    log.add([step.skip])
                finished += step.is_last
                if cost := meter.foretold():
                    text = cost.as_text(what="vectors", where=device_in_words(job.embedder.device), ranks=world_size())
                    print_note(console, f"still to do: {text}")
                if stop.received:
                    break
        stopped = stop.received and finished < own
    everyone = gather_objects((finished, own_skips, stopped))
    log.add(skip for _, skips, _ in everyone[1:] for skip in skips)
    done = sum(count for count, _, _ in everyone) - (len(log) - len(plan.skipped))
    result = Done(done, plan.unchanged, plan.dropped, len(log), any(each for *_, each in everyone))
    if result.stopped:
        console.print(f"stopped: {counted(done, 'video')} stored in {job.store.folder}; run it again to go on")
    elif not done and not plan.unchanged:
        first = log.first()
        raise RSPNetError(
            f"none of {counted(len(records), 'video')} could be read: see {str(skipped)!r}; "
            f"the first was {first.name!r}: {first.reason}"
        )
    if result.done or result.unchanged:
        tell_skipped(console, log.all(), file=skipped)
    return result


def preview(job: Embedding, records: Sequence[VideoRecord], *, drop_gone: bool = False) -> None:
    """Say what embedding what is missing would cost: a few seconds of videos from all over the list, nothing stored."""
    plan = plan_embedding(job.store, records, drop_gone=drop_gone, forget=False)
    meter = _meter(job, plan)
    sample = replace(plan, todo=sampled(plan.todo))
    with closing(embed_parts(sample, job.embedder, job.view, None)) as parts:
        for step in meter.until_sampled(parts):
            meter.add(step.share * _weight(job.view, step.source), step.rows)
    counts = f"{counted(len(plan.todo), 'video')} to do, {plan.unchanged} unchanged, {plan.dropped} to forget"
    cost = cost_in_words(meter.whole(), what="vectors", where=device_in_words(job.embedder.device), ranks=world_size())
    PlainConsole(quiet=rank() > 0).print(f"{counts}: {cost}")


def _meter(job: Embedding, plan: EmbedPlan) -> CostMeter:
    own = plan.todo[rank() :: world_size()]
    total = sum(_weight(job.view, plan.sources[record.name]) for record in own)
    size = 2 if job.stamp.dtype == "float16" else 4
    return CostMeter(total, bytes_per_item=_ROW_BYTES + size * sum(job.stamp.vectors.values()))


def _weight(view: EmbedView, source: SourceFile) -> float:
    """What a video costs: its bytes where all of it is read, else as much as any other."""
    return 1.0 if isinstance(view.base, EvenWindows) else float(max(1, source.bytes))
