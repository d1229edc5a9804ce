"""Object stores and web servers, through fsspec: listing, facts, and ranges of bytes, each tried a few times.

How to reach a store (keys, endpoint, region) is fsspec's and its packages' own business: environment variables such as
AWS_ENDPOINT_URL and FSSPEC_S3_KEY, or fsspec's configuration files. Nothing here may run at import time: the processes
that read videos are forked from one that has imported this, and fsspec's threads do not survive a fork.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from typing import Any, NamedTuple, TypeVar

from rspnet.core.errors import ConfigError

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "hf": "huggingface_hub",
    "memory": "fsspec",
    "pack": "rspnet",
}
"""Scheme of a URL -> the package that reads it. fsspec's other schemes work, too, where their packages are there."""

_WAITS = (0.1, 0.5, 2.0)
"""Seconds before the second, third and last try."""
CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
"""How long a try waits for a connection, and for the next bytes."""
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "Last-Modified", "created")
_TAGS = ("ETag", "etag", "md5Hash", "Content-MD5", "content_hash", "blob_id", "sha")
_MISSING, _FORBIDDEN = (404, 410), (401, 403)
PASSING = ("not allowed", "the store failed")
"""How the phrases of faults begin that are the store's or the keys', not the object's."""
_TRY_AGAIN = (408, 425, 429)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Facts:
    """What a store says of a name.

    Attributes:
        is_folder: a folder, or the beginning of other names.
        size: bytes; -1 where the server does not say.
        seconds: time of change since 1970, 0 where the store does not say.
        tag: changes with the content (ETag or the like), "" where there is none.
    """

    is_folder: bool
    size: int
    seconds: int
    tag: str

    @property
    def version_ns(self) -> int:
        """Time of change in nanoseconds, its digits below the second made from the tag: with the size, the version."""
        digits = int.from_bytes(hashlib.sha256(self.tag.encode()).digest()[:8], "big") % 10**9 if self.tag else 0
        return self.seconds * 10**9 + digits


class Opened(NamedTuple):
    """A file system of fsspec's, and the key by which it knows a URL."""

    system: Any
    key: str


def opened(url: str) -> Opened:
    """The file system of a URL.

    Raises:
        ConfigError: fsspec or the scheme's package is missing, or there is no such scheme.
    """
    scheme = url.partition("://")[0]
    if scheme == "pack":  # videos in shards, which may lie in a store themselves
        from rspnet.core.packs import PackSystem

        return Opened(PackSystem(), url)
    system = _file_system(scheme, os.getpid())
    return Opened(system, str(system._strip_protocol(url)))


@cache
def _file_system(scheme: str, _process: int) -> Any:
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise ConfigError(f"{scheme}:// needs fsspec: install the extra, pip install 'rspnet[remote]'") from error
    options: dict[str, Any] = {"use_listings_cache": False}
    set_by_user = fsspec.config.conf.get(scheme, {})
    if scheme in ("http", "https") and "client_kwargs" not in set_by_user:
        options["client_kwargs"] = {"timeout": _web_timeout()}
    if scheme in ("s3", "s3a") and "config_kwargs" not in set_by_user:
        once = {"retries": {"max_attempts": 0}}  # `with_retries` tries again, for all stores alike
        options["config_kwargs"] = once | {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    try:
        system = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        package = PACKAGES.get(scheme, f"fsspec's package for it ({error})")
        raise ConfigError(f"{scheme}:// needs {package}: pip install {PACKAGES.get(scheme, 'it')}") from error
    except ValueError as error:
        raise ConfigError(f"unknown scheme {scheme}://: one of {', '.join(PACKAGES)}, file") from error
    if scheme in ("s3", "s3a"):
        system.retries = 1
    return system


def _web_timeout() -> Any:
    try:
        from aiohttp import ClientTimeout
    except ModuleNotFoundError:
        return None
    return ClientTimeout(total=60, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)


def with_retries(url: str, work: Callable[[], Result]) -> Result:
    """What `work` returns, which is tried four times in 2.6 seconds where the store, not the request, is at fault.

    Raises:
        FileNotFoundError: there is no such object.
        PermissionError: the store does not let us, or our keys are not valid (any more).
        OSError: anything else; all carry a phrase for users (`strerror`) and the URL (`filename`).
    """
    if url.startswith("pack://"):  # the store below does it
        return work()
    for wait in (*_WAITS, None):
        try:
            return work()
        except ConfigError:
            raise
        except Exception as error:  # packages of many schemes raise what they like
            if url.startswith("http") and isinstance(error.__cause__, Exception):
                error = error.__cause__  # fsspec calls a server that cannot be reached a missing file, too
            lasting = _lasting(error, url)
            if lasting is not None:
                raise lasting from None
            if wait is None:
                why = f"{PASSING[1]} {len(_WAITS) + 1} times, at last with: {_phrase(error)}"
                raise OSError(errno.EIO, why, url) from None
            time.sleep(wait)
    raise AssertionError


def _lasting(error: Exception, url: str) -> OSError | None:
    """The error as users should see it if trying again is no use, else None."""
    status, name = getattr(error, "status", None), type(error).__name__
    if isinstance(error, FileNotFoundError) or status in _MISSING:
        return FileNotFoundError(errno.ENOENT, "no such object", url)
    if isinstance(error, PermissionError) or status in _FORBIDDEN or "Credentials" in name:
        return PermissionError(errno.EACCES, f"{PASSING[0]} ({_phrase(error)})", url)
    if isinstance(status, int) and 400 <= status < 500 and status not in _TRY_AGAIN:
        return OSError(errno.EINVAL, _phrase(error), url)
    is_bad_request = isinstance(error, OSError) and error.errno == errno.EINVAL
    if is_bad_request or isinstance(error, ValueError | TypeError | NotImplementedError | IsADirectoryError):
        return OSError(errno.EINVAL, _phrase(error), url)
    return None


def _phrase(error: BaseException) -> str:
    """One line of an error."""
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]


