"""`rspnet doctor`: find what is wrong with videos before a training finds it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from rspnet.api.chosen_options import choice_for
from rspnet.config.doctor import DoctorConfig
from rspnet.config.pretrain import all_data_options
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import csv_text, is_list, is_utf8, write_json, write_text
from rspnet.core.urls import as_path, is_url
from rspnet.data.annotations import VideoRecord, read_source
from rspnet.data.checks.inspect_all import inspect_all
from rspnet.data.checks.inspection import KINDS, Inspector, Report, is_listable
from rspnet.data.checks.shared_pictures import find_near, find_shared
from rspnet.data.list_rows import read_rows
from rspnet.engine.runtime import available_cores, pick_device
from rspnet.runs.machine import print_system
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.runs.verdict import Verdict, named_for_shell
from rspnet.video.reader import VIDEO_SUFFIXES

FOUND_EXIT_CODE = 1
_MEMORY = "seen.jsonl"
_EXAMPLES = 3


def doctor(config: DoctorConfig) -> int:
    """Inspect and report. Returns 1 where anything was found, else 0.

    Raises:
        RSPNetError: the folder or list cannot be read.
    """
    if config.system:
        print_system()
        if config.videos is None:
            return 0
    assert config.videos is not None
    if config.write_list is not None:
        _refuse_to_replace(Path(config.write_list), [config.videos, config.against])
    records = read_source(config.videos, config.root)
    others = [] if config.against is None else read_source(config.against, config.root)
    folder = open_run_folder(config.out, config, command="doctor")
    workers = config.num_workers or available_cores()
    inspector = _inspector(config, records, workers)
    memory = folder / _MEMORY
    found = inspect_all([*records, *others], inspector, memory=memory, workers=workers, cluster=config.cluster())
    seen = list(found)
    reports = seen[: len(records)]
    nameable = is_utf8 if config.write_list is None else is_listable
    reports = [report if nameable(report.path) else _unlistable(report) for report in reports]
    reports = find_shared(reports, seen[len(records) :])
    if config.near is not None:
        reports = find_near(reports, seen[len(records) :], similarity=config.near)
    if config.write_list is not None:
        write_usable(Path(config.write_list), records, reports, splits=_splits(config.videos))
    write_text(folder / "report.csv", findings_csv(reports))
    write_json(folder / "report.json", [asdict(replace(report, fingerprint="")) for report in reports])
    counts = Counter(finding.kind for report in reports for finding in report.findings)
    results = {
        "videos": len(reports),
        "usable": sum(report.is_usable for report in reports),
        "seconds": round(sum(report.seconds for report in reports), 1),
        "findings": {kind: counts[kind] for kind in KINDS if counts[kind]},
        "clip": asdict(inspector),
    }
    write_result(folder, command="doctor", protocol=plain(config), results=results)
    print_findings(reports, folder)
    if any(report.is_usable for report in reports):
        _what_next(config, not all(report.is_usable for report in reports)).print_to(PlainConsole(stderr=True))
    return FOUND_EXIT_CODE if counts else 0


def _refuse_to_replace(target: Path, read: Sequence[str | None]) -> None:
    """Raise `ConfigError` where `--write_list` would replace a video, or a list that is read."""
    if target.suffix.lower() in VIDEO_SUFFIXES:
        raise ConfigError(f"--write_list {str(target)!r}: is the name of a video; name a list, such as usable.csv")
    if target.resolve() in [Path(name).resolve() for name in read if name is not None and not is_url(name)]:
        raise ConfigError(f"--write_list {str(target)!r}: is a list that is read; name another")


def _inspector(config: DoctorConfig, records: Sequence[VideoRecord], workers: int) -> Inspector:
    """Looks for what is in the way of the pre-training that is named, or that `rspnet pretrain` chooses."""
    if (config.num_frames, config.speeds, config.fps) != (None, None, None):
        speeds = (2,) if config.speeds is None else tuple(config.speeds)
        frames = 16 if config.num_frames is None else config.num_frames
        return Inspector(num_frames=frames, speeds=speeds, fps=config.fps)
    choice = choice_for(records, device=pick_device("auto").type, workers=workers)
    PlainConsole(stderr=True).print(f"clip, as rspnet pretrain chooses it: {choice.reasons['clip']}")
    data = all_data_options(choice.options()["data"])
    return Inspector(data["num_frames"], tuple(data["speeds"]), base_speed=data["base_speed"])


def _what_next(config: DoctorConfig, some_unusable: bool) -> Verdict:
    if config.write_list is not None:
        return Verdict((), [(f"rspnet pretrain {shlex.quote(config.write_list)}", "learn from them")])
    listed = str(config.videos)
    root = None if Path(listed).is_dir() else config.root
    trained, videos = named_for_shell(root, listed)
    pretrain = (f"rspnet pretrain {trained}", "learn from them")
    if some_unusable:
        below = f" --root {videos}" if root else ""
        usable = f"rspnet doctor {shlex.quote(listed)}{below} --write_list usable.csv"
        return Verdict((), [(usable, "a list of the usable videos, to train on"), pretrain])
    return Verdict((), [pretrain, (f"rspnet index {videos} --out library", "make the videos searchable")])


def _unlistable(report: Report) -> Report:
    return report.with_finding("name", repr(report.name), usable=False)


def findings_csv(reports: Sequence[Report]) -> str:
    """One row per finding, and one without a finding for every video that has none."""
    columns = ("name", "frames", "seconds", "width", "height", "codec", "pixel_format", "content")
    rows: list[list[Any]] = [["finding", "detail", "usable", *columns]]
    for report in reports:
        values = [getattr(report, column) for column in columns]
        rows += [[finding.kind, finding.detail, int(finding.usable), *values] for finding in report.findings]
        if not report.findings:
            rows.append(["", "", 1, *values])
    return csv_text(rows)


def _splits(videos: str) -> list[str | None]:
    """What the column `split` of a list says of its videos; [] of a folder."""
    if not is_list(videos) or as_path(videos).is_dir():
        return []
    return [row.split for row in read_rows(as_path(videos))]


def write_usable(
    path: Path, records: Sequence[VideoRecord], reports: Sequence[Report], *, splits: Sequence[str | None] = ()
) -> None:
    """Write the usable videos as a CSV list with absolute paths, with labels and splits where the records have them.

    Raises:
        RSPNetError: not one video is usable.
    """
    usable = [record for record, report in zip(records, reports, strict=True) if report.is_usable]
    if not usable:
        raise RSPNetError(
            f"--write_list {str(path)!r}: none of {counted(len(records), 'video')} is usable; see the report"
        )
    split_of = dict(zip((record.path for record in records), splits, strict=False))
    table: list[list[Any]] = [
        ["path", *(str(record.path.absolute()) for record in usable)],
        ["label", *(record.class_name or record.label for record in usable)],
        ["split", *(split_of.get(record.path) for record in usable)],
    ]
    write_text(path, csv_text(zip(*(column for column in table if column[1] is not None), strict=True)))


def print_findings(reports: Sequence[Report], folder: Path) -> None:
    """Print a table: kind, how many videos, whether they stay usable, some names."""
    console = PlainConsole()
    usable = sum(report.is_usable for report in reports)
    hours = sum(report.seconds for report in reports) / 3600
    code = ""
    if any(report.findings for report in reports):
        code = f"; exit code {FOUND_EXIT_CODE}, because there are findings"
        table = Table("finding", "videos", "unusable", "what it is", "such as")
        for kind, meaning in KINDS.items():
            hit = [report for report in reports if any(finding.kind == kind for finding in report.findings)]
            if not hit:
                continue
            lost = sum(any(f.kind == kind and not f.usable for f in report.findings) for report in hit)
            names = ", ".join(ascii(report.name)[1:-1] for report in hit[:_EXAMPLES])
            more = ", ..." if len(hit) > _EXAMPLES else ""
            table.add_row(kind, str(len(hit)), str(lost), meaning, names + more)
        console.print(table)
    console.print(
        f"{usable} of {counted(len(reports), 'video')} usable, {hours:.2f} hours; details: "
        f"{folder / 'report.csv'}{code}"
    )
