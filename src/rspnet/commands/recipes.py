"""`rspnet recipes`: list the ready-made settings, or print one."""

from __future__ import annotations

from rspnet.config.tools import RecipesConfig
from rspnet.recipes import recipe_names, recipe_path
from rspnet.recipes.published import BIBTEX


def show_recipes(config: RecipesConfig) -> None:
    """Print the recipe named, or every name with the first line of its header."""
    if config.name is not None:
        print(recipe_path(config.name).read_text(encoding="utf-8"), end="")
        return
    for name in recipe_names():
        header = recipe_path(name).read_text(encoding="utf-8").splitlines()[0]
        print(f"{name:<28} {header.lstrip('# ')}")
    print(f"\nWhoever uses them in a publication cites:\n\n{BIBTEX}")