def facts(url: str) -> Facts:
    """What a store says of a name now; raises as `with_retries`."""
    system, key = opened(url)
    if url.startswith("http") and url.endswith("/"):  # the web's only sign of a folder
        return Facts(True, 0, 0, "")
    return _facts(with_retries(url, lambda: system.info(key)))


def _facts(info: Mapping[str, Any]) -> Facts:
    size = info.get("size")
    tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
    moment = next((info[name] for name in _TIMES if info.get(name)), None)
    return Facts(info.get("type") == "directory", -1 if size is None else int(size), _seconds(moment), tag)


def _seconds(moment: Any) -> int:
    try:
        if isinstance(moment, str):
            moment = parsedate_to_datetime(moment) if "," in moment else datetime.fromisoformat(moment)
        return int(moment.timestamp() if isinstance(moment, datetime) else moment or 0)
    except (ValueError, TypeError):
        return 0


def fetch(url: str, start: int, stop: int, *, size: int = -1) -> bytes:
    """The bytes `start` to before `stop` of an object of `size` bytes (-1: unknown); raises as `with_retries`."""
    system, key = opened(url)

    def work() -> bytes:
        data: bytes = system.cat_file(key, start=start, end=stop)
        if len(data) == size and stop - start < size:  # a server that does not know ranges
            return data[start:stop]
        if len(data) != stop - start:
            raise ConnectionError(f"{len(data)} bytes came instead of {stop - start}")
        return data

    return with_retries(url, work)


def names_below(url: str) -> list[str]:
    """The names of all objects below a folder, relative to it, in their order; raises as `with_retries`."""
    system, key = opened(url)
    found = _walked(url, system, key) if _walks(system) else with_retries(url, lambda: system.find(key))
    start = key.rstrip("/") + "/"
    return sorted(name.removeprefix(start) for name in found if name.startswith(start))


def _walks(system: Any) -> bool:
    """Whether fsspec lists what lies below a folder of this store folder by folder; some have a way of their own."""
    if not hasattr(system, "walk"):  # of no package of fsspec's
        return False
    from fsspec import AbstractFileSystem
    from fsspec.asyn import AsyncFileSystem

    if isinstance(system, AsyncFileSystem):
        return type(system)._find is AsyncFileSystem._find
    return type(system).find is AbstractFileSystem.find


def _walked(url: str, system: Any, key: str) -> list[str]:
    """The keys of all objects below a folder; a folder that goes away meanwhile is empty. Raises as `with_retries`.

    NOTE: fsspec's own walk leaves out, in silence, what lies in a folder that it fails to list.
    """
    found: list[str] = []
    waiting, seen = [key], {key.rstrip("/")}
    while waiting:
        folder = waiting.pop()
        try:
            content = with_retries(url, partial(system.ls, folder, detail=True))
        except FileNotFoundError:
            if folder == key:
                raise
            continue
        for item in content:
            name = item["name"].rstrip("/")
            if item["type"] != "directory":
                found.append(item["name"])
            elif name not in seen:
                seen.add(name)
                waiting.append(name)
    return found


def children(url: str) -> list[str]:
    """The names of what is directly in a folder, in their order; raises as `with_retries`."""
    system, key = opened(url)
    found = with_retries(url, lambda: system.ls(key, detail=False))
    names = {name.rstrip("/").rpartition("/")[2] for name in found if name.rstrip("/") != key.rstrip("/")}
    return sorted(names)
