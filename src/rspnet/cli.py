"""The command line: a table from command to (configuration, task). Imports torch only inside a command."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, get_args, get_type_hints

from rspnet.config.method_options import add_method_options, method_flags, method_of
from rspnet.config.rules import METHOD
from rspnet.core.errors import ConfigError, OtherRankError, RSPNetError
from rspnet.core.files import refuse_address
from rspnet.core.locks import holding
from rspnet.core.plugins import import_plugins
from rspnet.core.streams import CLOSED_PIPE_EXIT_CODE, flush_results, is_closed, print_any_name, silence
from rspnet.recipes import recipe_path


class Command(NamedTuple):
    """One row of the table: names are resolved only when the command is called."""

    config: str
    task: str
    summary: str


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple": "a list such as [2]",
    "list": "a list such as [a,b]",
    "str": "text",
}
"""Python's name of an option's type -> how errors call it."""
_HINTS = dict.fromkeys(("method", "backbone"), ", or one from outside with --plugin")
"""Option -> what else there is than the values that an error lists."""

_WRITTEN = ("out", "cache", "download")
"""Options that name where files are written."""

COMMANDS: dict[str, Command] = {
    "pretrain": Command(
        "rspnet.config.pretrain:PretrainConfig", "rspnet.commands.pretrain:pretrain", "learn from unlabelled videos"
    ),
    "embed": Command(
        "rspnet.config.embed:EmbedConfig", "rspnet.commands.embed:embed", "turn videos into feature vectors"
    ),
    "retrieve": Command(
        "rspnet.config.retrieve:RetrieveConfig",
        "rspnet.commands.retrieve:retrieve",
        "score features by video retrieval",
    ),
    "finetune": Command(
        "rspnet.config.finetune:FinetuneConfig", "rspnet.commands.finetune:finetune", "train a classifier and test it"
    ),
    "evaluate": Command(
        "rspnet.config.finetune:EvaluateConfig", "rspnet.commands.evaluate:evaluate", "test a fine-tuned run again"
    ),
    "predict": Command(
        "rspnet.config.finetune:PredictConfig", "rspnet.commands.predict:predict", "name the classes of new videos"
    ),
    "compare": Command(
        "rspnet.config.compare:CompareConfig",
        "rspnet.commands.compare:compare",
        "put results side by side, paired tests",
    ),
    "convert": Command(
        "rspnet.config.convert:ConvertConfig", "rspnet.commands.convert:convert", "read weights of other programs"
    ),
    "weights": Command(
        "rspnet.config.weights:WeightsConfig", "rspnet.commands.weights:weights", "list or download published weights"
    ),
    "classify fit": Command(
        "rspnet.config.classify:ClassifyFitConfig",
        "rspnet.commands.classify_fit:classify_fit",
        "learn classes of moments from few labels",
    ),
    "classify run": Command(
        "rspnet.config.classify:ClassifyRunConfig",
        "rspnet.commands.classify_run:classify_run",
        "find the moments of these classes in videos",
    ),
    "export": Command(
        "rspnet.config.export:ExportConfig", "rspnet.commands.export:export", "write a network for use elsewhere"
    ),
    "probe": Command(
        "rspnet.config.probe:ProbeConfig",
        "rspnet.commands.probe:probe",
        "judge frozen features: linear, kNN, few labels",
    ),
    "study disentangle": Command(
        "rspnet.config.disentangle:DisentangleConfig",
        "rspnet.lab.disentangle.run_disentangle:disentangle",
        "ask features what they hold, and RSP what it goes by",
    ),
    "study shipped": Command(
        "rspnet.config.shipped:ShippedConfig",
        "rspnet.lab.make_shipped:make_shipped",
        "make the weights that come with the package again",
    ),
    "study": Command(
        "rspnet.config.study:StudyConfig",
        "rspnet.lab.study.run_study:study",
        "run a grid of pre-trainings and judge each",
    ),
    "subset": Command(
        "rspnet.config.labelled:SubsetConfig",
        "rspnet.commands.subset:make_subset",
        "link the smallest Kinetics classes",
    ),
    "roi": Command("rspnet.config.roi:RoiConfig", "rspnet.commands.roi:roi", "show where two clips are alike"),
    "doctor": Command(
        "rspnet.config.doctor:DoctorConfig", "rspnet.commands.doctor:doctor", "find what is wrong with your videos"
    ),
    "index": Command(
        "rspnet.config.search:IndexConfig", "rspnet.search.index:index", "make a folder of videos searchable"
    ),
    "search": Command(
        "rspnet.config.search:SearchConfig",
        "rspnet.search.search_command:search_command",
        "find videos by motion and look",
    ),
    "serve": Command("rspnet.config.search:ServeConfig", "rspnet.search.ui.serve:serve", "search in the browser"),
    "transcode": Command(
        "rspnet.config.transcode:TranscodeConfig",
        "rspnet.commands.transcode:transcode",
        "rewrite videos small and quick to read",
    ),
    "pack": Command("rspnet.config.pack:PackConfig", "rspnet.commands.pack:pack", "put videos into few large files"),
    "report": Command(
        "rspnet.config.report:ReportConfig", "rspnet.commands.report:report", "show a run in one HTML file"
    ),
    "demo": Command(
        "rspnet.config.tools:DemoConfig", "rspnet.commands.demo:demo", "see it learn, in minutes, without any data"
    ),
    "recipes": Command(
        "rspnet.config.tools:RecipesConfig", "rspnet.commands.recipes:show_recipes", "list or print ready-made settings"
    ),
    "bench": Command(
        "rspnet.config.tools:BenchConfig", "rspnet.lab.bench.run_bench:bench", "measure speed against the plain route"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (listed at the end of `rspnet --help`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    print_any_name()
    try:
        try:
            with holding():
                code = _run(words)
        finally:
            flush_results()
    except BrokenPipeError:
        if not is_closed(sys.stdout) and not is_closed(sys.stderr):
            raise
        silence(sys.stdout)
        silence(sys.stderr)
        return CLOSED_PIPE_EXIT_CODE
    except RSPNetError as error:
        print(f"rspnet: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of a print; a file that cannot be written is named by an RSPNetError
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        silence(sys.stdout)
        print(f"rspnet: error: cannot write the output: {error.strerror}", file=sys.stderr)
        return RSPNetError.exit_code
    return code


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"rspnet {version('rspnet')}")
        return 0
    try:
        words = import_plugins(words)
        command, rest = split_command(words)
        config = parse(command, rest)
        return int(resolve(COMMANDS[command].task)(config) or 0)
    except OtherRankError as error:
        return error.exit_code
    except RSPNetError as error:
        print(f"rspnet: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # The way to a file, which pathlib does not take for "there is none", or to what a URL names.
        if not isinstance(error, PermissionError) and "://" not in str(error.filename):
            raise
        print(f"rspnet: error: cannot read {error.filename!r}: {error.strerror}", file=sys.stderr)
        return RSPNetError.exit_code
    except KeyboardInterrupt:
        print("rspnet: stopped", file=sys.stderr)
        return 130


def split_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command, of one word or two, and the words after it.

    Raises:
        ConfigError: there is no such command.
    """
    for length in (2, 1):
        command = " ".join(words[:length])
        if command in COMMANDS:
            return command, list(words[length:])
    if not words:
        raise ConfigError(f"no command: one of {', '.join(COMMANDS)}")
    raise ConfigError(f"unknown command {words[0]!r}: one of {', '.join(COMMANDS)}")


