"""LanceDB: imported without what a library never uses of it, connected, and its errors in our words."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from rspnet.core.errors import ConfigError, RSPNetError, is_out_of_memory

LABELS = "labels"
"""The folder of a library that `rspnet serve` keeps labels in."""
_REMOTE = "lance_namespace_urllib3_client"
_METADATA_BYTES = 128 * 2**20
"""LanceDB keeps what it reads of every version that a run writes; by default up to 1 GiB, with no gain in time."""
_SAYS = re.compile(r'<Message>(.*?)</Message>|HttpError.*?message: "(.*?)"|(Failed to get \w+ credentials)', re.DOTALL)
"""What an object store, or who asks it, says in an error of LanceDB."""
_CAUSE = re.compile(r"\(os error (?!2\))\d+\)")
"""In an error of LanceDB: the machine refused something, other than that a file is not there."""
_PLACE = re.compile(r", (location: |/\S+\.rs:\d+).*", re.DOTALL)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def connect(uri: str) -> Any:
    """The database at a folder or address.

    Raises:
        ConfigError: LanceDB is not installed, or there is a file.
        RSPNetError: it cannot be opened.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings are about its own interfaces
    try:
        lancedb = import_lancedb()
    except ModuleNotFoundError as error:
        raise ConfigError("libraries need LanceDB: install the extra, pip install 'rspnet[search]'") from error
    if "://" not in uri and Path(uri).exists() and not Path(uri).is_dir():
        raise ConfigError(f"library {uri!r} is a file: name a folder")
    # Servers of one's own often speak plain HTTP, which has to be allowed.
    plain = any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS)
    options = {"allow_http": "true"} if plain and "://" in uri else None
    try:
        session = lancedb.Session(metadata_cache_size_bytes=_METADATA_BYTES)
        return lancedb.connect(uri, storage_options=options, session=session)
    except (OSError, RuntimeError, ValueError) as error:
        raise RSPNetError(f"cannot open library {uri!r}: {_phrase(error)}") from error


@contextmanager
def naming(uri: str) -> Iterator[None]:
    """Turn what LanceDB raises of unreadable files into an error that names the library."""
    try:
        yield
    except RSPNetError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        if _SAYS.search(str(error)) or _CAUSE.search(str(error)):
            raise RSPNetError(f"cannot use library {uri!r}: {_phrase(error)}") from error
        raise RSPNetError(f"library {uri!r} is damaged: {_phrase(error)}; {_cure(uri)}") from error


def _cure(uri: str) -> str:
    labels = "move its folder labels elsewhere (made by hand), " if Path(uri, LABELS).is_dir() else ""
    return f"{labels}remove the library and run rspnet index again"


def _phrase(error: Exception) -> str:
    """What LanceDB says, on one line: of an object store's answer the message, else all but places in its own code."""
    found, first = _SAYS.search(str(error)), str(error).strip().partition("\n")[0]
    text = found[found.lastindex or 0] if found else _PLACE.sub("", first)
    return " ".join(text.split())


def import_lancedb() -> Any:
    """The module `lancedb`.

    It imports a client of remote catalogues, of which it needs the names of data types. Two fifths of the time of the
    whole import go into that client's other half: checks for some 370 calls of its web interface, which are made when
    they are defined. So that package is entered here without its `__init__`, which runs when anything of its own is
    asked for.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if "lancedb" not in sys.modules and _REMOTE not in sys.modules:
        spec = importlib.util.find_spec(_REMOTE)
        if spec is not None and spec.loader is not None:
            module = _Later(_REMOTE)
            module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
            module.__path__ = list(spec.submodule_search_locations or ())
            sys.modules[_REMOTE] = module
    return importlib.import_module("lancedb")


class _Later(ModuleType):
    """A package whose own code runs when a name is asked for that it does not have yet; submodules import as ever."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        object.__setattr__(self, "__class__", ModuleType)
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
