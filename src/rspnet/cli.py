"""The command line: a table from command to (configuration, task). Imports torch only inside a command."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rspnet.core.errors import ConfigError, NotEnoughMemoryError, OtherRankError, RSPNetError, is_out_of_memory
from rspnet.core.leaving import leave_at_once
from rspnet.core.locks import holding
from rspnet.core.names import known_names
from rspnet.core.plugins import import_plugins
from rspnet.core.streams import (
    CLOSED_PIPE_EXIT_CODE,
    flush_results,
    is_closed,
    open_closed_streams,
    print_any_name,
    silence,
)
from rspnet.first_look import look_first


class Command(NamedTuple):
    """One row of the table: names are resolved only when the command is called."""

    config: str
    task: str
    summary: str
    chooser: str | None = None
    """What gives options in place of the defaults: of (configuration, names of the options that are given)."""
    has_readers: bool = False
    """Whether processes read the command's videos; their imports begin while the command itself imports."""


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "rspnet.config.tools:DemoConfig", "rspnet.commands.demo:demo", "see it learn, in minutes, without any data"
    ),
    "doctor": Command(
        "rspnet.config.doctor:DoctorConfig", "rspnet.commands.doctor:doctor", "find what is wrong with your videos"
    ),
    "transcode": Command(
        "rspnet.config.transcode:TranscodeConfig",
        "rspnet.commands.transcode:transcode",
        "rewrite videos small and quick to read",
    ),
    "pack": Command("rspnet.config.pack:PackConfig", "rspnet.commands.pack:pack", "put videos into few large files"),
    "pretrain": Command(
        "rspnet.config.pretrain:PretrainConfig",
        "rspnet.commands.pretrain:pretrain",
        "learn from unlabelled videos",
        "rspnet.api.chosen_options:choose_pretraining",
        has_readers=True,
    ),
    "embed": Command(
        "rspnet.config.embed:EmbedConfig",
        "rspnet.commands.embed:embed",
        "turn videos into feature vectors",
        has_readers=True,
    ),
    "index": Command(
        "rspnet.config.search:IndexConfig",
        "rspnet.search.index:index",
        "make a folder of videos searchable",
        has_readers=True,
    ),
    "search": Command(
        "rspnet.config.search:SearchConfig",
        "rspnet.search.search_command:search_command",
        "find videos by motion and appearance",
    ),
    "serve": Command("rspnet.config.search:ServeConfig", "rspnet.search.ui.serve:serve", "search in the browser"),
    "classify fit": Command(
        "rspnet.config.classify:ClassifyFitConfig",
        "rspnet.commands.classify_fit:classify_fit",
        "learn classes of moments from few labels",
    ),
    "classify run": Command(
        "rspnet.config.classify:ClassifyRunConfig",
        "rspnet.commands.classify_run:classify_run",
        "find the moments of these classes in videos",
        has_readers=True,
    ),
    "probe": Command(
        "rspnet.config.probe:ProbeConfig",
        "rspnet.commands.probe:probe",
        "judge frozen features: linear, kNN, few labels",
        has_readers=True,
    ),
    "finetune": Command(
        "rspnet.config.finetune:FinetuneConfig",
        "rspnet.commands.finetune:finetune",
        "train a classifier and test it",
        "rspnet.api.chosen_options:choose_finetuning",
    ),
    "evaluate": Command(
        "rspnet.config.finetune:EvaluateConfig", "rspnet.commands.evaluate:evaluate", "test a fine-tuned run again"
    ),
    "predict": Command(
        "rspnet.config.finetune:PredictConfig",
        "rspnet.commands.predict:predict",
        "name the classes of new videos",
        has_readers=True,
    ),
    "retrieve": Command(
        "rspnet.config.retrieve:RetrieveConfig",
        "rspnet.commands.retrieve:retrieve",
        "score features by video retrieval",
        has_readers=True,
    ),
    "compare": Command(
        "rspnet.config.compare:CompareConfig",
        "rspnet.commands.compare:compare",
        "put results side by side, paired tests",
    ),
    "roi": Command("rspnet.config.roi:RoiConfig", "rspnet.commands.roi:roi", "show where two clips are similar"),
    "report": Command(
        "rspnet.config.report:ReportConfig", "rspnet.commands.report:report", "show a run in one HTML file"
    ),
    "weights": Command(
        "rspnet.config.weights:WeightsConfig", "rspnet.commands.weights:weights", "list or download published weights"
    ),
    "convert": Command(
        "rspnet.config.convert:ConvertConfig", "rspnet.commands.convert:convert", "read weights of other programs"
    ),
    "export": Command(
        "rspnet.config.export:ExportConfig", "rspnet.commands.export:export", "write a network for use elsewhere"
    ),
    "recipes": Command(
        "rspnet.config.tools:RecipesConfig", "rspnet.commands.recipes:show_recipes", "list or print ready-made settings"
    ),
    "recipes plan": Command(
        "rspnet.config.tools:PlanConfig",
        "rspnet.commands.plan_cell:plan_cell",
        "print the chain of a published result, with its hours",
    ),
    "subset": Command(
        "rspnet.config.labelled:SubsetConfig",
        "rspnet.commands.subset:make_subset",
        "link the smallest Kinetics classes",
    ),
    "study": Command(
        "rspnet.config.study:StudyConfig", "rspnet.lab.study.study:study", "run a grid of pre-trainings and judge each"
    ),
    "study disentangle": Command(
        "rspnet.config.disentangle:DisentangleConfig",
        "rspnet.lab.disentangle.run_disentangle:disentangle",
        "measure what features encode, and what RSP relies on",
    ),
    "study shipped": Command(
        "rspnet.config.shipped:ShippedConfig",
        "rspnet.lab.make_shipped:make_shipped",
        "make the weights that come with the package again",
    ),
    "bench": Command(
        "rspnet.config.tools:BenchConfig", "rspnet.lab.bench.run_bench:bench", "measure speed against the plain route"
    ),
}


