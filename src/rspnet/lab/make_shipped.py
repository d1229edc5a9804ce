"""`rspnet study shipped`: the weights that come with the package, made by one command from nothing but code."""

from __future__ import annotations

from pathlib import Path

from rspnet.commands.pretrain import pretrain
from rspnet.config.parser import parse_options
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.shipped import ShippedConfig
from rspnet.core.checkpoint_format import ENCODER_TASK
from rspnet.core.files import sha256_of
from rspnet.core.run_files import LAST
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.lab.study.spec import Options
from rspnet.lab.training_scenes import write_training_scenes
from rspnet.pretext.create import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.weights import DEFAULT

RECIPE = "pretrain/small-cpu"


def make_shipped(config: ShippedConfig) -> int:
    """Run the command. Returns the training's exit code.

    Raises:
        RSPNetError: a file cannot be written, or the training fails.
    """
    out = Path(config.out)
    write_training_scenes(out / "videos", num_videos=config.num_videos, seed=config.seed)
    own: Options = {"out": str(out / "run"), "seed": config.seed, "max_steps": config.max_steps, "resume": True}
    own["engine"] = {"precision": "fp32"}  # also where bfloat16 is native: docs/rspnet-small.md
    own["data"] = {"root": str(out / "videos"), "num_workers": config.num_workers}
    code = pretrain(parse_options(PretrainConfig, own, command="pretrain", recipe=RECIPE))
    if code == 0:
        path = small_file(out / "run" / LAST, out / f"{DEFAULT}.ckpt")
        print(f"{path}: {path.stat().st_size} bytes, SHA-256 {sha256_of(path)}")
    return code


def small_file(checkpoint: Path, target: Path) -> Path:
    """Write the query encoder of a checkpoint alone, at half precision."""
    model = require_heads(load_pretrained(checkpoint), task="study shipped")
    state = model.half_precision_encoder()
    settings = model.config | {"queue_size": 1}
    save_checkpoint(target, {"task": ENCODER_TASK, "model_config": settings, "model": state})
    return target
