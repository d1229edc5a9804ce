"""Names of what a network sees and of its heads, without torch: options are made of them."""

from __future__ import annotations

from typing import Literal

InputKind = Literal["rgb", "difference", "scaled_difference", "both", "moving"]
"""What a backbone sees of a clip.

rgb: its frames. difference: the T-1 differences of consecutive frames. scaled_difference: these differences divided by
the standard deviation of their values, so that the clip's contrast does not count. both: differences together with the
frames (but the first). moving: differences together with the colours of what moves (frames weighted by each pixel's
share of the clip's largest change).
"""
HeadKind = Literal["linear", "mlp", "conv"]
"""Projection heads, see `rspnet.models.heads`."""
