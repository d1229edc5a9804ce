"""Backbones out of files of other programs: found by names and shapes, loaded strictly, every key accounted for.

What is tried: the state dict wherever such files keep it, below every prefix it uses (`module.`, `encoder_q.`,
`backbone.`, ...), under our names (torchvision's for `r2plus1d_18` and `r3d_18_torchvision`) and under those of the
paper's public code.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rspnet.core.errors import CheckpointError
from rspnet.core.rng import derive_seed
from rspnet.models.backbone import Backbone
from rspnet.models.registry import backbone_names, create_backbone
from rspnet.models.weights import PUBLISHED_BACKBONES, LoadReport, convert_published, refuse_not_finite

LEAST_MATCHED = 0.95
"""Share of the network's weights a file must have, and of the file's (heads aside) the network must use."""
_CONTAINERS = ("state_dict", "model", "model_state", "model_state_dict", "module")
_DEEPEST_PREFIX = 4
# Weights of what comes after or parallel to the backbone. Batch norm's step counters do nothing; old files lack them.
_HEAD = re.compile(r"(^|\.)(fc\d*|linear|head|heads|classifier|cls_head|projector|projection|predictor|mlp)\.")
_COUNTER = ".num_batches_tracked"
_STATISTICS = (".running_mean", ".running_var")
_MOMENTUM = re.compile(r"(^|[._])(k|key|target|momentum|teacher|ema)(\.|$)")


@dataclass(frozen=True)
class _Match:
    """One reading of a file: this backbone, below this prefix, under these names (file key -> our key)."""

    backbone: str
    prefix: str
    names: dict[str, str]
    missing: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def share(self) -> float:
        """The smaller of the shares of the network's and of the file's weights that have a partner; 0 to 1."""
        used = sum(not key.endswith(_COUNTER) for key in self.names)
        return used / max(1, used + max(len(self.missing), len(self.foreign)))

    @property
    def rank(self) -> tuple[float, bool]:
        """What makes one reading better than another: the share, then not being a momentum copy."""
        return self.share, not _MOMENTUM.search(self.prefix)


def find_backbone(content: Mapping[Any, Any], *, source: str) -> tuple[Backbone, LoadReport]:
    """The backbone whose weights a foreign file's dictionary holds, in eval mode on the CPU, and the report.

    Biases and scales that the file lacks keep initial values, and a warning says so.

    Args:
        content: what `read_weights_file` gave.
        source: names the file in errors.

    Raises:
        CheckpointError: no tensors, none of our networks is matched to 95 %, a convolution or the statistics of a batch
            norm are missing, or a weight is NaN.
    """
    state = _state_dict(content)
    if not state:
        raise CheckpointError(f"{source} holds no weights: no dictionary of tensors in it")
    match = _best_match(state)
    if match is None or match.share < LEAST_MATCHED:
        nearest = "" if match is None else f"; the nearest is {match.backbone} with {match.share:.0%} of the weights"
        raise CheckpointError(
            f"{source} fits none of the networks {', '.join(backbone_names())}{nearest} (95 % are needed)"
        )
    refuse_not_finite({key: state[key] for key in match.names}, source=source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("missing weights"))
        backbone = create_backbone(match.backbone)
    initial = backbone.state_dict()
    for key in match.missing:
        if initial[key].dim() > 1 or key.endswith(_STATISTICS):
            raise CheckpointError(
                f"{source} lacks {key} of {match.backbone} (or has it in another shape): features without it would be "
                "those of random weights"
            )
    if match.missing:
        warnings.warn(
            f"{source} lacks {len(match.missing)} weights of {match.backbone}, which keep initial values: "
            f"{', '.join(match.missing)}",
            stacklevel=2,
        )
    backbone.load_state_dict({**initial, **{name: state[key] for key, name in match.names.items()}})
    skipped = {str(key): _why(str(key), match) for key in state if key not in match.names}
    return backbone.eval(), LoadReport(used=tuple(match.names), skipped=skipped, missing=match.missing)


def _state_dict(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a file by name, wherever it keeps them."""
    for name in _CONTAINERS:
        if isinstance(content.get(name), Mapping):
            return _state_dict(content[name])
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _best_match(state: Mapping[str, Tensor]) -> _Match | None:
    networks = {name: _shapes(name) for name in backbone_names()}
    best: _Match | None = None
    for prefix in _prefixes(state):
        below = {key: state[key] for key in state if key.startswith(prefix)}
        short = {key.removeprefix(prefix): key for key in below}
        for backbone, scheme in [
            *((name, None) for name in networks),
            *((b, a) for a, b in PUBLISHED_BACKBONES.items()),
        ]:
            match = _compare(backbone, prefix, _rename(short, scheme), below, networks[backbone])
            if match.names and (best is None or match.rank > best.rank):
                best = match
    return best


def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in create_backbone(name).state_dict().items()}


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """`""` and every dotted prefix of the names that covers as many tensors as the smallest network has layers."""
    counts: Counter[str] = Counter([""] * len(state))
    for key in state:
        parts = key.split(".")
        counts.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), _DEEPEST_PREFIX + 1)))
    return [prefix for prefix, count in counts.items() if count >= 24]


def _rename(short: Mapping[str, str], scheme: str | None) -> dict[str, str]:
    """File key -> our name, under our own names or (`scheme`) those of the public code for that architecture."""
    if scheme is None:
        return {key: name for name, key in short.items()}
    renamed = {}
    for name, key in short.items():
        translated, _ = convert_published(scheme, {f"encoder_q.encoder.{name}": torch.empty(0)})
        for own in translated:
            renamed[key] = own.removeprefix("encoder_q.backbone.")
    return renamed


def _compare(
    backbone: str,
    prefix: str,
    renamed: Mapping[str, str],
    below: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
) -> _Match:
    names = {key: own for key, own in renamed.items() if own in shapes and shapes[own] == below[key].shape}
    found = set(names.values())
    missing = tuple(own for own in shapes if own not in found and not own.endswith(_COUNTER))
    foreign = tuple(
        key
        for key in below
        if key not in names and not key.endswith(_COUNTER) and not _HEAD.search("." + key.removeprefix(prefix))
    )
    return _Match(backbone, prefix, names, missing, foreign)


def _why(key: str, match: _Match) -> str:
    if not key.startswith(match.prefix):
        return f"not below {match.prefix!r}, where the backbone is"
    if _HEAD.search("." + key.removeprefix(match.prefix)):
        return "a head behind the backbone"
    return f"no such weight in {match.backbone}, or of another shape"
