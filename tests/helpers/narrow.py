"""A narrow backbone that only tests know: importing this module registers it."""

from __future__ import annotations

from functools import partial

from rspnet.models.registry import register_backbone
from rspnet.models.resnet3d import BasicBlock, ResNet3D

NARROW = "r3d_10_narrow"
"""`r3d_10_slim` with a quarter of its channels: all that layouts, kills and resumes are about, in little time."""

register_backbone(NARROW, partial(ResNet3D, block=BasicBlock, depths=(1, 1, 1, 1), widths=(8, 16, 32, 64)))
