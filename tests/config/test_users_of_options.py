"""Every option of every command has a user: a recipe, a document, the example of its help, or a person named here."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from rspnet.cli import COMMANDS, resolve
from rspnet.config.parser import make_parser
from rspnet.recipes import recipe_names, recipe_path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

OF_ALL_COMMANDS = {
    "num_frames": "networks trained with other clips",
    "stride": "comparing views of one network",
    "size": "comparing views of one network",
    "num_clips": "fewer for a quick look",
    "batch_size": "GPUs with little memory",
    "num_workers": "machines that others use, too",
    "device": "machines whose GPU is taken",
    "engine.compile": "training on GPUs",
    "engine.device": "machines whose GPU is taken",
    "optim.weight_decay": "small sets that are overfitted",
    "optim.warmup_steps": "large batches, whose first steps diverge",
    "precision": "comparing numbers between machines",
    "cache": "home folders with a quota",
    "seed": "a repeat with other draws",
    "pooling": "retrieval as in the paper",
    "descriptor": "comparing with published mean features",
    "stream": "the appearance stream of rspnet-small",
    "ray_address": "a Ray cluster elsewhere",
    "concurrency": "Ray clusters that others use",
    "num_gpus": "several readers on one GPU",
    "root": "lists kept apart from videos",
    "data.fold": "folds 2 and 3 of UCF101",
    "data.test_share": "class folders with few videos",
    "data.allow_missing": "Kinetics, where videos are gone",
}
"""Option -> its user, in every command that has it."""

OF_ONE_COMMAND = {
    "demo max_steps": "a look in one minute",
    "demo num_videos": "a look in one minute",
    "doctor against": "finding leaks into test videos",
    "doctor near": "finding recoded and resized copies",
    "doctor num_frames": "is any video too short",
    "doctor speeds": "is any video too short",
    "doctor fps": "is any video too short",
    "transcode short_side": "training at more than 224",
    "transcode crf": "disks that are nearly full",
    "pack transcode": "stores that are paid by size",
    "transcode dry_run": "planning days of computing",
    "pack dry_run": "planning days of computing",
    "study dry_run": "planning days of computing",
    "pack short_side": "training at more than 224",
    "pretrain data.clips_per_video": "rspnet pretrain without a recipe",
    "pretrain data.held_out": "rspnet pretrain without a recipe",
    "pretrain dry_run": "planning memory before cluster time",
    "pretrain model.head": "comparing with heads of other papers",
    "pretrain model.temperature": "tuning the losses, t",
    "pretrain optim.clip_grad_norm": "runs that diverge; errors name it",
    "finetune optim.clip_grad_norm": "runs that diverge; errors name it",
    "embed level": "training a model on clips",
    **dict.fromkeys(("embed fps", "index fps", "probe fps", "retrieve fps"), "videos of mixed frame rates"),
    "embed dtype": "millions of windows on disk",
    "embed format": "NumPy users without Parquet",
    "embed drop_gone": "folders from which videos go",
    "embed dry_run": "planning days of computing",
    "index dry_run": "planning days of computing",
    "search start": "a moment in a film",
    "search end": "a moment in a film",
    "search not_same_video": "queries out of the library",
    "search json": "scripts that go on with hits",
    "search same_part": "checking that a library holds a clip",
    "search explain": "asking why a hit matches",
    "serve host": "a laboratory's shared library",
    "serve port": "two libraries on one machine",
    "serve max_upload_mb": "long or large query clips",
    "serve marks": "labels of a library in an object store",
    "classify fit vectors": "classes that differ in motion",
    "classify run weights": "checkpoints that have been moved",
    "probe few_labels": "how many videos to label",
    "finetune clips.stride": "slow actions, clips spanning more",
    "finetune clips.num_crops": "comparing with three-crop papers",
    "finetune clips.num_workers": "machines that others use, too",
    "finetune clips.max_skipped": "sets with broken files; errors name it",
    "finetune model.dropout": "small sets that are overfitted",
    "finetune model.freeze": "small sets that are overfitted",
    "finetune dry_run": "planning memory before cluster time",
    "finetune resume": "runs that were stopped",
    "finetune validation_share": "choosing an epoch without leakage",
    "evaluate root": "data sets that were moved",
    "predict top": "sets of many classes",
    "predict hop_s": "finer steps in time",
    "retrieve official_batch": "public code with other batches",
    "compare allow_unlike": "looking across protocols, marked so",
    "roi weights": "networks of one's own",
    "roi first_start": "a moment in a film",
    "roi second_start": "a moment in a film",
    "report num_videos": "reports without running the network",
    "recipes plan epochs": "S3D-G, published for two lengths",
    "recipes plan gpus": "machines of other sizes",
    "recipes plan finetune_speed": "planning a week of GPUs",
    "recipes plan runs": "disks with room elsewhere",
    "subset num_classes": "Kinetics-200 and others",
    "study only": "sharing rows among machines",
    "study smoke": "trying a study in seconds",
    "study disentangle random_init": "the control of every probe",
    "study disentangle videos": "shortcuts in one's own videos",
    "study disentangle speed": "networks trained at speed 4",
    "study shipped num_videos": "a trial before the hours",
    "study shipped max_steps": "a trial before the hours",
    "bench threads": "machines with many cores",
    "bench num_workers": "machines with many cores",
    "bench growth_videos": "machines of other sizes",
    "bench out": "keeping figures of a machine",
}
"""Command and option -> its user."""


def options_of(command: str) -> list[str]:
    """Dotted names of a command's options, without those that every command has."""
    parser = make_parser(resolve(COMMANDS[command].config), command=command)
    shown = [a.option_strings[0] for a in parser._actions if a.option_strings and a.help != argparse.SUPPRESS]
    return [name[2:] for name in shown if name not in ("-h", "--config", "--print_config", "--recipe")]