def resolve(name: str) -> Any:
    """Import what `module:attribute` names."""
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def overview() -> str:
    """The text of `rspnet --help`."""
    rows = "\n".join(f"  {name:<17} {command.summary}" for name, command in COMMANDS.items())
    return (
        "usage: rspnet COMMAND [options]\n\n"
        "Video representations without labels, by relative speed perception (RSPNet, AAAI 2021).\n\n"
        f"commands:\n{rows}\n\n"
        "rspnet COMMAND --help explains a command and every option.\n"
        "--plugin MODULE (or FILE.py), with any command, imports pretext methods and backbones from outside.\n"
        "Options may come from YAML files (--config FILE) and recipes (--recipe NAME); later ones win.\n"
        "Exit codes: 0 done, 2 bad input, 3 too many unreadable videos, 4 the training diverged, 5 not enough memory,\n"
        "130 stopped by Ctrl-C or SIGTERM (go on with --resume), 141 nobody reads the output any more (| head)."
    )


def parse(command: str, words: Sequence[str]) -> Any:
    """Turn the words after a command into its frozen configuration.

    Raises:
        ConfigError: an unknown option, a value of the wrong type, or options that contradict each other.
    """
    from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    config = resolve(COMMANDS[command].config)
    parser = ArgumentParser(prog=f"rspnet {command}", description=inspect.getdoc(config), exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with options; later files and options win.")
    placed = [item for item in fields(config) if "positional" in item.metadata]
    hints = get_type_hints(config)
    for item in placed:
        options = dict(item.metadata["positional"])
        many = options.get("nargs") == "+"
        parser.add_argument(item.name, type=get_args(hints[item.name])[0] if many else hints[item.name], **options)
    chosen = [item.name for item in fields(config) if item.metadata == METHOD]
    parser.add_class_arguments(config, as_group=False, skip={*chosen, *(item.name for item in placed)})
    for name in chosen:
        add_method_options(parser, name)
    try:
        flags = set(flags_of(config)).union(*(method_flags(name) for name in chosen))
        parsed = parser.parse_args(expand(words, command=command, flags=flags))
        for name in sections_of(config):
            if not isinstance(parsed[name], Namespace):
                raise ConfigError(f"--config: section {name!r} is {parsed[name]!r}: it must hold options of its own")
        for name, value in parsed.as_flat().__dict__.items():
            parsed[name] = at_home(value)
        refuse_addresses(parsed)
        values = parser.instantiate(parsed)
        for name in chosen:
            values[name] = method_of(values[name])
        return config(**{item.name: values[item.name] for item in fields(config)})
    except UnicodeDecodeError as error:  # the only text read here is that of --config
        raise ConfigError("--config: the file is no text in UTF-8") from error
    except ArgumentError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ConfigError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        message = plainly(str(error), places=[item.name for item in placed])
        raise ConfigError(f"{message} (rspnet {command} --help explains every option)") from None


def at_home(value: Any) -> Any:
    """`~/x` as the path it means: the shell leaves it alone in `--out=~/x` and in YAML files."""
    if isinstance(value, list | tuple):
        return type(value)(at_home(inner) for inner in value)
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~") else value  # noqa: PTH111 - text


def refuse_addresses(parsed: Any) -> None:
    """Raise `ConfigError` where results are to go to an address: everything is written to local folders."""
    for name in _WRITTEN:
        if isinstance(value := parsed.get(name), str):
            refuse_address(f"--{name}", value)


def plainly(message: str, *, places: Collection[str] = ()) -> str:
    """What jsonargparse says of a value of the wrong type, on one line and without Python's names for types.

    Args:
        message: its error.
        places: options that are given by place.
    """
    text = " ".join(message.split())
    found = re.fullmatch(r'Parser key "([^"]+)": (.+?) (?:Got|Given) value: (.*)', text)
    if found is None:
        return text
    option, rule, value = found[1], found[2].partition(" Given value type")[0], found[3]
    choices = re.search(r"typing\.Literal\[(.*?)\]", rule)
    kinds = [words for name, words in _KINDS.items() if f"<class '{name}'>" in rule]
    wanted = [f"one of {choices[1]}".replace("'", "")] if choices else kinds
    name = option if option in places else f"--{option}"
    hint = _HINTS.get(option.rpartition(".")[2], "")
    return f"{name} {value!r}: must be {' or '.join(wanted)}{hint}" if wanted else text


def sections_of(config: type) -> list[str]:
    """The options of a configuration that are configurations themselves."""
    return [name for name, hint in get_type_hints(config).items() if isinstance(hint, type) and is_dataclass(hint)]


def flags_of(config: type, prefix: str = "--") -> Iterator[str]:
    """The yes-or-no options of a configuration and of those inside it."""
    for name, hint in get_type_hints(config).items():
        if hint is bool:
            yield prefix + name
        elif name in sections_of(config):
            yield from flags_of(hint, f"{prefix}{name}.")


def expand(words: Sequence[str], *, command: str, flags: Collection[str]) -> list[str]:
    """Spell options with underscores, `--flag` as `--flag=true`, and `--recipe NAME` as the file it stands for.

    Raises:
        ConfigError: there is no such recipe, or it is one of another command.
    """
    expanded: list[str] = []
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        elif name == "-k":
            name = "--k"
        following = words[place + 1] if place + 1 < len(words) else ""
        if expanded[-1:] == ["--recipe"]:
            expanded[-1:] = ["--config", str(recipe_path(word, command=command))]
        elif name == "--recipe" and equals:
            expanded += ["--config", str(recipe_path(value, command=command))]
        elif name in flags and not equals and following not in ("true", "false"):
            expanded.append(f"{name}=true")
        else:
            expanded.append(name + equals + (at_home(value) if equals else value))
    return expanded
