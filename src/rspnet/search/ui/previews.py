"""The only files the page serves: small MP4 cuts and pictures, in a private folder that is kept within a size."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from rspnet.core.errors import RSPNetError

_MOST_OFFERS = 20_000


class BoundedFolder:
    """Files of one folder, the longest unused of which go when all together are over `limit_bytes`."""

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True)

    def add(self, name: str) -> None:
        """Count in a file that has been written, and make room for it."""
        with self._lock:
            self._sizes[name] = (self.folder / name).stat().st_size
            self._sizes.move_to_end(name)
            while sum(self._sizes.values()) > self._limit_bytes and len(self._sizes) > 1:
                oldest, _ = self._sizes.popitem(last=False)
                (self.folder / oldest).unlink(missing_ok=True)

    def find(self, name: str) -> Path | None:
        """A file that was added and is still there, a real file and no link; it counts as used now."""
        path = self.folder / name
        with self._lock:
            if name not in self._sizes or path.is_symlink() or not path.is_file():
                return None
            self._sizes.move_to_end(name)
            return path


class Previews:
    """Previews by name. A name is a keyed hash of what is shown: it tells nothing, and cannot be guessed.

    A preview is offered when a page shows it, and made when a browser asks for it.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._files = BoundedFolder(folder, limit_bytes=limit_bytes)
        self._key = secrets.token_bytes(32)
        self._offers: OrderedDict[str, Callable[[Path], None]] = OrderedDict()
        self._lock = threading.Lock()

    def name_of(self, what: object, suffix: str) -> str:
        """The name of `what` (anything with a telling repr)."""
        return hmac.new(self._key, repr(what).encode(), hashlib.sha256).hexdigest()[:32] + suffix

    def offer(self, what: object, suffix: str, make: Callable[[Path], None]) -> str:
        """The name of a preview of `what`, which `make` will write when it is needed."""
        name = self.name_of(what, suffix)
        with self._lock:
            self._offers[name] = make
            self._offers.move_to_end(name)
            while len(self._offers) > _MOST_OFFERS:
                self._offers.popitem(last=False)
        return name

    def offers(self, name: str) -> bool:
        """Whether a name was given out."""
        with self._lock:
            return name in self._offers

    def made(self, name: str) -> Path | None:
        """The file of a preview that lies ready."""
        return self._files.find(name)

    def get(self, name: str) -> Path:
        """The file of a preview, made now if need be.

        Raises:
            RSPNetError: the name was not given out, or the video behind it cannot be read any more.
        """
        with self._lock:
            make = self._offers.get(name)
        if make is None:
            raise RSPNetError("no such preview")
        found = self.made(name)
        if found is None:
            make(self._files.folder / name)
            self._files.add(name)
            found = self._files.folder / name
        return found