@cache
def recipes() -> dict[str, dict[str, Any]]:
    return {name: yaml.safe_load(recipe_path(name).read_text(encoding="utf-8")) for name in recipe_names()}


def in_recipes(command: str) -> set[str]:
    """Options that ready-made settings of a command give; those of studies are options of pretrain and finetune."""
    found: set[str] = set()
    for name, content in recipes().items():
        if name.startswith(f"{command}/"):
            found |= set(dotted(content))
        elif name.startswith("study/") and command == "pretrain":
            for part in (content.get("base"), *content["runs"].values()):
                found |= set(dotted(part or {}))
        elif name.startswith("study/") and command == "finetune":
            found |= set(dotted(content.get("finetune", {})))
    return found


def shared_by_trainings() -> set[str]:
    """Options of optimiser and machine, which both trainings have, that recipes of either give."""
    given = in_recipes("pretrain") | in_recipes("finetune")
    return {option for option in given if option.startswith(("optim.", "engine."))}


def dotted(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in options.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")


@cache
def paragraphs() -> list[str]:
    """Of all documents; a command that goes on in the next line is one line."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    return re.split(r"\n\s*\n", text.replace("\\\n", " "))


def has_user(command: str, option: str, given: set[str]) -> bool:
    named = re.compile(rf"(?<![\w-])--{re.escape(option)}(?![\w.])" + (""))
    of_command = re.compile(rf"\b{command}\b")
    example = inspect.getdoc(resolve(COMMANDS[command].config)) or ""
    texts = [text for text in paragraphs() if of_command.search(text) or "." in option]
    return option in given or any(named.search(text) for text in [example, *texts])


@pytest.mark.slow
def test_every_option_has_a_user() -> None:
    without, there = [], set()
    for command in COMMANDS:
        given = in_recipes(command) | (shared_by_trainings() if command in ("pretrain", "finetune") else set())
        for option in options_of(command):
            names = {f"{command} {option}", option}
            there |= names
            if not names & {*OF_ALL_COMMANDS, *OF_ONE_COMMAND} and not has_user(command, option, given):
                without.append(f"{command} --{option}")
    assert not without, "\n".join(without)
    assert there >= {*OF_ALL_COMMANDS, *OF_ONE_COMMAND}
