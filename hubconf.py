"""Entries for torch.hub, for instance `torch.hub.load("OWNER/RSPNet", "pretrained", weights="last.ckpt")`.

Nothing is downloaded besides this repository: weights are files on the caller's disk.
"""

import sys as _sys
from pathlib import Path as _Path

dependencies = ["numpy", "torch"]

try:
    import rspnet as _rspnet
except ModuleNotFoundError:  # a clone that is not installed
    _sys.path.append(str(_Path(__file__).parent / "src"))
    import rspnet as _rspnet


def backbone(name="r3d_18", *, input="rgb"):  # noqa: A002
    """An untrained video network, clips [B, 3, T, H, W] to its last feature map [B, C, T', H', W'].

    Args:
        name: one of c3d, r2plus1d_18, r2plus1d_vcop, r3d_10_slim, r3d_18, r3d_18_torchvision, r3d_34, r3d_50, s3dg,
            two_stream_slim.
        input: "rgb", or "difference", "scaled_difference", "both", "moving" (see `rspnet pretrain --help`).
    """
    return _rspnet.create_backbone(name, input=input)


def pretrained(weights):
    """The model of a weights file or exported folder in eval mode; `model.backbone` gives features.

    Args:
        weights: a checkpoint of rspnet, a folder that `rspnet export` wrote, or a published or foreign file (see
            `rspnet.load_pretrained`).
    """
    return _rspnet.load_pretrained(weights)


def exported(folder):
    """The network of a folder that `rspnet export` wrote (needs safetensors): features, embeddings or class scores.

    Args:
        folder: with model.safetensors and model.json; the latter names outputs, clip size, mean, std and classes.
    """
    from rspnet.models.exported import load_exported

    return load_exported(folder)[0]
