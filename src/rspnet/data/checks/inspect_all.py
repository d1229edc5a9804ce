"""Inspecting many videos: in processes that may crash, each video once for as long as it does not change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rspnet.core.files import json_lines
from rspnet.core.progress import track
from rspnet.core.ray_jobs import RayCluster
from rspnet.core.workers import Death, Replace
from rspnet.data.annotations import VideoRecord
from rspnet.data.checks.inspection import Finding, Inspector, Report
from rspnet.data.reading import may_pass, read_here_or_on_ray

_FORM = 5  # of the reports in the memory: a change of the checks must not be hidden by old reports

_PRELOAD = ("rspnet.data.checks.inspection", "torch")


def inspect_all(
    records: Sequence[VideoRecord],
    inspector: Inspector,
    *,
    memory: Path,
    workers: int,
    cluster: RayCluster | None = None,
) -> Iterator[Report]:
    """Reports in the order of the records, as they come.

    Args:
        records: the videos.
        inspector: looks at each.
        memory: JSON lines that keep the reports of files that stay as they are.
        workers: processes of this machine.
        cluster: where to look instead of on this machine.
    """
    known = {entry["key"]: entry["report"] for entry in json_lines(memory)}
    keys = [_key(record.path, inspector) for record in records]
    new = [place for place, key in enumerate(keys) if key is None or key not in known]

    tasks = [(records[place].name, str(records[place].path)) for place in new]
    workers = max(1, min(workers, len(new)))
    inspected = read_here_or_on_ray(
        inspector, tasks, workers=workers, cluster=cluster, give_up=_give_up, preload=_PRELOAD
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
            if key is not None and not any(may_pass(finding.detail) for finding in report.findings):
                file.write(json.dumps({"key": key, "report": asdict(report)}) + "\n")
                file.flush()
            yield report
        next(reports, None)  # lets the progress bar and the workers end


def _give_up(item: tuple[str, str], death: Death) -> Replace[Report]:
    return Replace(Report(*item, (Finding("crash", death.reason, usable=False),)))


def _key(path: Path, inspector: Inspector) -> str | None:
    """Identifies a file's content and what is asked of it; None where there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return json.dumps([_FORM, str(path.absolute()), status.st_size, status.st_mtime_ns, asdict(inspector)])
