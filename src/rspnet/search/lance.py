"""Importing LanceDB without what a library never uses of it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

_REMOTE = "lance_namespace_urllib3_client"


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
