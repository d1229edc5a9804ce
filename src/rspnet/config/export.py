"""Options of `rspnet export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.rules import positional

_DEFAULT_OUT = "exported/FORMAT"


@dataclass(frozen=True)
class ExportConfig:
    """Write a network for use without this package's training code, after checking that it computes the same.

    safetensors: model.safetensors + model.json (opened by `rspnet.models.exported.load_exported`); program: model.pt2
    (torch.export); onnx: model.onnx; huggingface: a folder for AutoModel with trust_remote_code, with a model card. The
    batch size of programs and ONNX is free, frames and size are fixed.

    Example: rspnet export runs/first --format onnx --out exported
    """

    weights: str = positional(
        "Weights: checkpoint, run folder, export, published file, or the name of weights that come with the package."
    )
    out: str = _DEFAULT_OUT
    """Run folder: the file, model.json (what goes in and what comes out), config.yaml and result.json go there. FORMAT
    is that of the file."""
    format: Literal["safetensors", "program", "onnx", "huggingface"] = "safetensors"
    """Which kind of file; all but program are the extra `rspnet[export]`."""

    def __post_init__(self) -> None:
        if self.out == _DEFAULT_OUT:
            object.__setattr__(self, "out", self.out.replace("FORMAT", self.format))
