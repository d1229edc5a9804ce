"""From words of a command line, or from options of Python, to a command's frozen configuration."""

from __future__ import annotations

import argparse
import inspect
import keyword
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

import yaml

from rspnet.config.method_options import add_method_options, method_flags, method_of
from rspnet.config.old_words import in_new_options
from rspnet.config.plain_errors import plainly, type_in_words
from rspnet.config.rules import METHOD, ByPlace
from rspnet.config.word_lists import with_lists, word_lists
from rspnet.config.words import in_form
from rspnet.core.errors import ConfigError
from rspnet.core.files import at_home, refuse_address
from rspnet.core.names import did_you_mean, dotted
from rspnet.recipes import recipe_names, recipe_path

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_WRITTEN = ("out", "cache", "download", "write_list")
"""Options that name where files are written."""


def parse_words(kind: type, words: Sequence[str], *, command: str, defaults: Mapping[str, Any] | None = None) -> Any:
    """The configuration that the words after a command ask for.

    Args:
        kind: the command's configuration.
        words: of the command line.
        command: its name.
        defaults: nested options in place of the configuration's own defaults; recipes, files and words win over them.

    Raises:
        ConfigError: an unknown option, a value of the wrong type, or options that contradict each other.
    """
    if not has_recipes(kind, command=command) and any(word.partition("=")[0] == "--recipe" for word in words):
        raise ConfigError(f"--recipe: rspnet {command} has no recipes")
    parser = make_parser(kind, command=command)
    if defaults:
        parser.set_defaults(dict(dotted(defaults)))
    flags = set(flags_of(kind)).union(*(method_flags(name) for name in _methods(kind)))
    placed, lists = [item.name for item in _placed(kind)], [f"--{name}" for name in _several(kind)]
    spelled = with_lists(
        in_form(words, command=command, flags=flags, places=placed, several=lists), names=word_lists(kind)
    )
    return _parsed(kind, parser, lambda: parser.parse_args(spelled), command=command)


