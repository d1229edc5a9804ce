"""`rspnet pack`: videos into shards."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

from rspnet.config.pack import PackConfig
from rspnet.config.transcode import TranscodeConfig
from rspnet.core.console import PlainConsole
from rspnet.core.cost import CostMeter, cost_in_words, sampled
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.packs import NOTES, OWN_FILES, copy_lists, refuse_other_files
from rspnet.core.ray_jobs import RayCluster
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord, read_source
from rspnet.data.checks.inspect_all import inspect_all
from rspnet.data.checks.inspection import Inspector, Report, is_listable
from rspnet.data.packing import Made, Packer, Row, member_names, packed_rows, version_of, write_index
from rspnet.data.skipped import SKIPPED, Skip, SkipLog, tell_skipped, would_skip
from rspnet.data.transcoding import KEY_EVERY, TranscodeJob, Transcoder, transcode_all, try_transcoding
from rspnet.engine.runtime import available_cores, cpu_in_words
from rspnet.runs.run_folder import open_run_folder, plain, refuse_overlap, write_result
from rspnet.runs.verdict import Verdict

_SHARDS = "shards.jsonl"
_MEMORY = "seen.jsonl"
_COPIES = "copies-"
_LEFT_OUT = ("unreadable", "no-video", "crash", "cut-off", "damaged")
_INSPECTOR = Inspector()


def pack(config: PackConfig) -> int:
    """Pack every video; those left out are named in .pack/skipped.csv. Returns 1 where there are any.

    Raises:
        ConfigError: the folder for the shards holds other files, lies in that of the videos, or holds it.
        RSPNetError: the videos cannot be listed, or not one of them can be packed.
    """
    videos, out = as_path(config.videos), Path(config.out)
    refuse_overlap(config.out, [config.videos], writes_videos=True)
    refuse_other_files(out, own=OWN_FILES["pack"])
    records = read_source(videos, config.root)
    folder = out / NOTES
    if not config.dry_run:
        open_run_folder(str(folder), config, command="pack", goes_on=True)
    done = packed_rows(out, folder / _SHARDS)
    transcoder = Transcoder(config.short_side, KEY_EVERY, TranscodeConfig.crf)
    settings = astuple(transcoder) if config.transcode else ()
    left = [record for record in records if not _is_done(record, done.get(record.name), settings)]
    workers = config.num_workers or available_cores()
    if config.dry_run:
        _preview(left, len(records) - len(left), transcoder if config.transcode else None, workers=workers)
        return 0
    log = SkipLog(folder / SKIPPED, num_videos=len(records))
    packer = Packer(out, folder / _SHARDS, limit_bytes=config.shard_mb * 2**20)
    members = member_names([record.name for record in records])
    try:
        memory = folder / _MEMORY
        reports = inspect_all(left, _INSPECTOR, memory=memory, workers=workers, cluster=config.cluster())
        checked = ((record, report, _why_not(record, report)) for record, report in zip(left, reports, strict=True))
        for rest in folder.glob(f"{_COPIES}*"):  # of a run that was killed
            rmtree(rest)
        with TemporaryDirectory(prefix=_COPIES, dir=folder) as place:
            found = (
                _small(checked, transcoder, Path(place), workers=workers, cluster=config.cluster())
                if config.transcode
                else ((*each, None) for each in checked)
            )
            for record, report, why, made in found:
                why = why or _add(packer, record, report, members[record.name], made)
                if why:
                    log.add([Skip(record.name, why)])
        packer.close_shard()
    except BaseException:
        packer.discard()
        raise
    rows = _current(records, packed_rows(out, folder / _SHARDS), log)
    if not rows:
        first = log.first()
        raise RSPNetError(
            f"none of {counted(len(records), 'video')} could be packed: see {str(folder / SKIPPED)!r}; "
            f"the first was {first.name!r}: {first.reason}"
        )
    copy_lists(videos, out)
    write_index(out, rows)
    shards = {row["shard"] for row in rows}
    counts = {"videos": len(rows), "packed_now": len(left) - len(log), "skipped": len(log), "shards": len(shards)}
    size = sum(row["size"] for row in rows)
    write_result(folder, command="pack", protocol=plain(config), results={**counts, "bytes": size})
    text = f"{counted(len(rows), 'video')} in {counted(len(shards), 'shard')}: {out}"
    console = PlainConsole(stderr=True)
    tell_skipped(console, log.all(), file=log.path)
    console.print(f"{text}; {len(log)} skipped" if len(log) else text)
    where = shlex.quote(config.out)
    Verdict((), [(f"rspnet pretrain {where}", "or any other command: shards stand for the folder")]).print_to(console)
    return 1 if len(log) else 0


def _preview(left: Sequence[VideoRecord], done: int, transcoder: Transcoder | None, *, workers: int) -> None:
    """Say what a run would do and cost; nothing is written."""
    text = f"{counted(len(left), 'video')} to do, {done} done"
    if left:
        sizes = {record.name: max(1, record.path.stat().st_size) for record in left}
        # The smallest first: each is looked at as a whole, and some seconds are to be enough.
        sample = sorted(sampled(left), key=lambda record: sizes[record.name])
        meter, bad, tried = CostMeter(sum(sizes.values()), bytes_per_item=1.0), list[Skip](), 0
        with TemporaryDirectory() as place:
            reports = inspect_all(sample, _INSPECTOR, memory=Path(place) / _MEMORY, workers=workers)
            for report in meter.until_sampled(reports):
                record, tried = sample[tried], tried + 1
                if why := _why_not(record, report):
                    bad.append(Skip(record.name, why))
                meter.add(sizes[record.name], 0 if why else sizes[record.name])
        text += would_skip(bad, tried=tried) + ": "
        cost = meter.whole()
        if transcoder is not None and cost is not None:
            made = try_transcoding(left, transcoder, workers=workers)[0].whole()
            cost = None if made is None else replace(made, seconds=made.seconds + cost.seconds)
        text += cost_in_words(cost, what="videos", where=cpu_in_words(), items=len(left))
    PlainConsole().print(text)


def _add(packer: Packer, record: VideoRecord, report: Report, member: str, made: Made | None) -> str:
    """Pack a video; why it cannot be, or ""."""
    try:
        packer.add(record, report, member, made=made)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        if made is not None:
            made.path.unlink(missing_ok=True)
    return ""


def _small(
    checked: Iterable[tuple[VideoRecord, Report, str]],
    transcoder: Transcoder,
    place: Path,
    *,
    workers: int,
    cluster: RayCluster | None,
) -> Iterator[tuple[VideoRecord, Report, str, Made | None]]:
    """The videos in turn with small copies of those that are not left out (for a reason, the third)."""
    waiting: deque[tuple[VideoRecord, Report, str, Path]] = deque()

    def jobs() -> Iterator[TranscodeJob]:
        for number, (record, report, why) in enumerate(checked):
            target = place.absolute() / f"{number}.mp4"
            waiting.append((record, report, why, target))
            if not why:
                yield TranscodeJob(str(record.path), str(target), record.name)

    results = transcode_all(jobs(), transcoder, workers=workers, cluster=cluster)
    for result in results:
        while waiting[0][2]:
            yield *waiting.popleft()[:3], None
        record, report, _, target = waiting.popleft()
        if isinstance(result, Skip):
            yield record, report, result.reason, None
        else:
            yield record, report, "", Made(target, astuple(transcoder))
    yield from ((*each[:3], None) for each in waiting)


def _is_done(record: VideoRecord, row: Row | None, settings: tuple[int, ...]) -> bool:
    """Whether a shard holds a video as it is now, made with these settings."""
    try:
        return row is not None and row["version"] == [*version_of(record.path), *settings]
    except OSError:
        return False


def _why_not(record: VideoRecord, report: Report) -> str:
    """Why a video is left out; "" if it is not."""
    if not is_listable(record.name):
        return "its name cannot be written into a list"
    return "; ".join(finding.detail for finding in report.findings if finding.kind in _LEFT_OUT)


def _current(records: Sequence[VideoRecord], packed: dict[str, Row], log: SkipLog) -> list[Row]:
    """The rows of the records that are packed as they are; labels are those of today."""
    bad = set(log.state_dict())
    return [
        {**packed[record.name], "label": record.label, "class_name": record.class_name}
        for record in records
        if record.name in packed and record.name not in bad
    ]
