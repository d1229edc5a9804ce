"""Options that are gone: runs of earlier versions that gave them other values are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rspnet.api.labelled_options import read_sections
from rspnet.api.pretraining import changed_settings
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.core.errors import ConfigError
from rspnet.runs.resume import refuse_other_settings, training_settings


def test_a_run_goes_on_where_an_option_that_is_gone_had_the_value_that_is_built_in() -> None:
    config = PretrainConfig(PairDataConfig(root="videos"), out="run")
    saved = training_settings(config)
    saved["optim"]["momentum"] = 0.9
    refuse_other_settings(changed_settings(saved, config))
    saved["optim"]["momentum"] = 0.5
    with pytest.raises(ConfigError, match=r"--optim\.momentum is 0\.9 but the run was started with 0\.5"):
        refuse_other_settings(changed_settings(saved, config))


def test_a_split_by_another_seed_is_not_evaluated_on_other_videos() -> None:
    config = {"data": {"kind": "folders", "root": "videos", "split_seed": 0}, "clips": {"crop_area": [0.5, 1.0]}}
    data, _ = read_sections(config)
    assert data.kind == "folders"
    config["data"]["split_seed"] = 3
    with pytest.raises(ConfigError, match=r"--data\.split_seed 3, which this version does not have"):
        read_sections(config)


def test_a_run_goes_on_from_the_weights_that_it_started_from() -> None:
    config = PretrainConfig(PairDataConfig(root="videos"), out="run", weights="rspnet-small")
    saved = training_settings(config)
    refuse_other_settings(changed_settings(saved, config))
    for other in ("last.ckpt", None):
        with pytest.raises(ConfigError, match=f"--weights is {other} but the run was started with rspnet-small"):
            refuse_other_settings(changed_settings(saved, replace(config, weights=other)))
