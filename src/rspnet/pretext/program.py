"""`torch:FILE.pt2`: an encoder that any program wrote with `torch.export.save`."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rspnet.core.counts import counted
from rspnet.core.errors import CheckpointError
from rspnet.core.files import sha256_of
from rspnet.core.weights_files import PROGRAM
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.outside import OutsideBackbone, as_map
from rspnet.pretext.program_check import check_program

_CHANNELS = 3


class ProgramBackbone(OutsideBackbone):
    """A program from clips [B, 3, T, H, W] (normalised by ImageNet's mean and deviation) to features.

    Args:
        program: returns a tensor, several (the first counts) or a dictionary of them (`features`, else the first).
        batch: clips that it takes at once; None for any number.
        clip: frames, height and width of the clips that it takes.
        known: `name`, `num_features` and `digest`, see `OutsideBackbone`.
    """

    keeps_precision: ClassVar[bool] = True

    def __init__(self, program: nn.Module, *, batch: int | None, clip: tuple[int, int, int], **known: Any) -> None:
        super().__init__(**known)
        self.program, self.batch, self.clip = program, batch, clip

    def train(self, mode: bool = True) -> ProgramBackbone:  # noqa: ARG002
        """An exported program is as it was exported."""
        self.training = False
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ProgramBackbone:
        """A copy; torch's own code warns of itself when programs are copied."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = copy.deepcopy(self.program, memo)
        digest = bytes(self.digest.tolist()).hex()
        known: dict[str, Any] = {"name": self.name, "num_features": self.num_features, "digest": digest}
        return ProgramBackbone(program, batch=self.batch, clip=self.clip, **known)

    def encoded(self, clips: Tensor) -> Tensor:
        """See `OutsideBackbone`.

        Raises:
            CheckpointError: the program does not take such clips, or returns no features.
        """
        if tuple(clips.shape[2:]) != self.clip:  # a copy of a program does not look itself
            raise CheckpointError(
                f"{self.name}: it does not take clips {list(clips.shape)}: it was exported for frames, height and "
                f"width {list(self.clip)}"
            )
        parts = [clips.float()] if self.batch is None else list(torch.split(clips.float(), self.batch))
        return torch.cat([self._whole(part)[: len(part)] for part in parts])

    def _whole(self, clips: Tensor) -> Tensor:
        """Features of a full batch: the last clip again and again where there are too few."""
        if self.batch is not None and len(clips) < self.batch:
            clips = torch.cat([clips, clips[-1:].expand(self.batch - len(clips), -1, -1, -1, -1)])
        try:
            found = _first(self.program(clips.contiguous()))
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{self.name}: it does not take clips {list(clips.shape)}: {first}") from error
        features = as_map(found) if isinstance(found, Tensor) else None
        if features is None or len(features) != len(clips):
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise CheckpointError(
                f"{self.name}: returns {shape} for {counted(len(clips), 'clip')}; features [B, C], [B, N, C] or "
                "[B, C, T, H, W] are needed"
            )
        return features


def open_program(path: Path) -> BareBackbone:
    """The encoder of an exported program, on the CPU; its clips are of the shape that it was exported for.

    Raises:
        CheckpointError: see `check_program`; or it takes other things than clips.
    """
    check_program(path)
    name = f"{PROGRAM}{path}"
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch
        try:
            exported = torch.export.load(path)
        except Exception as error:  # a damaged archive makes the reader raise nearly anything
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"cannot open {str(path)!r}: {first}") from error
        shape = _clip_shape(exported, name)
        guarded = "check_guards" in inspect.signature(exported.module).parameters
        program = exported.module(**({"check_guards": False} if guarded else {}))
    sides = [side if isinstance(side, int) else None for side in shape]
    batch, _, frames, height, width = sides
    if frames is None or height is None or height != width:
        raise CheckpointError(f"{name}: takes clips {shape}; a fixed number of frames and a square picture are needed")
    known: dict[str, Any] = {"name": name, "num_features": 0, "digest": sha256_of(path)}
    backbone = ProgramBackbone(program, batch=batch, clip=(frames, height, height), **known)
    with torch.no_grad():
        backbone.num_features = backbone.encoded(torch.zeros(1, _CHANNELS, frames, height, height)).shape[1]
    backbone.motion_channels = backbone.appearance_channels = slice(0, backbone.num_features)
    return BareBackbone(backbone.requires_grad_(False), num_frames=frames, size=height)


def _clip_shape(exported: Any, name: str) -> list[Any]:
    """Sizes of the only input, symbols for those that are free."""
    wanted = exported.graph_signature.user_inputs
    values = [node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder" and node.name in wanted]
    shape = list(values[0].shape) if values and isinstance(values[0], Tensor) else []
    if len(wanted) != 1 or len(shape) != 5 or shape[1] != _CHANNELS:
        raise CheckpointError(f"{name}: takes {len(wanted)} inputs {shape}; one of clips [B, 3, T, H, W] is needed")
    return shape


def _first(found: Any) -> Any:
    if isinstance(found, dict) and found:
        return found.get("features", next(iter(found.values())))
    return found[0] if isinstance(found, tuple | list) and found else found
