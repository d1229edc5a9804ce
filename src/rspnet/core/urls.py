"""Files named by a path or by a URL, behind one interface.

`as_path` turns the text a user gives into a `Path`, or into a `UrlPath` that does what the program asks of a `Path`.
It reads ranges of bytes with a bounded read-ahead; what was read lately is kept in memory, within a bound, for all
files of a process together. Where the environment variable `RSPNET_REMOTE_CACHE` names a folder, whole objects are
copied there and read from the copy. A variable and no option: it says something about the machine, changes no result
and holds for every command that reads videos.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from rspnet.core import storage
from rspnet.core.errors import ConfigError
from rspnet.core.files import atomic_path, sha256_of

CACHE_VARIABLE = "RSPNET_REMOTE_CACHE"
BLOCK_BYTES = 512 * 2**10
"""What is read at least."""
MOST_BLOCKS = 16
"""Read ahead at most, where a file is read in its order."""
WHOLE_BYTES = 4 * 2**20
"""Files up to this size are read in one go."""
KEPT_BYTES = 64 * 2**20
"""What a process keeps of all that it has read."""

_PACKED_PLACE = re.compile(r"@[^@/:]+:\d+:\d+$")
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)

if TYPE_CHECKING:
    _PathLike = Path
else:
    # At run time nothing of pathlib's: a method that is missing below must fail, not look at the local disk.
    _PathLike = object


def as_path(name: str | os.PathLike[str]) -> Path:
    """A file or folder by what a user calls it: a path, or a URL.

    A URL that went through `Path` has lost a slash and is understood all the same; a local folder that is called like
    a scheme is named by its absolute path.
    """
    text = os.fsdecode(name)
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    scheme, rest = found[1].lower(), found[2]
    if scheme in ("file", "local"):
        return Path("/" + rest)
    if not rest and "://" in text and scheme not in ("memory", "pack"):
        raise ConfigError(f"{text!r} names no bucket or host: write {scheme}://NAME/...")
    if "://" in text or scheme in storage.PACKAGES:
        return UrlPath(f"{scheme}://{rest}")
    return Path(text)


def below(folder: Path, name: str) -> Path:
    """What a list calls `name`: below a folder, or by itself where it is absolute or a URL."""
    path = as_path(name)
    return path if isinstance(path, UrlPath) else folder / name


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is one of a URL that is not just a local file."""
    return isinstance(as_path(name), UrlPath)


def _without_dots(url: str) -> str:
    """`b/../a` is `a`, as on a disk; stores take dots for names. Names in a pack are as its list spelled them."""
    scheme, mark, rest = url.partition("://")
    kept: list[str] = []
    for name in rest.split("/"):
        if scheme == "pack" or name not in (".", ".."):
            kept.append(name)
        elif name == ".." and len(kept) > 1:  # above a bucket or host there is nothing
            kept.pop()
    return scheme + mark + "/".join(kept)


