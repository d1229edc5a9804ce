"""The names other people's code relies on."""

from __future__ import annotations

import rspnet


def test_public_names_are_frozen_and_importable() -> None:
    assert rspnet.__all__ == [
        "Backbone",
        "CheckpointError",
        "ClassificationMethod",
        "ClipPlan",
        "ClipTask",
        "ConfigError",
        "DecodeError",
        "Embedder",
        "PretextMethod",
        "PretextModel",
        "RSPNet",
        "RSPNetError",
        "SpeedPairs",
        "TooManySkippedError",
        "TrainingResult",
        "create_backbone",
        "finetune",
        "load_pretrained",
        "open_video",
        "pretrain",
        "read_features",
        "register_backbone",
        "register_method",
    ]
    assert all(getattr(rspnet, name).__name__ == name for name in rspnet.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rspnet, "no_such_name")


def test_every_error_is_a_value_error_with_an_exit_code() -> None:
    errors = [getattr(rspnet, name) for name in rspnet.__all__ if name.endswith("Error")]
    assert all(issubclass(error, rspnet.RSPNetError) and issubclass(error, ValueError) for error in errors)
    assert {error.__name__: error.exit_code for error in errors if error.exit_code != 2} == {"TooManySkippedError": 3}
