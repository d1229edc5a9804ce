"""Figures of the source tree: lines and files of every room, the largest room's share, names that mean two things.

    python benchmarks/house.py

A room is a folder directly below `src/rspnet`; folders inside a room of their own subject (`lab/study`) count as rooms.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "rspnet"
MIRRORED = ("commands", "config")
"""Rooms whose files carry the same names on purpose: a command and its options."""


def rooms() -> dict[str, list[Path]]:
    """The Python files of every room; the package's own files are room `.`."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        found[path.parent.relative_to(SOURCE).as_posix()].append(path)
    return dict(found)


def public_names(path: Path) -> list[str]:
    """Public classes and functions that a file defines at its top level."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [item.name for item in body if isinstance(item, kinds) and not item.name.startswith("_")]


def main() -> None:
    """Print the tables."""
    found = rooms()
    lines = {
        room: sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths) for room, paths in found.items()
    }
    total = sum(lines.values())
    print("| room | files | lines | share |\n|---|---|---|---|")
    for room, count in sorted(lines.items(), key=lambda item: -item[1]):
        print(f"| {room} | {len(found[room])} | {count} | {count / total:.1%} |")
    largest = max(lines, key=lambda room: lines[room])
    print(
        f"\n{sum(map(len, found.values()))} files, {total} lines; largest room: {largest}, {lines[largest] / total:.1%}"
    )
    stems = Counter(path.stem for room, paths in found.items() if room not in MIRRORED for path in paths)
    repeated = sorted(stem for stem, count in stems.items() if count > 1 and stem != "__init__")
    print(f"file names that repeat: {len(repeated)} ({', '.join(repeated)})")
    homes: dict[str, set[str]] = defaultdict(set)
    for paths in found.values():
        for path in paths:
            for name in public_names(path):
                homes[name].add(path.relative_to(SOURCE).as_posix())
    twice = {name: places for name, places in sorted(homes.items()) if len(places) > 1}
    print(f"public names with two homes: {len(twice)}")
    for name, places in twice.items():
        print(f"  {name}: {', '.join(sorted(places))}")


if __name__ == "__main__":
    main()
