"""Reading a run folder: the command's options, what came out, and the tables beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from rspnet.config.labelled import LabelledDataConfig
from rspnet.core.errors import RSPNetError
from rspnet.pretext.method import PretextMethod
from rspnet.pretext.methods import find_method
from rspnet.runs.run_folder import CONFIG, RESULT, section_from

Options = TypeVar("Options")
# Options that only one command has: how a run without a result.json (stopped, failed) is told.
_TELLING = {"model.virtual_ranks": "pretrain", "clips.test_clips": "finetune", "num_videos": "demo"}
_DEMO_TRAINING = "run"


@dataclass(frozen=True)
class RunFacts:
    """A run folder as it was read.

    Attributes:
        folder: where it is.
        command: that made it; "unknown" for an unfinished run of a command that cannot be told.
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
        return self.options(find_method(str(name)), "model")

    def options(self, kind: type[Options], section: str) -> Options:
        """A section of the configuration as the command had it.

        Raises:
            RSPNetError: there is no such section, or it is of another version of this package.
        """
        values = self.config.get(section)
        if not isinstance(values, dict):
            raise RSPNetError(f"{str(self.folder / CONFIG)!r} has no section {section!r}")
        return section_from(kind, values)


def read_run(folder: Path) -> RunFacts:
    """Read a run folder.

    Raises:
        RSPNetError: there is none, or its config.yaml or result.json is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise RSPNetError(f"{str(folder)!r} is no run folder: it holds no {CONFIG}; name the --out of a command")
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


def labelled_data_of(run: RunFacts) -> LabelledDataConfig:
    """The labelled videos of a run; an evaluation has those of the run that it tested again.

    Raises:
        RSPNetError: the run names none.
    """
    if run.command != "evaluate":
        return run.options(LabelledDataConfig, "data")
    data = read_run(Path(str(run.config.get("run")))).options(LabelledDataConfig, "data")
    return replace(data, root=run.config.get("root") or data.root)


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
