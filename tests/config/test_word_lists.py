"""Options that are lists of words take words, of every command; lists of numbers are written as lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from rspnet.config.classify import ClassifyFitConfig
from rspnet.config.parser import parse_options, parse_words
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.study import StudyConfig
from rspnet.config.tools import BenchConfig
from rspnet.core.errors import ConfigError

FIT = ["labels.csv", "--features=features"]
BOTH = ("motion", "appearance")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--vectors", "motion"], ("motion",)),
        (["--vectors=motion"], ("motion",)),
        (["--vectors", "motion,appearance"], BOTH),
        (["--vectors", "motion, appearance"], BOTH),
        (["--vectors=[motion,appearance]"], BOTH),
        (["--vectors", '["motion", "appearance"]'], BOTH),
        ([], ("features",)),
    ],
)
def test_words_make_a_list(words: list[str], wanted: tuple[str, ...]) -> None:
    for spelled in ([*words, *FIT], [*FIT, *words]):
        assert parse_words(ClassifyFitConfig, spelled, command="classify fit").vectors == wanted


def test_of_every_command_and_section() -> None:
    pretrain = parse_words(PretrainConfig, ["videos", "--engine.loggers", "csv,wandb"], command="pretrain")
    assert pretrain.engine.loggers == ("csv", "wandb")
    study = parse_words(StudyConfig, ["claims", "videos", "--only=1,no", "--seeds=[0,1]"], command="study")
    assert (study.only, study.seeds) == (("1", "no"), (0, 1))
    assert parse_words(BenchConfig, ["data", "--videos", "a.mp4"], command="bench").videos == ["a.mp4"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vectors", "motions"], r"^--vectors 'motions': must be one of features, motion, appearance \("),
        (["--vectors", "[motion"], r"^--vectors '\[motion': must be a list such as \[features,motion\] \("),
        (["--vectors", "motion,motion"], "name each kind once"),
        (["--vectors="], r"^--vectors '': must be a list such as \[features,motion\] \("),
        (["--vectors", "--background"], "^argument --vectors: expected one argument"),
    ],
)
def test_mistakes_are_named_with_the_options_own_words(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_words(ClassifyFitConfig, [*FIT, *words], command="classify fit")


def test_in_python_and_in_files_a_list_is_a_list(tmp_path: Path) -> None:
    wanted = r"^--vectors 'motion': must be a list such as \[features,motion\] \("
    with pytest.raises(ConfigError, match=wanted):
        parse_options(
            ClassifyFitConfig, {"labels": "l.csv", "features": "f", "vectors": "motion"}, command="classify fit"
        )
    (tmp_path / "options.yaml").write_text("vectors: motion\n")
    with pytest.raises(ConfigError, match=wanted):
        parse_words(ClassifyFitConfig, [*FIT, f"--config={tmp_path / 'options.yaml'}"], command="classify fit")
