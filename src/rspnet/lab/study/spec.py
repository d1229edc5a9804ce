"""What a study declares, read from its YAML file, and the configuration of each of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from rspnet.config.finetune import ClassifierConfig, FinetuneConfig, LabelledClipsConfig
from rspnet.config.labelled import LabelledDataConfig
from rspnet.config.old_words import in_new_settings
from rspnet.config.parser import merged, parse_content, parse_options
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.config.training import EngineConfig, OptimConfig
from rspnet.core.errors import ConfigError, reason_of
from rspnet.core.run_files import LAST
from rspnet.features.descriptor import Descriptor
from rspnet.features.spaces import Stream
from rspnet.lab.study.judged import JudgedSpec
from rspnet.pretext.methods import choose_method
from rspnet.recipes import recipe_path, study_path
from rspnet.runs.run_folder import plain

Options = dict[str, Any]
SECTIONS: dict[str, Callable[..., Any]] = {
    "data": PairDataConfig,
    "model": choose_method,
    "optim": OptimConfig,
    "engine": EngineConfig,
}
"""Sections of `rspnet pretrain`'s options that a row depends on."""
_MACHINE = {"root", "list", "num_workers", "max_skipped"}
_MACHINE |= {item.name for item in fields(EngineConfig)} - {"precision", "channels_last"}
_SMOKE_SCENES = 8
CPU_SECONDS = "cpu_seconds"
"""What scores may be drawn against besides an option."""


@dataclass(frozen=True)
class StudyView:
    """How every network looks at every video to judge it: evenly spaced clips of the training's size and frames.

    Attributes:
        num_clips: of a video.
        stride: frames of the video from one frame of a clip to the next.
        descriptor: how the clips' vectors become one.
        stream: of a two-stream network, the one whose features count.
        classifier: "logistic" (C chosen on validation videos, and few labels are asked, too), or the quick "ridge".
    """

    num_clips: int = 3
    stride: int = 1
    descriptor: Descriptor = "mean"
    stream: Stream = "both"
    classifier: Literal["logistic", "ridge"] = "logistic"


@dataclass(frozen=True)
class Study:
    """A declared grid.

    Attributes:
        name: of the file, without folder and ending.
        title: one line.
        about: what is asked, for the report.
        recipe: recipe of `rspnet pretrain` that all runs start from.
        base: options of `rspnet pretrain` (nested) that all runs share, on top of the recipe.
        runs: name -> options of that run on top of the base; `trained: false` judges the fresh network,
            `hand_made: true` motion energies instead of features, and `recipe` is a recipe of the run's own.
        seeds: of training and initial weights; the videos' split never changes.
        scenes: train on so many drawn scenes (see `rspnet.lab.training_scenes`), other ones for every seed, and never
            on the data set, which is only judged; 0 trains on the data set's training videos.
        reference: the run that all others are compared with.
        labels: name of a task -> columns of clips.csv that together make its label.
        videos: column of clips.csv that names the video file.
        bins: numeric columns cut into this many equally filled classes.
        view: see `StudyView`.
        judged: task -> a set that is judged besides, see `JudgedSpec`; only with the classifier "ridge".
        finetune: options of `rspnet finetune` (nested); every network is then also fine-tuned on every task, on clips
            of its own shape. None: frozen features only.
        oracle: speeds to ask of the mean frame difference alone; none: not asked.
        tuning: report scores on the validation videos only, never those on test videos.
        x: option (such as steps) to draw the scores against, or cpu_seconds, those of the pre-training; none: by run.
    """

    name: str
    title: str
    about: str
    runs: dict[str, Options]
    labels: dict[str, list[str]]
    reference: str
    recipe: str = "pretrain/small-cpu"
    base: Options = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    scenes: int = 0
    videos: str = "file"
    bins: dict[str, int] = field(default_factory=dict)
    view: StudyView = StudyView()
    judged: dict[str, JudgedSpec] = field(default_factory=dict)
    finetune: Options = field(default_factory=dict)
    oracle: tuple[int, ...] = ()
    tuning: bool = False
    x: str | None = None

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks: those of the labels, and the judged sets."""
        return [*self.labels, *self.judged]


def read_study(name: str) -> Study:
    """The study of a ready-made name or of a YAML file.

    Raises:
        ConfigError: no such study, an unknown or missing entry, or a run that makes no sense.
    """
    path = study_path(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"study {str(path)!r} cannot be read: {reason_of(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"study {str(path)!r} is no table of title, about, runs, labels and reference")
    content = _texts_as_meant(content)
    try:
        study = Study(name=path.stem, **parse_content(Study, content, leave_out=["name"]))
        _check(study)
    except ConfigError as error:
        raise ConfigError(f"study {str(path)!r}: {error}") from error
    for run in study.runs:
        config = row_config(study, run, seed=0, root="videos", listed="train.csv", out="run")
        if study.finetune:
            finetune_config(study, run, config, out="run", listed="labels.csv")
        if study.x not in (None, CPU_SECONDS):
            _check_x(study, config)
    return study


def _texts_as_meant(content: Options) -> Options:
    """What a file says, with texts where YAML reads numbers in names and columns, and no options where it has none."""
    content = dict(content)
    if isinstance(runs := content.get("runs"), dict):
        content["runs"] = {str(name): {} if own is None else own for name, own in runs.items()}
    if isinstance(labels := content.get("labels"), dict):
        content["labels"] = {
            str(task): [str(name) for name in columns] if isinstance(columns, list) else columns
            for task, columns in labels.items()
        }
    texts = ("title", "about", "reference")
    return content | {name: str(content[name]) for name in texts if isinstance(content.get(name), int)}


def _check(study: Study) -> None:
    """Raise `ConfigError` for what the entries' types do not say."""
    if study.reference not in study.runs:
        raise ConfigError(f"reference {study.reference!r} is none of its runs")
    if study.judged and study.view.classifier != "ridge":
        raise ConfigError("judged sets need the classifier ridge in view")
    if study.scenes and study.finetune:
        raise ConfigError("what is trained on drawn scenes is not fine-tuned")
    if not study.labels or not all(study.labels.values()):
        raise ConfigError("labels: name a task, and columns of clips.csv that make its label")
    if not study.seeds or len(set(study.seeds)) < len(study.seeds) or min(study.seeds) < 0:
        raise ConfigError(f"seeds {list(study.seeds)}: must be different whole numbers, from 0 on, at least one")
    for run, own in study.runs.items():
        if not run.isprintable() or "/" in run or run.startswith("."):  # its rows have a folder of its name
            raise ConfigError(f"run {run!r}: a name has no slash, and no dot at its beginning")
        for name in ("trained", "hand_made"):
            if not isinstance(own.get(name, True), bool):
                raise ConfigError(f"run {run!r}: {name} {own[name]!r}: must be true or false")


