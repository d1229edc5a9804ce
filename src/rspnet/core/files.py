"""Writing files so that a crash at any moment leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import itertools
import json
import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.heartbeat import alive

_RESULTS = "results are written to local folders only, name one"
READ_HERE = "this is read from local files only, copy it"
"""Rule of `refuse_address` for what commands read and is no video."""
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_HASHED_BYTES = 2**20
_NAMED = 40
_LISTS = (".csv", ".txt")
_writings = itertools.count()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path next to `path`; on success flush it to disk and rename it, on failure remove it.

    Raises:
        RSPNetError: the folder cannot be written or the disk is full; `path` is then as it was before. Or it is the
            address of something that is no file here.
    """
    final = Path(path)
    refuse_address("output", str(path))
    # A file system takes 255 bytes of a name, of which a letter may be four.
    temporary = final.with_name(f".{final.name[:_NAMED]}.{os.getpid()}.{threading.get_ident()}.{next(_writings)}.tmp")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        temporary.replace(final)
        _flush(final.parent)
    except BrokenPipeError:  # of a print: files are no pipes
        raise
    except OSError as error:
        raise RSPNetError(f"cannot write {str(final)!r}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_list(path: str | os.PathLike[str]) -> bool:
    """Whether a path ends like a list of videos."""
    return os.fspath(path).lower().endswith(_LISTS)


def refuse_address(option: str, path: str, *, rule: str = _RESULTS) -> None:
    """Raise `ConfigError` for s3://..., https://... and the like where only a local path will do."""
    if found := _ADDRESS.match(path):  # what went through Path has lost a slash
        address = path if path[found.end() :].startswith("/") else f"{found[1]}://{path[found.end() :]}"
        raise ConfigError(f"{option} {address!r} is an address: {rule}")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically; see `utf8`."""
    with atomic_path(path) as temporary:
        temporary.write_text(utf8(text), encoding="utf-8")


def csv_text(rows: Iterable[Iterable[Any]], *, delimiter: str = ",") -> str:
    """Rows as CSV, whose lines end as those of other text files do."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file with one on each line, if there is one; the line a killed call was writing is left out."""
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON atomically; a NaN is an error, not bad JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, default=str) + "\n")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def real_paths(paths: Iterable[str | os.PathLike[str]], *, follow: bool = True) -> list[str]:
    """The real path of every file, links resolved: two files differ where these differ, whatever their names.

    Costs one look at each file: folders are resolved once each.

    Args:
        paths: of files, or URLs, which stay as they are.
        follow: False keeps the name of a file that is a link, and resolves its folder only.
    """
    folders: dict[str, str] = {}
    found = []
    for path in paths:
        if "://" in os.fspath(path):
            found.append(os.fspath(path))
            continue
        folder, name = os.path.split(path)
        if (follow and os.path.islink(path)) or name in ("", ".", ".."):  # noqa: PTH114 - for a million files
            found.append(os.path.realpath(path))
            continue
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found.append(f"{folders[folder]}/{name}")
    return found


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file (a named pipe would wait for its writer for ever).
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_BYTES):
            digest.update(chunk)
            alive()
    return digest.hexdigest()


def utf8(text: str) -> str:
    """Text that can be written and drawn: bytes of another encoding, as names of files may hold, as backslashes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(path: str) -> bool:
    """Whether a path is valid UTF-8, as tables of text need; other names hold surrogates in Python."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def at_home(value: Any) -> Any:
    """`~/x` as the path it means: the shell leaves it alone in `--out=~/x` and in YAML files."""
    if isinstance(value, list | tuple):
        return type(value)(at_home(inner) for inner in value)
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~") else value  # noqa: PTH111 - text