_HEADINGS = {
    "demo": "start, and prepare videos",
    "pretrain": "learn from videos",
    "embed": "use what was learned",
    "probe": "judge it, and name classes",
    "weights": "weights and settings",
    "study": "research",
}
"""First command of a group -> what the group is for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (listed at the end of `rspnet --help`).

    NOTE: NumPy's BLAS gets one thread in this process and its workers, unless the environment says otherwise. Its
    products are small here, and its other threads wait awake for the next (see `features.spaces.shortened`).
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_closed_streams()
    print_any_name()
    try:
        try:
            with holding(), _stopped_by_sigterm():
                code = _run(words)
            if code not in (0, 1):
                leave_at_once()
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


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM stops a command as Ctrl-C does.

    One of several ranks ends at once: while it waits for the others, Python hears no signal.
    """
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1" and threading.current_thread() is threading.main_thread()
    if not is_alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
        look_first(command, config)
        _start_readers(command, config)
        config = choose_the_rest(command, rest, config)
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
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        what = " ".join(str(error).split())[:200]
        print(f"rspnet: error: out of memory: do less at once, or with smaller clips ({what})", file=sys.stderr)
        return NotEnoughMemoryError.exit_code
    except KeyboardInterrupt:
        print("rspnet: stopped", file=sys.stderr)
        return 130


def _start_readers(command: str, config: Any) -> None:
    """Let the processes that will read videos begin, where there will be any."""
    asked_for = [getattr(part, "num_workers", None) for part in (config, getattr(config, "data", None))]
    idle = 0 in asked_for or getattr(config, "dry_run", False) or getattr(config, "on", "here") != "here"
    if COMMANDS[command].has_readers and not idle:
        from rspnet.core.workers import start_early
        from rspnet.data import READERS

        start_early(READERS)


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
    raise ConfigError(f"unknown command {words[0]!r}: {known_names(words[0], COMMANDS)}")


def resolve(name: str) -> Any:
    """Import what `module:attribute` names.

    NOTE: meanwhile no garbage is collected. What is imported stays, and looking through it was a seventh of a start.
    """
    module, attribute = name.split(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(importlib.import_module(module), attribute)
    finally:
        if collects:
            gc.enable()


def overview() -> str:
    """The text of `rspnet --help`."""
    rows = "\n".join(
        (f"\n{_HEADINGS[name]}:\n" if name in _HEADINGS else "") + f"  {name:<17} {command.summary}"
        for name, command in COMMANDS.items()
    )
    return (
        "usage: rspnet COMMAND [options]\n\n"
        "Video representations without labels, by relative speed perception (RSPNet, AAAI 2021).\n\n"
        f"Commands, in the order of use\n{rows}\n\n"
        "rspnet COMMAND --help explains a command and every option.\n"
        "--plugin MODULE (or FILE.py), with any command, imports pretext methods and backbones from outside.\n"
        "Options may come from YAML files (--config FILE) and recipes (--recipe NAME); later ones win.\n"
        "Exit codes: 0 done, 1 something was found or skipped (doctor, transcode, pack), 2 bad input, 3 too many\n"
        "skipped videos, 4 the training diverged, 5 not enough memory, 130 stopped by Ctrl-C or SIGTERM\n"
        "(go on with --resume), 141 nobody reads the output any more (| head)."
    )


def parse(command: str, words: Sequence[str]) -> Any:
    """Turn the words after a command into its frozen configuration; see `rspnet.config.parser.parse_words`."""
    from rspnet.config.parser import parse_words

    return parse_words(resolve(COMMANDS[command].config), words, command=command)


def choose_the_rest(command: str, words: Sequence[str], config: Any) -> Any:
    """The configuration, what its words leave open chosen."""
    from rspnet.config.parser import parse_words
    from rspnet.config.words import named_in

    row = COMMANDS[command]
    if row.chooser is None:
        return config
    chosen = resolve(row.chooser)(config, named_in(words, command=command))
    return parse_words(type(config), words, command=command, defaults=chosen) if chosen else config
