"""Modules from outside the package that register pretext methods and backbones."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rspnet.core.errors import ConfigError

_MAIN = ("__main__", "__mp_main__")
"""What a program's first module is called in its own process and in those that `multiprocessing` starts."""
_scripts: list[str] = []
"""What other processes import the scripts as that registered something here, the last of them last."""
_named: list[str] = []
"""What `--plugin` named in the command that runs."""


def note_script(module: str) -> None:
    """Keep what the script is called elsewhere that registers something: another may run later (runpy, a notebook)."""
    if module in _MAIN:
        _scripts.append(_script_name(module))


def import_plugins(words: Sequence[str]) -> list[str]:
    """Import what `--plugin` names among a command's words. Returns the others.

    Raises:
        ConfigError: it names nothing, or something that cannot be imported.
    """
    others, left = [], iter(words)
    _named.clear()
    for word in left:
        name, _, value = word.partition("=")
        if name == "--plugin":
            plugin = value or next(left, "")
            import_plugin(plugin)
            _named.append(plugin)
        else:
            others.append(word)
    return others


def with_plugins(command: str) -> str:
    """A command of this package that is said to come next, with the plug-ins of the command that runs."""
    return command + "".join(f" --plugin {shlex.quote(name)}" for name in dict.fromkeys(_named))


def import_plugin(name: str) -> None:
    """Import a module that Python finds, or a file whose name ends in .py; nothing happens where that is done already.

    Raises:
        ConfigError: there is none, or it raises an error itself.
    """
    if not name:
        raise ConfigError("--plugin: name a module or a file")
    try:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            importlib.import_module(name)
    except ConfigError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"--plugin {name!r} cannot be imported: {why}") from error


def _import_file(path: Path) -> None:
    """Import a file under its own name, as `import` would where its folder is on Python's path."""
    if not path.is_file():
        raise ConfigError(f"--plugin {str(path)!r}: no such file")
    taken = sys.modules.get(path.stem)
    if taken is not None:
        if Path(getattr(taken, "__file__", None) or "").resolve() != path.resolve():
            raise ConfigError(f"--plugin {str(path)!r}: there is a module {path.stem!r} already; rename the file")
        return
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def plugins_among(*modules: str) -> list[str]:
    """Those of some modules that are not this package's, sorted, each of them once; a script by its file's name."""
    return sorted({_name_elsewhere(module) for module in modules if module.partition(".")[0] != "rspnet"})


def _name_elsewhere(module: str) -> str:
    """What another process imports a module as: a script is `__main__` in its own process alone."""
    if module not in _MAIN:
        return module
    return _scripts[-1] if _scripts else _script_name(module)


def _script_name(module: str) -> str:
    """The name by which the script that runs can be imported; a notebook or a console has none but `module`."""
    main = sys.modules[module]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name)
    return Path(file).stem if file else module


def plugins_sha256(modules: Iterable[str]) -> str:
    """SHA-256 of the files of plug-ins, in which edited code shows; "" where there is none.

    The script that runs does not count: most of what is edited there is no network.
    """
    digest, has_code = hashlib.sha256(), False
    for name in sorted(modules):
        file = Path(getattr(sys.modules.get(name), "__file__", None) or "")
        if file.is_file():
            digest.update(file.read_bytes())
            has_code = True
    return digest.hexdigest() if has_code else ""


def require_plugins(modules: Iterable[str]) -> None:
    """Raise a ConfigError for the first module that is not loaded."""
    for module in modules:
        if module not in sys.modules and module not in _scripts:
            raise ConfigError(
                f"it needs the plug-in {module!r}, which is not loaded: add --plugin {module}, or the path of its file "
                "(in Python, import it first)"
            )
