"""Reading a run folder: the command's options, the results, and the tables in the folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rspnet.core.errors import RSPNetError
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.layout import Split
from rspnet.data.labelled.read_labelled import read_labelled
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.methods import find_method
from rspnet.runs.run_folder import CONFIG, RESULT, require_run_folder, section_from

# Options that only one command has: how a run without a result.json (stopped, failed) is recognised.
_TELLING = {"model.virtual_ranks": "pretrain", "validation_share": "finetune", "num_videos": "demo"}
_DEMO_TRAINING = "run"
_LABELLED = ("kind", "root", "fold", "list", "test_share", "allow_missing")
"""Options of labelled data that `read_labelled` knows."""


@dataclass(frozen=True)
class RunFacts:
    """A run folder as it was read.

    Attributes:
        folder: where it is.
        command: that made it; "unknown" for an unfinished run of a command that cannot be recognised.
        config: resolved options.
        result: the content of result.json, empty for an unfinished run.
    """

    folder: Path
    command: str
    config: Mapping[str, Any]
    result: Mapping[str, Any]

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file of the run; none if there is no such file."""
        path = self.folder / name
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8", errors="backslashreplace") as file:
            return [
                {str(key): str(value) for key, value in row.items()} for row in csv.DictReader(file, restkey="more")
            ]

    def method(self) -> PretextMethod:
        """The pretext method of a pre-training.

        Raises:
            RSPNetError: the configuration names none, or one that is not known here.
        """
        values = self.config.get("model")
        name = values.get("method") if isinstance(values, dict) else None
        return section_from(find_method(str(name)), self.options("model"))

    def options(self, section: str) -> dict[str, Any]:
        """A section of the configuration as the command had it.

        Raises:
            RSPNetError: there is no such section.
        """
        values = self.config.get(section)
        if not isinstance(values, dict):
            raise RSPNetError(f"{str(self.folder / CONFIG)!r} has no section {section!r}")
        return values


def read_run(folder: Path) -> RunFacts:
    """Read a run folder.

    Raises:
        RSPNetError: there is none, or its config.yaml or result.json is damaged.
    """
    require_run_folder(folder)
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT).read_text(encoding="utf-8")) if (folder / RESULT).exists() else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RSPNetError(f"cannot read the run {str(folder)!r}: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or not isinstance(result, dict):
        raise RSPNetError(f"cannot read the run {str(folder)!r}: {CONFIG} or {RESULT} is no table of names and values")
    return RunFacts(folder, _command_of(config, result), config, result)


def training_of(run: RunFacts) -> RunFacts:
    """The training behind a run: the demo's is in a folder of its own, any other run is its own."""
    inner = run.folder / _DEMO_TRAINING
    return read_run(inner) if run.command == "demo" and (inner / CONFIG).exists() else run


def labelled_records_of(run: RunFacts, split: Split) -> list[VideoRecord]:
    """The labelled videos of a run; an evaluation has those of the run that it tested again.

    Raises:
        RSPNetError: the run names none, or they are not there any more.
    """
    if run.command != "evaluate":
        data = run.options("data")
    else:
        data = dict(read_run(Path(str(run.config.get("weights", run.config.get("run"))))).options("data"))
        data["root"] = run.config.get("root") or data.get("root")
    if not isinstance(data.get("root"), str) or "kind" not in data:
        raise RSPNetError(f"{str(run.folder / CONFIG)!r} names no labelled videos")
    return read_labelled(**{name: value for name, value in data.items() if name in _LABELLED}, split=split)


def _command_of(config: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    if result:
        return str(result.get("protocol", {}).get("command", "unknown"))
    for option, command in _TELLING.items():
        values: Any = config
        for name in option.split("."):
            values = values.get(name) if isinstance(values, dict) else None
        if values is not None:
            return command
    return "unknown"
