"""Ready-made settings as YAML files that hold only the differences from the defaults."""

from __future__ import annotations

from pathlib import Path

from rspnet.core.errors import ConfigError
from rspnet.core.names import known_names

_FOLDER = Path(__file__).parent


def recipe_path(name: str, *, command: str | None = None) -> Path:
    """The YAML file of a recipe; with `command` it must be one of that command's, whose name may be left out.

    Raises:
        ConfigError: there is no such recipe.
    """
    name = name if command is None or "/" in name else f"{command}/{name}"
    names = [recipe for recipe in recipe_names() if command is None or recipe.startswith(f"{command}/")]
    if not names:
        raise ConfigError(f"--recipe {name!r}: rspnet {command} has no recipes")
    if name not in names:
        raise ConfigError(f"{'study' if command == 'study' else 'recipe'} {name!r}: {known_names(name, names)}")
    return _FOLDER / f"{name}.yaml"


def study_path(name: str) -> Path:
    """The YAML file of a ready-made study, or the file that is named.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else recipe_path(name, command="study")
    if not path.exists():
        raise ConfigError(f"study {name!r} cannot be read: there is no such file")
    return path


def recipe_lines(kind: str = "") -> list[str]:
    """Every recipe whose name begins so, with the first line of its header."""
    names = [name for name in recipe_names() if name.startswith(kind)]
    width = max(len(name.removeprefix(kind)) for name in names)
    heads = [(_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name in names]
    return [f"{name.removeprefix(kind):<{width}}  {head}" for name, head in zip(names, heads, strict=True)]


def recipe_names() -> list[str]:
    """All recipes, such as `pretrain/small-cpu`."""
    return sorted(str(path.relative_to(_FOLDER).with_suffix("")) for path in _FOLDER.rglob("*.yaml"))
