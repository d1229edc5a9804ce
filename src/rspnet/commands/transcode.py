"""`rspnet transcode`: a folder of videos, rewritten for training."""

from __future__ import annotations

import json
import shlex
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import astuple
from pathlib import Path
from typing import Any

from rich.console import Console

from rspnet.config.transcode import TranscodeConfig
from rspnet.core.console import PlainConsole
from rspnet.core.cost import as_bytes, cost_in_words
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import json_lines
from rspnet.core.packs import OWN_FILES, copy_lists, refuse_other_files
from rspnet.core.progress import print_note, track
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord, read_folder
from rspnet.data.skipped import SKIPPED, Skip, SkipLog, tell_skipped, would_skip
from rspnet.data.transcoding import KEY_EVERY, TranscodeJob, Transcoder, transcode_all, try_transcoding
from rspnet.engine.runtime import available_cores, cpu_in_words
from rspnet.runs.run_folder import open_run_folder, plain, refuse_overlap, write_result
from rspnet.runs.verdict import Verdict
from rspnet.video.reader import View, open_video
from rspnet.video.transcode import Transcoded

(_NOTES,) = OWN_FILES["transcode"]
_DONE = "done.jsonl"
_TIMED_VIDEOS = 5
_NAMED = 3
_WINDOW = 32


def transcode(config: TranscodeConfig) -> int:
    """Rewrite every video; unreadable ones are named in .transcode/skipped.csv. Returns 1 where there are any.

    Raises:
        ConfigError: the folder to write to lies in that of the videos, or the other way round.
        RSPNetError: the source cannot be read, or not one of its videos.
    """
    refuse_overlap(config.out, [config.videos], writes_videos=True)
    source, target = as_path(config.videos), Path(config.out)
    refuse_other_files(target, own=OWN_FILES["transcode"])
    records = read_folder(source)
    folder = target / _NOTES
    if not config.dry_run:
        open_run_folder(str(folder), config, command="transcode", goes_on=True)
    done = {entry["key"]: entry for entry in json_lines(folder / _DONE)}
    jobs = [record for record in records if not _is_done(record, target, done, config)]
    if config.dry_run:
        _preview(jobs, len(records) - len(jobs), config)
        return 0
    log = SkipLog(folder / SKIPPED, num_videos=len(records))
    for record, result in _run(jobs, target, config):
        if isinstance(result, Skip):
            log.add([result])
            continue
        key = _key(record, config)
        entry = {
            "key": key,
            "size": result.bytes_after,
            "before": result.bytes_before,
            "source": str(source.absolute()),
        }
        done[key] = entry
        with (folder / _DONE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    copy_lists(source, target)
    written = [record for record in records if _is_done(record, target, done, config)]
    if not written:
        raise RSPNetError(f"none of {counted(len(records), 'video')} could be read: see {str(folder / SKIPPED)!r}")
    entries = [done[_key(record, config)] for record in written]
    results = {"videos": len(written), "written_now": len(jobs) - len(log), "skipped": len(log)}
    results |= {"bytes_before": sum(e["before"] for e in entries), "bytes_after": sum(e["size"] for e in entries)}
    gain = measure_gain(written, target)
    write_result(folder, command="transcode", protocol=plain(config), results=results | gain)
    smaller = f"{as_bytes(results['bytes_after'])}, before {as_bytes(results['bytes_before'])}"
    faster = f"{_WINDOW} frames are read in {gain['window_ms_after']} ms, before in {gain['window_ms_before']} ms"
    console = PlainConsole(stderr=True)
    tell_skipped(console, log.all(), file=log.path)
    console.print(f"{counted(len(written), 'video')}, {len(log)} skipped: {smaller}; {faster}")
    _name_left_over(console, {record.name for record in written}, done, config)
    where = shlex.quote(config.out)
    Verdict((), [(f"rspnet pretrain {where}", "or any other command: the files keep their names")]).print_to(console)
    return 1 if len(log) else 0


def _name_left_over(console: Console, written: Set[str], done: Mapping[str, Any], config: TranscodeConfig) -> None:
    """Say which copies were made of videos that are gone by now, or cannot be read any more."""
    source = str(as_path(config.videos).absolute())
    made = {str(json.loads(key)[0]) for key, entry in done.items() if entry.get("source") == source} - written
    left = sorted(name for name in made if (Path(config.out) / name).exists())
    if left:
        named = ", ".join(repr(name) for name in left[:_NAMED]) + (", ..." if len(left) > _NAMED else "")
        text = f"{config.videos} has no readable video any more for {counted(len(left), 'copy')} in {config.out}"
        print_note(console, f"{text}: {named}; remove what is not to be used")


def _preview(jobs: Sequence[VideoRecord], done: int, config: TranscodeConfig) -> None:
    """Say what a run would do and cost; nothing is written."""
    text = f"{counted(len(jobs), 'video')} to do, {done} done"
    if jobs:
        meter, bad, tried = try_transcoding(jobs, _transcoder(config), workers=_workers(config, len(jobs)))
        text += would_skip(bad, tried=tried) + ": "
        text += cost_in_words(meter.whole(), what="videos", where=cpu_in_words(), items=len(jobs))
    PlainConsole().print(text)


def _workers(config: TranscodeConfig, jobs: int) -> int:
    return max(1, min(config.num_workers or available_cores(), jobs))


def _run(
    records: Sequence[VideoRecord], target: Path, config: TranscodeConfig
) -> Iterator[tuple[VideoRecord, Transcoded | Skip]]:
    jobs = [TranscodeJob(str(record.path), str(target.absolute() / record.name), record.name) for record in records]
    workers = _workers(config, len(records))
    results = transcode_all(jobs, _transcoder(config), workers=workers, cluster=config.cluster())
    return zip(records, track(results, total=len(records), what="videos"), strict=True)


def _transcoder(config: TranscodeConfig) -> Transcoder:
    return Transcoder(config.short_side, KEY_EVERY, config.crf)


def _key(record: VideoRecord, config: TranscodeConfig) -> str:
    status = record.path.stat()
    return json.dumps([record.name, status.st_size, status.st_mtime_ns, *astuple(_transcoder(config))])


def _is_done(record: VideoRecord, target: Path, done: dict[str, dict[str, Any]], config: TranscodeConfig) -> bool:
    try:
        return bool((target / record.name).stat().st_size == done[_key(record, config)]["size"])
    except (OSError, KeyError):
        return False


def measure_gain(records: Sequence[VideoRecord], target: Path) -> dict[str, float]:
    """CPU milliseconds to read one window from the middle of a few videos, before and after (medians)."""
    pairs = [(_window_ms(record.path), _window_ms(target / record.name)) for record in records[:_TIMED_VIDEOS]]
    before, after = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {"window_ms_before": round(before, 1), "window_ms_after": round(after, 1)}


def _window_ms(path: Path) -> float:
    times = []
    for _ in range(3):
        started = time.process_time()
        with open_video(path) as video:
            start = max(0, len(video) - _WINDOW) // 2
            side = min(video.height, video.width)
            frames = range(start, min(start + _WINDOW, len(video)))
            video.read_views([View(frames, box=(0, 0, side, side), size=(112, 112))])
        times.append(1e3 * (time.process_time() - started))
    return statistics.median(times)
