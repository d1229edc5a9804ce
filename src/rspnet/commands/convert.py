"""`rspnet convert`: weights files of other programs as checkpoints of ours, with a report of every key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from rspnet.config.convert import ConvertConfig
from rspnet.core.checkpoint_format import BACKBONE_TASK, CLASSIFIER_TASK, FORMAT
from rspnet.core.errors import ConfigError
from rspnet.core.files import sha256_of, write_json
from rspnet.core.weights_files import outside_place, weights_file
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.models.weights import LoadReport, read_weights_file
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.pretrained import load_pretrained_with_report
from rspnet.pretext.rspnet import RSPNet

REPORT = ".report.json"
"""Behind the name of a checkpoint: what happened to every key. It tells that the checkpoint is of this command."""


def convert(config: ConvertConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: a file that cannot be read or fits no network, or one that needs no conversion.
    """
    if outside_place(config.weights) is not None:
        raise ConfigError(f"convert takes no {config.weights}: it is an encoder of another program and stays as it is")
    source = weights_file(config.weights)
    if config.out is not None:
        _refuse_other_file(Path(config.out), source)
    content, report, what = converted(source)
    print(f"{source}: {what}")
    print_report(report, every_key=config.keys)
    if config.out is None:
        return
    save_checkpoint(Path(config.out), content)
    keys = {"used": list(report.used), "skipped": report.skipped, "missing": list(report.missing)}
    origin = {"source": source.name, "source_sha256": sha256_of(source), "content": what}
    write_json(f"{config.out}{REPORT}", origin | keys)
    print(f"wrote {config.out}")


def _refuse_other_file(out: Path, source: Path) -> None:
    """Raise `ConfigError` where a file would be replaced that this command did not make."""
    if out.resolve() == source.resolve():
        raise ConfigError(f"--out {str(out)!r} is the file itself: name a new one")
    if out.is_file() and not Path(f"{out}{REPORT}").is_file():
        raise ConfigError(f"--out {str(out)!r} is there already and is not of rspnet convert: name a new one")


def converted(source: Path) -> tuple[dict[str, Any], LoadReport, str]:
    """(content of our checkpoint, report, one phrase on what the file is).

    Raises:
        RSPNetError: see `convert`.
    """
    content = read_weights_file(source)
    if content.get("format") == FORMAT and content.get("task") in (CLASSIFIER_TASK, BACKBONE_TASK):
        raise ConfigError(f"{str(source)!r} is a checkpoint of ours already: nothing to convert")
    model, report = load_pretrained_with_report(source)
    bare = isinstance(model, BareBackbone)
    entry = {"task": BACKBONE_TASK if bare else "pretrain", "model_config": model.config, "model": model.state_dict()}
    if bare:
        return entry, report, f"backbone {model.backbone.name}, no heads"
    heads = isinstance(model, RSPNet)
    kind = "RSPNet pre-training, both heads," if heads else f"{model.config['method']} pre-training"
    return entry, report, f"{kind} of {model.backbone.name}"


def print_report(report: LoadReport, *, every_key: bool) -> None:
    """Print how many keys were used, skipped (by reason) and missing; on request each of them."""
    print(f"  used {len(report.used)}, skipped {len(report.skipped)}, missing {len(report.missing)}")
    if every_key:
        for key in report.used:
            print(f"  used     {key}")
        for key, reason in report.skipped.items():
            print(f"  skipped  {key}: {reason}")
    else:
        for reason, count in Counter(report.skipped.values()).items():
            print(f"  skipped {count}: {reason}")
    for key in report.missing:
        print(f"  missing  {key} (left at its initial value)")