class UrlPath(_PathLike):
    """A file or folder of an object store or web server; does what this program asks of a `Path`.

    Two are equal if their URLs are. Errors are OSErrors with a phrase for users, as those of files.

    Attributes:
        url: the whole URL.
    """

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url

    # --- names ------------------------------------------------------------------------------------------------------

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"UrlPath({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UrlPath) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __lt__(self, other: Any) -> bool:
        return self.url < str(other)

    def __reduce__(self) -> tuple[type[UrlPath], tuple[str]]:
        return UrlPath, (self.url,)

    def as_posix(self) -> str:
        """The URL."""
        return self.url

    def absolute(self) -> UrlPath:
        """The URL, which is."""
        return self

    @property
    def _bare(self) -> str:
        """Without what a web address asks for behind its path, and without the place of a packed video."""
        if self.url.startswith("pack:"):
            return _PACKED_PLACE.sub("", self.url)
        return re.split(r"[?#]", self.url, maxsplit=1)[0] if self.url.startswith("http") else self.url

    @property
    def name(self) -> str:
        """The last part."""
        return self._bare.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> UrlPath:
        """The folder it is in; that of a bucket is itself."""
        above = self._bare.rstrip("/").rpartition("/")[0]
        return UrlPath(above) if not above.endswith("/") and "://" in above else self

    def __truediv__(self, name: str | os.PathLike[str]) -> Any:
        text = os.fspath(name)
        return as_path(text) if _URL.fullmatch(text) else UrlPath(_without_dots(f"{self._bare.rstrip('/')}/{text}"))

    def with_name(self, name: str) -> UrlPath:
        """The same with another last part."""
        return UrlPath(f"{self.parent.url}/{name}")

    def with_suffix(self, suffix: str) -> UrlPath:
        """The same with another ending."""
        return self.with_name(self.stem + suffix)

    def is_relative_to(self, *other: Any) -> bool:
        """Whether it lies below another path."""
        return self.url.startswith(os.fspath(other[0]).rstrip("/") + "/")

    def relative_to(self, *other: Any) -> Any:
        """The part of its name below another path's, as a path.

        Raises:
            ValueError: it does not lie there.
        """
        if not self.is_relative_to(*other):
            raise ValueError(f"{self.url!r} is not below {os.fspath(other[0])!r}")
        return PurePosixPath(self._bare.removeprefix(os.fspath(other[0]).rstrip("/") + "/"))

    # --- what is there ----------------------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002 - Path's own
        """Kind, size, and time of change; the time's digits below the second distinguish versions (`storage.Facts`).

        Raises:
            OSError: there is no such object, or the store does not say.
        """
        facts = storage.facts(self.url)
        kind, version = stat.S_IFDIR if facts.is_folder else stat.S_IFREG, facts.version_ns
        seconds = (facts.seconds,) * 3
        exact = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), version)
        exact |= dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), version / 1e9)  # type: ignore[arg-type]
        return os.stat_result((kind, 0, 0, 1, 0, 0, facts.size, *seconds), exact)

    def exists(self) -> bool:
        """Whether there is such an object or folder; raises OSError where the store does not say."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether it is a folder; raises OSError where the store does not say."""
        try:
            return stat.S_ISDIR(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_file(self) -> bool:
        """Whether it is an object; raises OSError where the store does not say."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def iterdir(self) -> Generator[Any]:
        """What is directly in the folder, in the order of names."""
        yield from (self / name for name in storage.children(self.url))

    def rglob(self, pattern: str) -> Generator[Any]:
        """All objects below whose name fits, in the order of names."""
        yield from (self / name for name in storage.names_below(self.url) if PurePosixPath(name).match(pattern))

    def glob(self, pattern: str) -> Generator[Any]:
        """What is directly in the folder and whose name fits."""
        yield from (path for path in self.iterdir() if PurePosixPath(path.name).match(pattern))

    # --- content ----------------------------------------------------------------------------------------------------

    def open(self, mode: str = "rb", *_: Any, **__: Any) -> Any:
        """The object's bytes, for reading.

        Raises:
            OSError: there is no such object, or it cannot be read.
        """
        if mode != "rb":
            raise OSError(f"{self.url!r} can only be read, as bytes")
        return open_ranges(self)

    def read_bytes(self) -> bytes:
        """The whole object."""
        with self.open() as file:
            return cast(bytes, file.read())

    def read_text(self, encoding: str | None = "utf-8", errors: str | None = None, *_: Any, **__: Any) -> str:
        """The whole object as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")


class RangeFile(io.RawIOBase):
    """A read-only file made of ranges: blocks, read ahead while they are asked for in their order.

    Args:
        path: the object.
        status: what `path.stat()` said; the object must not change while it is read.
    """

    def __init__(self, path: UrlPath, status: os.stat_result) -> None:
        super().__init__()
        if status.st_size < 0:
            raise OSError(0, "the server does not say how large it is", path.url)
        self.name = path.name
        self.size = status.st_size
        self._url, self._version = path.url, status.st_mtime_ns
        self._at = 0
        self._next, self._ahead = -1, 1

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """The byte that is read next."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; the number of bytes, fewer at the end only."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, fewer than asked for at the end only.

        Raises:
            OSError: they cannot be read.
        """
        left = max(0, self.size - self._at)
        data = self._bytes(self._at, self._at + (left if size is None or size < 0 else min(size, left)))
        self._at += len(data)
        return data

    def _bytes(self, start: int, stop: int) -> bytes:
        parts = []
        while start < stop:
            number, inside = divmod(start, BLOCK_BYTES)
            parts.append(self._block(number)[inside : inside + stop - start])
            start += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _block(self, number: int) -> bytes:
        block = _KEPT.get((self._url, self._version, number))
        return self._fetch(number) if block is None else block

    def _fetch(self, number: int) -> bytes:
        """Read a block and those ahead of it, up to one that is there."""
        self._ahead = min(2 * self._ahead, MOST_BLOCKS) if number == self._next else 1
        last = -(-self.size // BLOCK_BYTES)
        count = last - number if self.size <= WHOLE_BYTES else min(self._ahead, last - number)
        places = [(self._url, self._version, number + i) for i in range(count)]
        count = next((i for i in range(1, count) if _KEPT.get(places[i]) is not None), count)
        start = number * BLOCK_BYTES
        data = storage.fetch(self._url, start, min(start + count * BLOCK_BYTES, self.size), size=self.size)
        for i in range(count):
            _KEPT.put(places[i], data[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES])
        self._next = number + count
        return data[:BLOCK_BYTES]


class _Kept:
    """Blocks read lately, the oldest going first where they are too many."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, place: tuple[str, int, int]) -> bytes | None:
        with self._lock:
            if place not in self._blocks:
                return None
            self._blocks.move_to_end(place)
            return self._blocks[place]

    def put(self, place: tuple[str, int, int], block: bytes) -> None:
        with self._lock:
            self._bytes += len(block) - len(self._blocks.pop(place, b""))
            self._blocks[place] = block
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._blocks.popitem(last=False)[1])


_KEPT = _Kept()


def open_ranges(path: UrlPath, status: os.stat_result | None = None) -> BinaryIO:
    """An object's bytes: a `RangeFile`, or a local copy where `RSPNET_REMOTE_CACHE` names a folder.

    Raises:
        OSError: there is no such object, or it cannot be read.
    """
    status = path.stat() if status is None else status
    file = RangeFile(path, status)
    folder = os.environ.get(CACHE_VARIABLE)
    return cast(BinaryIO, file if not folder else _copied(file, path, status, Path(folder)).open("rb"))


def _copied(file: RangeFile, path: UrlPath, status: os.stat_result, folder: Path) -> Path:
    """The local copy of an object as it is now."""
    version = hashlib.sha256(f"{path.url} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:32]
    copy = folder / version[:2] / f"{version}{path.suffix}"
    if not copy.is_file():
        with atomic_path(copy) as temporary, temporary.open("wb") as target:
            while piece := file.read(MOST_BLOCKS * BLOCK_BYTES):
                target.write(piece)
    return copy


def content_of(path: Path) -> str:
    """Identifies a file's content: its SHA-256; of an object its tag and size, where its store has tags.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(path, UrlPath) and (facts := storage.facts(path.url)).tag:
        return hashlib.sha256(f"{facts.tag} {facts.size}".encode()).hexdigest()
    return sha256_of(path)
