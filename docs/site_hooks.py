"""Pages of the site that are made from the code: the reference of commands, and the examples.

MkDocs calls `on_config` and `on_files` (mkdocs.yml names this file). Nothing is written to disk: the pages exist only
in the built site, so they cannot disagree with the code.
"""

from __future__ import annotations

import argparse
import html
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from rspnet.cli import COMMANDS, overview, resolve  # noqa: E402
from rspnet.config.parser import make_parser  # noqa: E402

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TABLES = sorted((ROOT / "docs" / "evidence").glob("*.md"))


def on_config(config: MkDocsConfig) -> None:
    """Fill the sections of the navigation that are left empty there."""
    assert config.nav is not None
    fill(
        config.nav,
        {
            "Examples": [{title_of(path): f"examples/{path.stem}.md"} for path in EXAMPLES],
            "Commands": ["commands/index.md", *({command: page_of(command)} for command in COMMANDS)],
            "Tables of the studies": [{in_words(path): f"evidence/{path.name}"} for path in TABLES],
        },
    )


def fill(nav: list[Any], sections: Mapping[str, list[Any]]) -> None:
    """Give sections their pages, at any depth."""
    for entry in nav:
        for name in entry if isinstance(entry, dict) else ():
            if name in sections:
                entry[name] = sections[name]
            elif isinstance(entry[name], list):
                fill(entry[name], sections)


def in_words(path: Path) -> str:
    """A file's name as a title."""
    return path.stem.replace("-", " ").capitalize()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every command and every example."""
    pages = {"commands/index.md": list_of_commands()}
    pages |= {page_of(command): reference_of(command) for command in COMMANDS}
    pages |= {f"examples/{path.stem}.md": markdown_of(path.read_text(encoding="utf-8")) for path in EXAMPLES}
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to an example's file, which work in the repository, to its page."""
    return re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](examples/\1.md)", markdown)


def page_of(command: str) -> str:
    """Where a command's page is."""
    return f"commands/{command.replace(' ', '-')}.md"


def list_of_commands() -> str:
    """All commands with what they do, and what `rspnet --help` says of all of them."""
    rows = [f"| [`rspnet {name}`]({page_of(name)[9:]}) | {row.summary} |" for name, row in COMMANDS.items()]
    general = overview().partition("rspnet COMMAND --help")
    return "\n".join(
        ["# Commands", "", "| command | what it does |", "|---|---|", *rows, "", "```text", "".join(general[1:]), "```"]
    )


def reference_of(command: str) -> str:
    """A command's description, and tables of what it takes, from the parser that reads its command line."""
    kind = resolve(COMMANDS[command].config)
    parser = make_parser(kind, command=command)
    lines = [
        f"# rspnet {command}",
        "",
        *paragraphs_of(inspect.getdoc(kind) or ""),
        "```text",
        parser.usage or "",
        "```",
    ]
    sections: dict[str, list[str]] = {"Arguments": [], "Options": []}
    for action in parser._actions:
        if action.help != argparse.SUPPRESS and action.dest not in ("help", "print_config"):
            row = f"| {spelled(action)} | {in_cell(action.help or '')} | {default_of(action)} |"
            sections.setdefault(section_of(action), []).append(row)
    for name, rows in sections.items():
        if rows:
            lines += ["", f"## {name}", "", "| | | default |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def paragraphs_of(text: str) -> Iterator[str]:
    """A configuration's docstring as Markdown: paragraphs with commands as they stand, the others as text."""
    for paragraph in text.split("\n\n"):
        yield f"```text\n{paragraph}\n```" if "rspnet " in paragraph.partition("\n")[0] else in_cell(paragraph)
        yield ""


def section_of(action: argparse.Action) -> str:
    """The heading an option stands below: its dotted section, if it has one."""
    if not action.option_strings:
        return "Arguments"
    section, dot, _ = action.dest.partition(".")
    return f"Options of {section}" if dot else "Options"


def spelled(action: argparse.Action) -> str:
    """The option as it is typed, and what it takes."""
    name = action.option_strings[0] if action.option_strings else action.dest
    return f'<span style="white-space: nowrap">`{name}`</span><br><small>{in_cell(taken_by(action))}</small>'


def taken_by(action: argparse.Action) -> str:
    """The values an option takes, in words: its choices, or its type."""
    hint = getattr(action, "_typehint", None)
    text = str(getattr(hint, "__name__", hint) if inspect.isclass(hint) else hint or "text")
    text = re.sub(r"typing\.Literal\[(.*?)\]", lambda found: found[1].replace("'", ""), text)
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    text = text.replace(" | None", "").replace("tuple[", "list[").replace(", ...]", "]")
    return re.sub(r"\b(str|int|float|bool)\b", lambda found: names[found[0]], text).replace(" | ", " or ")


def default_of(action: argparse.Action) -> str:
    """The default as it would be typed; empty where there is none."""
    if action.default is None or action.default == argparse.SUPPRESS:
        return ""
    value = action.default
    if isinstance(value, tuple | list):
        value = "[" + ",".join(map(str, value)) + "]"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""


def in_cell(text: str) -> str:
    """Text for a cell of a table."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("*", "\\*")


def title_of(path: Path) -> str:
    """The heading of an example."""
    found = re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found is not None, f"{path}: no heading"
    return found[1]


def markdown_of(script: str) -> str:
    """A script in percent format as a page: cells of text as text, cells of code as code."""
    return "\n\n".join(cells_of(script)) + "\n"


def cells_of(script: str) -> Iterator[str]:
    """Its cells, as Markdown."""
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            yield re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
        else:
            yield f"```python\n{body.strip()}\n```"