def _check_x(study: Study, config: PretrainConfig) -> None:
    settings = plain(config)
    known = {"steps": 0} | {section: without_machine(settings[section]) for section in SECTIONS}
    try:
        value = option(known, str(study.x))
    except (KeyError, TypeError):
        value = None
    if not isinstance(value, int | float):
        raise ConfigError(f"study {study.name}: x {study.x!r}: must be steps, {CPU_SECONDS} or an option with numbers")


def row_config(study: Study, run: str, *, seed: int, root: str, listed: str | None, out: str) -> PretrainConfig:
    """The pre-training of one row: recipe, base and the run's own options; it goes on where it was stopped.

    Raises:
        ConfigError: an option that does not exist, or options that contradict each other.
    """
    own = dict(study.runs[run])
    for name in ("trained", "hand_made"):
        own.pop(name, None)
    recipe = yaml.safe_load(recipe_path(own.pop("recipe", study.recipe)).read_text(encoding="utf-8"))
    options = merged(merged(recipe, study.base), own)
    options = merged(options, {"data": {"root": root, "list": listed}, "out": out, "seed": seed, "resume": True})
    try:
        config: PretrainConfig = parse_options(PretrainConfig, options, command="pretrain")
    except ConfigError as error:
        raise ConfigError(f"study {study.name}, run {run!r}: {error}") from error
    return config


def finetune_config(study: Study, run: str, config: PretrainConfig, *, out: str, listed: str) -> FinetuneConfig:
    """The fine-tuning of one row's checkpoint (of fresh weights where the run has none) on the videos of a list.

    Args:
        study: with options for it.
        run: name of the run.
        config: the row's pre-training; network, clips, machine, seed and folder of videos are its own.
        out: folder of the fine-tuning.
        listed: CSV with the columns path, label and split.

    Raises:
        ConfigError: an option that does not exist, or options that contradict each other.
    """
    fresh = {"backbone": config.model.backbone, "input": config.model.input}
    shape = {"num_frames": config.data.num_frames, "size": config.data.size, "num_workers": config.data.num_workers}
    options = merged({"clips": shape, "optim": {"scale_lr": False}}, study.finetune)
    start = {"weights": str(Path(config.out) / LAST)} if is_trained(study, run) else {"model": fresh}
    options = merged(in_new_settings("finetune", options), start | {"out": out, "seed": config.seed, "resume": True})
    try:
        return FinetuneConfig(
            data=LabelledDataConfig(root=config.data.root, kind="csv", list=listed),
            clips=LabelledClipsConfig(**_tuples(options.pop("clips"))),
            model=ClassifierConfig(**options.pop("model", {})),
            optim=OptimConfig(**_tuples(options.pop("optim"))),
            engine=config.engine,
            **options,
        )
    except TypeError as error:
        raise ConfigError(f"study {study.name}, finetune: {error}") from error


def without_machine(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a result depends on."""
    return {name: value for name, value in options.items() if name not in _MACHINE}


def is_trained(study: Study, run: str) -> bool:
    """Whether a run pre-trains at all."""
    return bool(study.runs[run].get("trained", True)) and not is_hand_made(study, run)


def is_hand_made(study: Study, run: str) -> bool:
    """Whether a run judges motion energies instead of a network."""
    return bool(study.runs[run].get("hand_made", False))


def option(options: Mapping[str, Any], name: str) -> Any:
    """The value of `section.name` or `name` in nested options."""
    value: Any = options
    for part in name.split("."):
        value = value[part]
    return value


def smaller(study: Study) -> Study:
    """The study as `--smoke` tries it: two steps of tiny clips, one seed, no judged set besides."""
    tiny: Options = {
        "data": {"num_frames": 4, "size": 32, "batch_size": 4, "num_workers": 0},
        "engine": {"log_every": 1, "device": "cpu", "precision": "fp32"},
        "max_steps": 2,
    }
    runs = {name: merged(merged(own, tiny), _kept(own)) for name, own in study.runs.items()}
    finetune = study.finetune
    if finetune:
        finetune = merged(finetune, {"clips": {"batch_size": 4, "num_clips": 1}, "max_steps": 2})
    view = replace(study.view, num_clips=1)
    own = replace(study, runs=runs, seeds=study.seeds[:1], view=view, judged={}, finetune=finetune)
    return replace(own, scenes=min(study.scenes, _SMOKE_SCENES))


def _kept(own: Mapping[str, Any]) -> Options:
    """Options that a smaller run keeps: all but those of clips and length."""
    return {name: value for name, value in own.items() if name not in ("data", "max_steps")}


def _tuples(options: Mapping[str, Any]) -> Options:
    return {name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for name, value in options.items()}  # fmt: skip
