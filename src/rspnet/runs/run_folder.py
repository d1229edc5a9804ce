"""The folder a command leaves behind: resolved configuration, result with protocol stamp, log files."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rspnet.core import run_files
from rspnet.core.console import PlainConsole
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import READ_HERE, refuse_address, write_json, write_text
from rspnet.core.locks import hold, refuse_held
from rspnet.core.names import dotted
from rspnet.core.progress import print_note
from rspnet.core.ranks import on_rank_zero
from rspnet.core.run_files import has_checkpoint
from rspnet.core.urls import is_url
from rspnet.data.skipped import SKIPPED

CONFIG = run_files.CONFIG
RESULT = run_files.RESULT
_COMMAND = "# rspnet "
_ENDINGS = frozenset({".png", ".html", ".csv", ".json", ".parquet", ".npz"})
Section = TypeVar("Section")


_NOT_OF_THE_RESULT = frozenset(
    ("out", "dry_run", "resume", "device", "num_workers", "cache", "on", "ray_address", "concurrency", "num_gpus")
)
"""Options that say where and how a result is made; another value makes no other result."""
_SHOWN = 3


def open_run_folder(out: str, config: Any, *, command: str, goes_on: bool = False) -> Path:
    """Create the folder and write the resolved configuration into it (a collective call; rank 0 does it).

    A result of the same options may be repeated; that of others is taken away, and a line says so.

    Args:
        out: the folder.
        config: the configuration.
        command: whose.
        goes_on: the command adds to what the folder holds, or refuses other options by itself.

    Raises:
        ConfigError: `out` is an address, a file, ends like one, or holds a run of another command, whose files
            would be overwritten.
        RSPNetError: another process is at work in the folder.
    """
    folder = as_folder(out)
    on_rank_zero(lambda: _write_config(folder, config, command, goes_on=goes_on))
    return folder


def refuse_taken(out: str, *, command: str, resume: bool = True) -> None:
    """Raise what `open_run_folder` would raise, without waiting for anything that takes long, and write nothing.

    Args:
        out: as there.
        command: as there.
        resume: whether the command may go on with a run that has left a checkpoint.

    Raises:
        ConfigError: as there, or the run in it would have to be resumed.
        RSPNetError: as there.
    """
    folder = as_folder(out)
    refuse_held(folder)
    _refuse_other(folder, command)
    if not resume and has_checkpoint(folder):
        raise ConfigError(already_run(folder))


def refuse_overlap(out: str, folders: Iterable[str | None], *, writes_videos: bool = False) -> None:
    """Raise `ConfigError` where results would lie among the videos, or videos that are written be read again.

    Args:
        out: the folder of the results.
        folders: those of the videos; what is no local folder is passed over.
        writes_videos: the results are videos, too: neither folder may lie in the other.
    """
    place = Path(out).resolve()
    for source in folders:
        if source is None or is_url(source) or not (folder := Path(source).resolve()).is_dir():
            continue
        how = ""
        if place == folder:
            how = "is the folder of the videos"
        elif writes_videos and place.is_relative_to(folder):
            how = f"lies in the folder of the videos, {source!r}"
        elif writes_videos and folder.is_relative_to(place):
            how = f"holds the folder of the videos, {source!r}"
        if how:
            raise ConfigError(f"--out {out!r} {how}: name another one")


def already_run(folder: Path) -> str:
    """What is wrong where a new run is to go into the folder of another."""
    return f"--out {str(folder)!r} already holds a run: add --resume, or name a new folder"


def require_run_folder(folder: Path) -> None:
    """Raise `RSPNetError` unless a command has been at work in the folder."""
    if not (folder / CONFIG).is_file():
        raise RSPNetError(
            f"{str(folder)!r} is no run folder: it holds no {CONFIG}; name the --out of a run, as of rspnet pretrain"
        )


def result_file(path: str) -> Path:
    """The result of a run folder, or a file of results itself.

    Raises:
        RSPNetError: there is none.
    """
    refuse_address("results", path, rule=READ_HERE)
    file = Path(path) / RESULT if Path(path).is_dir() else Path(path)
    if not file.exists():
        raise RSPNetError(f"{str(file)!r} does not exist: name a run folder, its {RESULT}, or a CSV of predictions")
    return file


def as_folder(out: str) -> Path:
    """The folder that `--out` names, which need not be there; raises as `open_run_folder` where it cannot be one."""
    refuse_address("--out", out)
    folder = Path(out)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ConfigError(f"--out {str(place)!r} is a file: name a folder")
    if folder.suffix.lower() in _ENDINGS and not folder.exists():
        raise ConfigError(f"--out {out!r} ends like a file: the command writes a folder, name one")
    return folder


def _refuse_other(folder: Path, command: str) -> None:
    other = command_of(folder)
    if other not in (None, command):
        raise ConfigError(f"--out {str(folder)!r} holds a run of rspnet {other}: name another folder")


def _write_config(folder: Path, config: Any, command: str, *, goes_on: bool) -> None:
    hold(folder)
    _refuse_other(folder, command)
    if not goes_on and (folder / RESULT).exists() and (was := _other_options(folder, config)):
        text = f"the result in {str(folder)!r} was of {', '.join(was[:_SHOWN])}{', ...' * (len(was) > _SHOWN)}"
        print_note(PlainConsole(stderr=True), f"{text}: it is replaced")
        (folder / RESULT).unlink()  # or the new options would seem to have given it
    (folder / SKIPPED).unlink(missing_ok=True)  # a run that skips nothing must not seem to
    write_text(folder / CONFIG, f"{_COMMAND}{command}\n{to_yaml(config)}")


def _other_options(folder: Path, config: Any) -> list[str]:
    """The options, with their values, by which the result that a folder holds answers another question."""
    try:
        saved = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    now = dict(dotted(plain(config)))
    then = dict(dotted(saved)) if isinstance(saved, Mapping) else {}
    return [
        f"{name} {value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in then.items()
        if name in now and now[name] != value and name.rpartition(".")[2] not in _NOT_OF_THE_RESULT
    ]


def command_of(folder: Path) -> str | None:
    """The command whose run a folder holds, None where that is not known."""
    try:
        first = (folder / CONFIG).read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return None
    return first.removeprefix(_COMMAND) if first.startswith(_COMMAND) else None


def to_yaml(config: Any) -> str:
    """A configuration as YAML that `--config` reads back."""
    return yaml.safe_dump(plain(config), sort_keys=False)


def plain(config: Any) -> dict[str, Any]:
    """A configuration (a dataclass, or already a mapping) as a dict of numbers, text, lists and dicts."""
    values = config if isinstance(config, Mapping) else asdict(config)
    return {name: _listed(value) for name, value in values.items()}


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, tuple | list) else value


def section_from(kind: type[Section], values: Mapping[str, Any]) -> Section:
    """A section of a configuration from plain values; an option that they lack takes its default.

    Raises:
        ConfigError: a value that the section does not allow.
    """
    names = [item.name for item in fields(kind) if item.init]  # type: ignore[arg-type]
    return kind(**{name: tuple(v) if isinstance(v := values[name], list) else v for name in names if name in values})


def write_result(
    folder: Path,
    *,
    command: str,
    protocol: dict[str, Any],
    results: dict[str, Any],
    ending: Mapping[str, Any] | None = None,
) -> None:
    """Write `result.json`: what was done (`protocol`), what came out (`results`), with which software and when.

    `ending` is what a reader sees first: whether it went well, and what comes next. It names folders, so it stands
    apart from the results. Two results may be compared where their protocols agree but for the thing compared.
    """
    software = {
        "rspnet": version("rspnet"),
        "torch": version("torch"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    stamp = {"command": command, **protocol, "software": software}
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"protocol": stamp, "results": results, "finished": finished}
    write_json(folder / RESULT, content | dict(ending or {}))
