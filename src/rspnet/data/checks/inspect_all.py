"""Inspecting many videos: in processes that may crash, each video once for as long as it does not change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rspnet.core.progress import track
from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.checks.inspection import Finding, Inspector, Report
from rspnet.data.reading import read_in_workers

_FORM = 4  # of the reports in the memory: a change of the checks must not be hidden by old reports


def inspect_all(
    records: Sequence[VideoRecord], inspector: Inspector, *, memory: Path, workers: int
) -> Iterator[Report]:
    """Reports in the order of the records, as they come; `memory` (JSON lines) keeps them for files that stay as is."""
    known = _remembered(memory)
    keys = [_key(record.path, inspector) for record in records]
    new = [place for place, key in enumerate(keys) if key is None or key not in known]

    def give_up(item: tuple[str, str], death: Death) -> Replace[Report]:
        return Replace(Report(*item, (Finding("crash", death.reason, usable=False),)))

    inspected = read_in_workers(
        inspector,
        [(records[place].name, str(records[place].path)) for place in new],
        workers=max(1, min(workers, len(new))),
        give_up=give_up,
        preload=["rspnet.data.checks.inspection", "torch"],
    )
    reports = track(inspected, total=len(new), what="videos")
    is_new = set(new)
    with memory.open("a", encoding="utf-8") as file:
        for place, (record, key) in enumerate(zip(records, keys, strict=True)):
            if place not in is_new:
                assert key is not None
                yield Report.from_dict(known[key] | {"name": record.name})
                continue
            report = next(reports)
            if key is not None:
                file.write(json.dumps({"key": key, "report": asdict(report)}) + "\n")
                file.flush()
            yield report
        next(reports, None)  # lets the progress bar and the workers end


def _key(path: Path, inspector: Inspector) -> str | None:
    """Identifies a file's content and what is asked of it; None where there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return json.dumps([_FORM, str(path.absolute()), status.st_size, status.st_mtime_ns, asdict(inspector)])


def _remembered(memory: Path) -> dict[str, dict[str, Any]]:
    if not memory.exists():
        return {}
    known = {}
    for line in memory.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            known[entry["key"]] = entry["report"]
        except (ValueError, KeyError, TypeError):
            continue  # the line a killed call was writing
    return known
