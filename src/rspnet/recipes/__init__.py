"""Ready-made settings as YAML files that hold only the differences from the defaults."""

from __future__ import annotations

from pathlib import Path

from rspnet.core.errors import ConfigError

_FOLDER = Path(__file__).parent


def recipe_path(name: str, *, command: str | None = None) -> Path:
    """The YAML file of a recipe; with `command` it must be one of that command's.

    Raises:
        ConfigError: there is no such recipe.
    """
    names = [recipe for recipe in recipe_names() if command is None or recipe.startswith(f"{command}/")]
    if not names:
        raise ConfigError(f"--recipe {name!r}: rspnet {command} has no recipes")
    if name not in names:
        raise ConfigError(f"--recipe {name!r}: one of {', '.join(names)}")
    return _FOLDER / f"{name}.yaml"


def recipe_names() -> list[str]:
    """All recipes, such as `pretrain/small-cpu`."""
    return sorted(str(path.relative_to(_FOLDER).with_suffix("")) for path in _FOLDER.rglob("*.yaml"))
