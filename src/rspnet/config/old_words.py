"""Words of the command line that earlier versions spelled otherwise: taken for one version, each with a line of advice.

The table of words is in CONTRIBUTING; what stands here is only what was called differently. Remove the whole file, and
its callers, after version 0.3.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rspnet.weights import shipped_names

_MODEL = {"model": "weights"}
_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "pretrain": {"model.init": "weights"},
    "finetune": {
        "init": "weights",  # of rspnet.finetune
        "model.init": "weights",
        "clips.test_clips": "clips.num_clips",
        "clips.test_crops": "clips.num_crops",
        "look_clips": "validation_clips",
    },
    "evaluate": {"run": "weights", "test_clips": "num_clips", "test_crops": "num_crops"},
    "predict": {**_MODEL, "test_clips": "num_clips"},
    "embed": {**_MODEL, "clips": "num_clips"},
    "index": {**_MODEL, "clips": "num_clips", "store": "out", "folder": "videos"},
    "search": {**_MODEL, "k": "top", "store": "library"},
    "serve": {**_MODEL, "store": "library"},
    "probe": _MODEL,
    "retrieve": _MODEL,
    "roi": _MODEL,
    "export": _MODEL,
    "convert": {"file": "weights"},
    "classify run": {**_MODEL, "sources": "videos"},
    "study": {"root": "dataset"},
    "study disentangle": _MODEL,
    "transcode": {"source": "videos", "target": "out"},
    "subset": {"root": "dataset"},
    "demo": {"steps": "max_steps"},
    "bench": {"workers": "num_workers"},
}
"""Command -> dotted option that it had -> what it is called now."""

_WEIGHTS_FIRST = ("embed", "predict", "probe", "retrieve")
"""Commands whose weights were given by place, before all else."""

_OUT_SECOND = ("transcode", "subset")
"""Commands that were given by place where to write, after all else."""

_WEIGHT_FILES = (".ckpt", ".pth", ".pt", ".tar", ".safetensors")
_IN_RUNS = ("last.ckpt", "best.ckpt", "model.json")


def old_options(command: str) -> Mapping[str, str]:
    """Dotted options that a command had, and what they are called now."""
    return _OPTIONS.get(command, {})


def in_new_words(command: str, words: Sequence[str]) -> list[str]:
    """Words of a command line, spelled with underscores, with today's names of options; says what was replaced."""
    known, new = old_options(command), []
    for word in words:
        name, equals, value = word.partition("=")
        option = name.removeprefix("--")
        if name.startswith("--") and option in known:
            advise(f"--{option} is called --{known[option]} now")
            word = f"--{known[option]}{equals}{value}"
        new.append(word)
    return _places(command, new)


def in_new_options(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options of a file or of Python with today's names; says what was replaced."""
    new, replaced = _renamed(command, options)
    for old, name in replaced:
        advise(f"{old} is called {name} now")
    return new


def in_new_settings(command: str, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint of any version holds, with today's names; says nothing."""
    return _renamed(command, saved)[0]


def _renamed(command: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nested options with today's names, and the (old, new) names of those that were replaced."""
    replaced = []
    new = {name: dict(value) if isinstance(value, Mapping) else value for name, value in options.items()}
    for old, name in old_options(command).items():
        section, _, last = old.rpartition(".")
        holder = new.get(section) if section else new
        if not isinstance(holder, dict) or last not in holder:
            continue
        value = holder.pop(last)
        replaced.append((old, name))
        to, _, last = name.rpartition(".")
        (new.setdefault(to, {}) if to else new).setdefault(last, value)
    return new, replaced


def advise(text: str) -> None:
    """One line on stderr."""
    print(f"rspnet: note: {text}; the old name goes with the next version", file=sys.stderr)


def _places(command: str, words: list[str]) -> list[str]:
    """Words whose weights, or folder to write to, were given by place in an earlier version."""
    places = [at for at, word in enumerate(words) if not word.startswith("-") and not _is_value(words, at)]
    named = {word.partition("=")[0] for word in words}
    if command in _WEIGHTS_FIRST and places and "--weights" not in named and _are_weights(words[places[0]]):
        if command in ("embed", "predict") and len(places) < 2:
            return words
        advise(f"weights are given as --weights {words[places[0]]}, videos by place")
        return [*words[: places[0]], f"--weights={words[places[0]]}", *words[places[0] + 1 :]]
    if command in _OUT_SECOND and len(places) == 2 and "--out" not in named:
        advise(f"where to write is given as --out {words[places[1]]}")
        return [*words[: places[1]], f"--out={words[places[1]]}", *words[places[1] + 1 :]]
    return words


def _is_value(words: Sequence[str], at: int) -> bool:
    """Whether a word is the value of the option before it (flags are spelled with `=` already)."""
    return at > 0 and words[at - 1].startswith("-") and "=" not in words[at - 1]


def _are_weights(word: str) -> bool:
    """Whether a word names weights rather than videos."""
    if word.lower().endswith(_WEIGHT_FILES) or word in shipped_names():
        return True
    return any((Path(word) / name).is_file() for name in _IN_RUNS)
