"""`rspnet recipes`: list the ready-made settings, or print one."""

from __future__ import annotations

from rspnet.config.tools import RecipesConfig
from rspnet.recipes import recipe_lines, recipe_path
from rspnet.recipes.published import BIBTEX


def show_recipes(config: RecipesConfig) -> None:
    """Print the recipe named, or every name with the first line of its header."""
    if config.name is not None:
        print(recipe_path(config.name).read_text(encoding="utf-8"), end="")
        return
    print("\n".join(recipe_lines()))
    print(f"\nWhoever uses them in a publication cites:\n\n{BIBTEX}")