def parse_options(
    kind: type,
    options: Mapping[str, Any],
    *,
    command: str,
    recipe: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """The configuration that options of Python ask for.

    Args:
        kind: the command's configuration.
        options: by name; those of a section as a mapping or as the section's dataclass; paths as text or `Path`.
        command: its name.
        recipe: ready-made settings that `options` win over; the command's name and a slash may be left out.
        defaults: nested options in place of the configuration's own defaults; the recipe and `options` win over them.

    Raises:
        ConfigError: as `parse_words`, or there is no such recipe.
    """
    parser = make_parser(kind, command=command)
    given, known = in_new_options(command, plain_options(options)), [item.name for item in fields(kind)]
    for name in given:
        if name not in known:
            raise ConfigError(f"there is no option {name!r}: one of {', '.join(known)}")
        if name in sections_of(kind) and not isinstance(given[name], Mapping):
            raise _no_section(name, given[name])
    if recipe is not None:
        given = merged(yaml.safe_load(recipe_path(recipe, command=command).read_text(encoding="utf-8")), given)
    given = merged(defaults or {}, given)
    return _parsed(kind, parser, lambda: parser.parse_object(given), command=command)


def parse_content(kind: type, content: Mapping[str, Any], *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """What a file of settings says, as values of the types of a dataclass's fields; those it lacks have their defaults.

    Args:
        kind: the dataclass.
        content: as YAML gives it.
        leave_out: fields that the file does not hold.

    Raises:
        ConfigError: an entry that the dataclass does not have, one that is missing, or a value of the wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    _resolve_types(kind)
    said = {name: value for name, value in content.items() if value is not None}  # YAML's entry without a value
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, as_group=False, skip=set(leave_out))
    try:
        parsed = parser.instantiate(parser.parse_object(said))
    except ArgumentError as error:
        raise ConfigError(plainly(str(error), places=[*content, *(item.name for item in fields(kind))])) from None
    return {item.name: parsed[item.name] for item in fields(kind) if item.name not in leave_out}


def make_parser(kind: type, *, command: str) -> ArgumentParser:
    """The parser of a command; its help explains every option."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

    class Help(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keeps the lines of a configuration's docstring, as of its examples, and says types in words."""

        def _get_type_str(self, action: argparse.Action) -> str | None:
            text = super()._get_type_str(action)
            return text and type_in_words(text)

        def _expand_help(self, action: argparse.Action) -> str:
            return super()._expand_help(action).replace(", default: null)", ")")

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    _resolve_types(kind)
    parser = ArgumentParser(
        prog=f"rspnet {command}",
        description=inspect.getdoc(kind),
        formatter_class=Help,
        exit_on_error=False,
        allow_abbrev=False,
    )
    config = parser.add_argument(
        "--config", action="config", help="YAML file with options; later files and options win."
    )
    if has_recipes(kind, command=command):
        names = ", ".join(name for name in recipe_names() if name.startswith(f"{command}/"))
        text = f"Ready-made settings; later options win (rspnet recipes NAME prints them): {names}."
        parser.add_argument("--recipe", action=_recipe_action(config, command), metavar="NAME", help=text)
    placed = _placed(kind)
    hints = get_type_hints(kind)
    for item in placed:
        options = dict(item.metadata["positional"])
        many = options.get("nargs") in ("+", "*")
        of = get_args(hints[item.name])[0] if many else hints[item.name]
        action = parser.add_argument(item.name, type=of, **options)
        action.required = action.required and options.get("nargs") != "*"  # argparse calls an empty list "required"
    by_place: ByPlace | None = getattr(kind, "BY_PLACE", None)
    if by_place is not None:
        parser.add_argument(by_place.name, nargs="?", type=str, help=by_place.help)
    chosen = _methods(kind)
    lists = _several(kind)
    parser.add_class_arguments(kind, as_group=False, skip={*chosen, *lists, *(item.name for item in placed)})
    for name, text in lists.items():
        parser.add_argument(f"--{name}", nargs="+", type=str, default=[], help=text)
    _spell_keywords(parser)
    for name in chosen:
        add_method_options(parser, name)
    sections = {*sections_of(kind), *chosen}
    for action in parser._actions:
        if action.dest in sections:  # a whole section from a file: --config does that
            action.help = argparse.SUPPRESS
    parser.usage = _usage(parser)
    return parser


def _resolve_types(kind: type) -> None:
    """Let the types of inherited options be those of the module that declares them, not of the one that inherits.

    The parser looks their names up in the latter; those that it does not find there it takes for any value.
    """
    hints = get_type_hints(kind)
    own = cast(Any, kind).__init__.__annotations__
    own.update({name: hints[name] for name in own if name in hints})


def _spell_keywords(parser: ArgumentParser) -> None:
    """Call options such as `class_`, whose name is a word of Python, `--class`."""
    for action in list(parser._actions):
        name = action.dest.removesuffix("_")
        if action.dest != name and keyword.iskeyword(name):
            action.option_strings = [f"--{name}"]
            parser._option_string_actions[f"--{name}"] = action
            action.metavar = name.upper()


def _usage(parser: ArgumentParser) -> str:
    """What is given by place, and the options that must be given; the list of options says the rest."""
    words = [parser.prog]
    for action in parser._actions:
        if action.option_strings:
            words += [f"{action.option_strings[0]} {action.dest.upper()}"] if action.required else []
        else:
            words.append(
                {"+": f"{action.dest} ...", "*": f"[{action.dest} ...]", "?": f"[{action.dest}]"}.get(
                    str(action.nargs), action.dest
                )
            )
    return " ".join([*words, "[options]"])


def has_recipes(kind: type, *, command: str) -> bool:
    """Whether the command has ready-made settings (those of a study are no options: it takes their names by place)."""
    return bool(sections_of(kind)) and any(name.startswith(f"{command}/") for name in recipe_names())


def _recipe_action(config: argparse.Action, command: str) -> type[argparse.Action]:
    """What `--recipe NAME` does: the same as the option `config` with the recipe's file."""

    class Recipe(argparse.Action):
        def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
            config(parser, cfg, str(recipe_path(values, command=command)), option_string)

    return Recipe


def _placed(kind: type) -> list[Any]:
    return [item for item in fields(kind) if "positional" in item.metadata]


def _names_of_places(kind: type) -> list[str]:
    by_place: ByPlace | None = getattr(kind, "BY_PLACE", None)
    return [*(item.name for item in _placed(kind)), *([] if by_place is None else [by_place.name])]


def _several(kind: type) -> dict[str, str]:
    """The options that take one text or more, and what explains them."""
    return {item.name: item.metadata["several"] for item in fields(kind) if "several" in item.metadata}


def _methods(kind: type) -> list[str]:
    """The options that stand for a pretext method with options of its own."""
    return [item.name for item in fields(kind) if item.metadata == METHOD]


def _parsed(kind: type, parser: ArgumentParser, parse: Callable[[], Namespace], *, command: str) -> Any:
    """The configuration of what `parse` gives, its errors in one line."""
    from jsonargparse import ArgumentError, Namespace

    try:
        parsed = parse()
        if parsed.get("recipe") is not None:  # `--recipe` itself leaves nothing there
            raise ConfigError("--config: a file cannot name a recipe; put --recipe NAME before --config")
        _take_place(kind, parsed)
        _refuse_empty(parsed, places=_names_of_places(kind))
        _refuse_infinite(parsed)
        for name in sections_of(kind):
            if not isinstance(parsed[name], Namespace):
                raise _no_section(name, parsed[name])
        for name, value in parsed.as_flat().__dict__.items():
            parsed[name] = at_home(value)
        if not getattr(kind, "WRITES_TO_ADDRESSES", False):
            refuse_addresses(parsed)
        values = parser.instantiate(parsed)
        for name in _methods(kind):
            values[name] = method_of(values[name])
        return kind(**{item.name: values[item.name] for item in fields(kind)})
    except UnicodeDecodeError as error:  # the only text read here is that of --config
        raise ConfigError("--config: the file is no text in UTF-8") from error
    except ArgumentError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ConfigError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        message = plainly(str(error), places=_names_of_places(kind), lists=word_lists(kind)) + _near(str(error), parser)
        raise ConfigError(f"{message} (rspnet {command} --help explains every option)") from None


def _no_section(name: str, value: Any) -> ConfigError:
    return ConfigError(f"{name}: {value!r} is no section: it must hold options of its own")


def _near(message: str, parser: ArgumentParser) -> str:
    """The option that was meant, where an error says that there is none of a name; "" where none is near."""
    unknown = re.search(r"[Uu]nrecognized arguments: (--[\w.]+)", message)
    if unknown is None:
        return ""
    meant = did_you_mean(unknown[1], parser._option_string_actions)
    return f": {meant}" if meant else ""


def refuse_addresses(parsed: Any) -> None:
    """Raise `ConfigError` where results are to go to an address: everything is written to local folders."""
    for name in _WRITTEN:
        if isinstance(value := parsed.get(name), str):
            refuse_address(f"--{name}", value)


def _refuse_empty(parsed: Namespace, *, places: Collection[str]) -> None:
    """Raise `ConfigError` for an empty text, mostly of a variable of the shell that is not set: no option has one.

    As a path it would be the folder that the command runs in.
    """
    for name, value in parsed.as_flat().__dict__.items():
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise ConfigError(f"{name if name in places else f'--{name}'} '': must not be empty")


def _refuse_infinite(parsed: Namespace) -> None:
    """Raise `ConfigError` for a number that is infinite or none: no option has one."""
    for name, value in parsed.as_flat().__dict__.items():
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, float) and not isfinite(number):
                raise ConfigError(f"--{name} {number}: must be finite")


def _take_place(kind: type, parsed: Namespace) -> None:
    """Put what was given by place where its option is; raises as `option_of_place`."""
    by_place: ByPlace | None = getattr(kind, "BY_PLACE", None)
    value = None if by_place is None else parsed.get(by_place.name)
    if by_place is not None and value is not None:
        parsed[option_of_place(by_place, value, parsed)] = value


def option_of_place(by_place: ByPlace, value: str, options: Mapping[str, Any] | Namespace) -> str:
    """The dotted option that a text given by place stands for.

    Args:
        by_place: the place.
        value: what is given there.
        options: by dotted name.

    Raises:
        ConfigError: the option is given, too, and says something else.
    """
    option = by_place.option(value)
    if (said := options.get(option)) not in (None, value):
        raise ConfigError(f"{by_place.name} {value!r}: --{option} says {said!r}; give one of the two")
    return option


@cache
def sections_of(kind: type) -> tuple[str, ...]:
    """The options of a configuration that are configurations themselves."""
    return tuple(name for name, hint in get_type_hints(kind).items() if isinstance(hint, type) and is_dataclass(hint))


def flags_of(kind: type, prefix: str = "--") -> Iterator[str]:
    """The yes-or-no options of a configuration and of those inside it."""
    for name, hint in get_type_hints(kind).items():
        if hint is bool:
            yield prefix + name
        elif name in sections_of(kind):
            yield from flags_of(hint, f"{prefix}{name}.")


def is_undecided(kind: type, names: Iterable[str]) -> bool:
    """Whether options of these dotted names leave open what is learned and how, so that it is to be chosen."""
    open_ones: tuple[str, ...] | None = getattr(kind, "UNDECIDED", None)
    return open_ones is not None and all(name in open_ones or name.split(".")[0] in open_ones for name in names)


def dotted_names(options: Mapping[str, Any]) -> list[str]:
    """Dotted names of nested options."""
    return [name for name, _ in dotted(options)]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options, those of `over` in place of those of `base`."""
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as nested dicts of plain values: a section's dataclass as a dict, a `Path` as text, NumPy's numbers as
    Python's."""
    return {name: _plain_value(value) for name, value in options.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, os.PathLike):  # what a training returned is a dataclass, too
        return os.fspath(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain_options(asdict(value))
    if isinstance(value, Mapping):
        return plain_options(value)
    if isinstance(value, list | tuple):
        return [_plain_value(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value
