"""`hf:FOLDER`: a video or image model of the library transformers, from a local folder with safetensors."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.weights_files import TRANSFORMER, WEIGHTS
from rspnet.data.presets import MEAN, STD
from rspnet.pretext.bare import BareBackbone
from rspnet.pretext.outside import OutsideBackbone, as_map

_CONFIG = "config.json"
_PREPROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
_FRAMES = 16
"""Frames of a clip of a model that sees single pictures."""
_UNUSED = ("pooler.", "predictor.", "mask_token")
"""Weights that a file may lack: features do not come from them."""


class TransformerBackbone(OutsideBackbone):
    """Tokens of a video model, or of an image model the vector of every frame.

    Of an image model with a class token that token counts, else the mean over all places.

    Args:
        network: of transformers.
        video: whether it takes whole clips.
        scale: factors [3] from our normalisation of colours to the model's.
        shift: likewise, added.
        name: see `OutsideBackbone`.
        digest: likewise.
    """

    def __init__(
        self, network: nn.Module, *, video: bool, scale: list[float], shift: list[float], name: str, digest: str
    ) -> None:
        config: Any = network.config
        size = getattr(config, "hidden_size", None) or getattr(config, "hidden_sizes", [0])[-1]
        super().__init__(name=name, num_features=int(size), digest=digest)
        self.network, self.video = network, video
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(3, 1, 1, 1), persistent=False)

    def encoded(self, clips: Tensor) -> Tensor:
        """See `OutsideBackbone`.

        Raises:
            CheckpointError: the model does not take such clips, or gives no features.
        """
        frames = (clips * self.scale + self.shift).transpose(1, 2)  # [B, T, 3, H, W]
        count = frames.shape[1]
        network: Any = self.network
        more = {"skip_predictor": True} if network.config.model_type == "vjepa2" else {}
        try:
            given = frames if self.video else frames.flatten(0, 1)
            found = network(**{network.main_input_name: given.to(network.dtype)}, **more).last_hidden_state
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{self.name}: gives no features of clips {list(clips.shape)}: {first}") from error
        if self.video:
            tokens = as_map(found)
            assert tokens is not None
            return tokens
        vectors: Tensor
        if found.dim() == 4:
            vectors = found.mean(dim=(2, 3))
        else:
            has_class = any(name.rsplit(".", 1)[-1] in ("cls_token", "class_embedding") for name in _names(network))
            vectors = found[:, 0] if has_class else found.mean(dim=1)
        return vectors.reshape(len(clips), count, -1).transpose(1, 2)[:, :, :, None, None]


def open_transformer(folder: Path) -> BareBackbone:
    """The model of a folder, on the CPU in float32; clips are of its own frames and size.

    Code that the folder brings is never run, pickled weights are never read, nothing is downloaded.

    Raises:
        CheckpointError: no such folder, no safetensors in one file, a model that transformers does not know, or weights
            that are missing.
        ConfigError: transformers is not installed.
    """
    name = f"{TRANSFORMER}{folder}"
    for file in (_CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise CheckpointError(
                f"{name}: no {file} in the folder; a folder of transformers' save_pretrained with safetensors in one "
                "file is needed (max_shard_size keeps them together; pickled weights are never read)"
            )
    try:
        from transformers import AutoModel
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name} needs transformers: pip install 'rspnet[hf]'") from error
    try:
        network, report = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    except Exception as error:  # whatever a damaged folder makes it raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{name}: transformers cannot open it: {first}") from error
    missing = sorted(key for key in report["missing_keys"] if not any(part in key for part in _UNUSED))
    if missing:
        raise CheckpointError(f"{name}: {WEIGHTS} lacks {len(missing)} weights, such as {missing[0]}")
    config = network.config
    frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    settings = _settings(folder)
    scale, shift = _colours(settings)
    digest = hashlib.sha256((folder / _CONFIG).read_bytes() + json.dumps(settings, sort_keys=True).encode()).hexdigest()
    backbone = TransformerBackbone(
        network, video=frames is not None, scale=scale, shift=shift, name=name, digest=digest
    )
    size = _size(settings, config)
    return BareBackbone(backbone.requires_grad_(False), num_frames=int(frames or _FRAMES), size=size)


def _settings(folder: Path) -> dict[str, Any]:
    """What the folder says of pictures; nothing where it does not."""
    for file in _PREPROCESSORS:
        with suppress(OSError, ValueError):
            content = json.loads((folder / file).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return content
    return {}


def _colours(settings: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Factors and summands from our normalised colours to the model's."""
    means, deviations = settings.get("image_mean", MEAN), settings.get("image_std", STD)
    scale = [ours / theirs for ours, theirs in zip(STD, deviations, strict=True)]
    shift = [(ours - theirs) / by for ours, theirs, by in zip(MEAN, means, deviations, strict=True)]
    return scale, shift


def _size(settings: dict[str, Any], config: Any) -> int:
    """Pixels of a side: the crop that the folder names, else what the configuration does."""
    for value in (settings.get("crop_size"), getattr(config, "crop_size", None), getattr(config, "image_size", None)):
        side = value.get("height") if isinstance(value, dict) else value
        side = side[0] if isinstance(side, list | tuple) else side
        if isinstance(side, int):
            return side
    return 224


def _names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters()]
