"""`rspnet pack`: videos into shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rspnet.config.pack import PackConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord, read_folder, read_list
from rspnet.data.checks.inspect_all import inspect_all
from rspnet.data.checks.inspection import Inspector, Report, is_listable
from rspnet.data.packing import Packer, Row, member_names, packed_rows, version_of, write_index
from rspnet.data.skipped import SKIPPED, Skip, SkipLog
from rspnet.engine.runtime import available_cores
from rspnet.runs.run_folder import open_run_folder, plain, write_result

_NOTES = ".pack"
_SHARDS = "shards.jsonl"
_MEMORY = "seen.jsonl"
_LEFT_OUT = ("unreadable", "no-video", "crash", "cut-off", "damaged")
_INSPECTOR = Inspector(num_frames=16, speeds=(2,))  # what it finds beyond `_LEFT_OUT` is not asked


def pack(config: PackConfig) -> int:
    """Pack every video; those left out are named in .pack/skipped.csv. Returns 1 where there are any.

    Raises:
        ConfigError: the shards would lie among the videos.
        RSPNetError: the videos cannot be listed, or not one of them can be packed.
    """
    videos, out = as_path(config.videos), Path(config.out)
    is_folder = videos.is_dir()
    if is_folder and out.absolute().is_relative_to(videos.absolute()):
        raise ConfigError(f"--out {config.out!r} lies in the folder of videos: name a folder outside")
    records = read_folder(videos) if is_folder else read_list(videos, config.root)
    folder = open_run_folder(str(out / _NOTES), config, command="pack")
    log = SkipLog(folder / SKIPPED, num_videos=len(records))
    done = packed_rows(out, folder / _SHARDS)
    left = [record for record in records if not _is_done(record, done.get(record.name))]
    workers = config.num_workers or available_cores()
    packer = Packer(out, folder / _SHARDS, limit_bytes=config.shard_mb * 2**20)
    members = member_names([record.name for record in records])
    try:
        memory = folder / _MEMORY
        reports = inspect_all(left, _INSPECTOR, memory=memory, workers=workers, cluster=config.cluster())
        for record, report in zip(left, reports, strict=True):
            why = _why_not(record, report)
            if not why:
                try:
                    packer.add(record, report, members[record.name])
                except OSError as error:
                    why = error.strerror or str(error)
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
            f"none of {len(records)} videos could be packed: see {str(folder / SKIPPED)!r}; "
            f"the first was {first.name!r}: {first.reason}"
        )
    write_index(out, rows)
    shards = {row["shard"] for row in rows}
    counts = {"videos": len(rows), "packed_now": len(left) - len(log), "skipped": len(log), "shards": len(shards)}
    size = sum(row["size"] for row in rows)
    write_result(folder, command="pack", protocol=plain(config), results={**counts, "bytes": size})
    text = f"{len(rows)} videos in {len(shards)} shards: {out}"
    text += f"; {len(log)} left out, named in {folder / SKIPPED}" if len(log) else ""
    PlainConsole(stderr=True).print(text, soft_wrap=True)
    return 1 if len(log) else 0


def _is_done(record: VideoRecord, row: Row | None) -> bool:
    """Whether a shard holds a video as it is now."""
    try:
        return row is not None and row["version"] == version_of(record.path)
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
