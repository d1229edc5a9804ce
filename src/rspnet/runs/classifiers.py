"""Building, opening and running classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rspnet.core.checkpoint_format import CLASSIFIER_TASK
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.ranks import gather_in_turn, rank, world_size
from rspnet.core.rng import derive_seed
from rspnet.core.weights_files import WEIGHTS, not_of_finetune, outside_place, weights_file
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import normalise
from rspnet.data.cuts import EvenClips
from rspnet.data.skipped import Skip
from rspnet.data.video_clips import VideoClips, read_clips
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.features.labelled_features import tensors_sha256
from rspnet.features.read import StoredVideo
from rspnet.features.window_clips import WINDOWS_AT_ONCE, CutVideo
from rspnet.models.backbone import Backbone
from rspnet.models.classifier import PUBLISHED_DROPOUT, Classifier, restore_classifier
from rspnet.models.kinds import InputKind
from rspnet.models.registry import create_backbone
from rspnet.pretext.opening import open_export
from rspnet.pretext.outside import refuse_outside
from rspnet.pretext.pretrained import load_pretrained

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class Trained:
    """A fine-tuned classifier in eval mode, on the CPU, with what its checkpoint says of it.

    Attributes:
        model: the classifier.
        class_names: by class number.
        config: the fine-tuning's resolved configuration.
        init_sha256: hash of the weights it started from, None for random ones.
        path: the checkpoint.
        videos_sha256: of the training videos (`runs.resume.videos_sha256`), None where that is not known.
    """

    model: Classifier
    class_names: list[str]
    config: dict[str, Any]
    init_sha256: str | None
    path: Path
    videos_sha256: str | None = None

    @property
    def chance(self) -> float:
        """The share of right answers that guessing gives: one of the classes that training videos were of."""
        return 1 / int(self.config.get("train_classes", len(self.class_names)))


def make_classifier(
    *,
    num_classes: int,
    seed: int,
    init: str | None = None,
    backbone: str | None = None,
    input: InputKind | None = None,  # noqa: A002
    dropout: float | None = None,
    freeze: int = 0,
) -> tuple[Classifier, str | None]:
    """A classifier with its initial weights, and the hash of the backbone weights from `init` (None: random).

    Args:
        num_classes: number of classes.
        seed: of the weights that are not read.
        init: weights of the backbone; see `read_backbone`.
        backbone: its name; the default is that of `init`, or r3d_18.
        input: what it sees; the default is that of `init`, or rgb.
        dropout: share of pooled features that is dropped; the default is what is published for the backbone.
        freeze: stages, from the input, that are not trained.

    Raises:
        RSPNetError: a bad weights file, or another backbone than asked for.
    """
    torch.manual_seed(derive_seed(seed, "initial weights"))
    if init is None:
        network = create_backbone(backbone or "r3d_18", input=input or "rgb")
    else:
        network = read_backbone(init).train()
        for name, wanted, found in (("backbone", backbone, network.name), ("input", input, network.input)):
            if wanted is not None and wanted != found:
                raise ConfigError(
                    f"--model.{name} {wanted} (an option, or of a recipe): but {init!r} holds {found}; leave out the "
                    f"option or the recipe, or name weights whose {name} is {wanted}"
                )
    if dropout is None:
        dropout = PUBLISHED_DROPOUT.get(network.name, 0.0)
    init_sha256 = None if init is None else tensors_sha256(network)
    torch.manual_seed(derive_seed(seed, "initial classifier"))
    return Classifier(network, num_classes=num_classes, dropout=dropout, frozen_stages=freeze), init_sha256


def read_backbone(path: str) -> Backbone:
    """The backbone of anything that `load_pretrained` reads.

    Raises:
        CheckpointError: the file is missing, damaged, of no known network or does not fit.
        ConfigError: it is an encoder of another program.
    """
    backbone = load_pretrained(path).backbone
    refuse_outside(backbone, "a training")
    return backbone


def open_classifier(path: str) -> Trained:
    """The classifier of a run folder (the checkpoint its result reports, else the last one), checkpoint or export.

    Raises:
        CheckpointError: missing or damaged, or not of a fine-tuning.
    """
    if outside_place(path) is not None:
        raise CheckpointError(f"weights {path!r}: an encoder of another program has no classifier")
    file = weights_file(path)
    if file.name == WEIGHTS:
        return _exported_classifier(file)
    content = load_checkpoint(file)
    if content.get("task") != CLASSIFIER_TASK:
        raise not_of_finetune(path, content.get("task"))
    model = restore_classifier(content["model_config"], content["model"], source=f"checkpoint {str(file)!r}")
    names, config = content["class_names"], content["config"]
    return Trained(model, names, config, content["init_sha256"], file, content["videos_sha256"])


def _exported_classifier(file: Path) -> Trained:
    """The classifier of a folder that `rspnet export` wrote."""
    network, description = open_export(file.parent)
    if not isinstance(network, Classifier) or "training" not in description:
        raise CheckpointError(f"{str(file.parent)!r} is an export of no classifier of rspnet finetune (0.3 or later)")
    names, training = description["class_names"], description["training"]
    return Trained(network.eval(), names, training["config"], training["init_sha256"], file)


@torch.no_grad()
def video_scores(
    model: Classifier, videos: VideoClips, *, device: torch.device, precision: str, num_workers: int
) -> Iterator[tuple[VideoRecord, NDArray[np.float32]] | Skip]:
    """Class probabilities float32 [C] of every video in turn: the mean over its clips and crops of their softmax.

    The model must be on `device` and in eval mode.
    """
    autocast = AUTOCAST.get(precision)
    for sample in read_clips(videos, num_workers=num_workers):
        if sample.skip is not None:
            yield sample.skip
            continue
        assert sample.clips is not None
        yield sample.record, _chances(model, sample.clips, device, autocast).mean(dim=0).cpu().numpy()


@torch.no_grad()
def _chances(model: Classifier, clips: Tensor, device: torch.device, autocast: torch.dtype | None) -> Tensor:
    """Class probabilities float32 [n, C] of clips uint8 [n, T, H, W, 3]."""
    parts = []
    for some in torch.split(clips, _CLIPS_AT_ONCE):
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            logits = model(normalise(some.to(device)))
        parts.append(logits.float().softmax(dim=1))
    return torch.cat(parts)


def window_scores(
    model: Classifier, videos: VideoClips, *, device: torch.device, precision: str, num_workers: int
) -> Iterator[StoredVideo | Skip]:
    """Class probabilities float64 [n, C] of the windows of every video in turn, or why there are none.

    Pixels are held for a few windows at a time. The model must be on `device` and in eval mode.

    Args:
        model: the classifier.
        videos: cut by `WindowClips` with one clip a window.
        device: where to run.
        precision: of the computation.
        num_workers: processes that read videos.
    """
    facts: CutVideo | None = None
    found: list[tuple[int, NDArray[np.float64]]] = []
    reason = ""
    for sample in read_clips(videos, num_workers=num_workers):
        if sample.part == 0:
            facts, found, reason = sample.facts, [], ""
        if sample.skip is not None:
            reason = sample.skip.reason
        elif sample.clips is not None:
            chances = _chances(model, sample.clips, device, AUTOCAST.get(precision)).cpu().numpy()
            found.append((sample.part * WINDOWS_AT_ONCE, chances.astype(np.float64)))
        if sample.is_last and found and facts is not None:
            at = np.concatenate([np.arange(first, first + len(part)) for first, part in found])
            path, values = str(sample.record.path.absolute()), np.concatenate([part for _, part in found])
            yield StoredVideo(sample.record.name, path, facts.fps, facts.start_s[at], facts.end_s[at], values)
        elif sample.is_last:
            yield Skip(sample.record.name, reason or "it has no frames")


def shared_scores(
    model: Classifier, records: Sequence[VideoRecord], view: EvenClips, machine: Mapping[str, Any]
) -> tuple[list[VideoRecord], NDArray[np.float32], list[Skip]]:
    """Scores [N, C] of all readable videos, their records, and the unreadable ones, on every rank.

    Each rank scores its own part of the videos once: no video is padded in or counted twice, so the figures are those
    of one process (a collective call).

    Args:
        model: in eval mode, on the device.
        records: the videos.
        view: which clips of each.
        machine: `device`, `precision` and `num_workers` for `video_scores`.
    """
    mine = list(records[rank() :: world_size()])
    found = list(video_scores(model, VideoClips(mine, view), **machine)) if mine else []
    merged = gather_in_turn(found, len(records))
    kept = [item for item in merged if not isinstance(item, Skip)]
    scores = np.stack([row for _, row in kept]) if kept else np.zeros((0, 0), np.float32)
    return [record for record, _ in kept], scores, [item for item in merged if isinstance(item, Skip)]
