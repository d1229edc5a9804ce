"""The names other people's code relies on."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import rspnet


def test_public_names_are_frozen_and_importable() -> None:
    assert rspnet.__all__ == [
        "Backbone",
        "CheckpointError",
        "ClassificationMethod",
        "ClipOf",
        "ClipPlan",
        "ClipTask",
        "ConfigError",
        "DecodeError",
        "Embedder",
        "Library",
        "PretextMethod",
        "PretextModel",
        "RSPNet",
        "RSPNetError",
        "RSPNetMethod",
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


def test_version_is_that_of_the_package() -> None:
    assert rspnet.__version__ == version("rspnet")


def test_every_public_name_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^::: rspnet\.(\w+)$", page, flags=re.MULTILINE)) == set(rspnet.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, rspnet; print(rspnet.__version__, [m for m in ('numpy', 'torch', 'av') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.split() == [rspnet.__version__, "[]"]


@pytest.mark.slow
def test_commands_import_nothing_that_only_trainings_or_pictures_need() -> None:
    modules = ["commands.embed", "commands.classify_run", "search.library", "search.index"]
    heavy = "[m for m in ('lightning_fabric', 'matplotlib') if m in sys.modules]"
    code = f"import sys, {', '.join('rspnet.' + name for name in modules)}; print({heavy})"
    code += f"; import rspnet.commands.pretrain, rspnet.commands.finetune; print({heavy})"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == ["[]", "['lightning_fabric']"]


@pytest.mark.slow
def test_a_search_for_a_video_of_the_library_imports_no_torch() -> None:
    code = "import sys, rspnet.search.search_command; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "False"


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(rspnet, "no_such_name")


def test_every_error_is_a_value_error_with_an_exit_code() -> None:
    errors = [getattr(rspnet, name) for name in rspnet.__all__ if name.endswith("Error")]
    assert all(issubclass(error, rspnet.RSPNetError) and issubclass(error, ValueError) for error in errors)
    assert {error.__name__: error.exit_code for error in errors if error.exit_code != 2} == {"TooManySkippedError": 3}
