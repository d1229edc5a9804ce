"""Options of `rspnet export`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rspnet.config.rules import positional


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
    out: str = "exported"
    """Run folder: the file, model.json (what goes in and what comes out), config.yaml and result.json go there."""
    format: Literal["safetensors", "program", "onnx", "huggingface"] = "safetensors"
    """Which kind of file; all but program are the extra `rspnet[export]`."""
