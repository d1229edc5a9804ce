"""Test scores computed in one of several gloo processes; importable by children."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist

from rspnet.core.leaving import end_process_group
from rspnet.data.annotations import read_folder
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.models.classifier import Classifier
from rspnet.models.registry import create_backbone
from rspnet.runs.classifiers import shared_scores


def save_scores(rank: int, world: int, videos: str, folder: str) -> None:
    """Score the videos on `world` ranks; every rank saves what it got."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.manual_seed(0)
    model = Classifier(create_backbone("r3d_10_slim"), num_classes=3, dropout=0.0).eval()
    view = EvenClips(ClipShape(4, 1, 32), num_clips=2)
    machine = {"device": torch.device("cpu"), "precision": "fp32", "num_workers": 0}
    records, scores, skipped = shared_scores(model, read_folder(videos), view, machine)
    names = [record.name for record in records]
    content = {"names": names, "scores": torch.from_numpy(scores), "skipped": [skip.name for skip in skipped]}
    torch.save(content, Path(folder) / f"{world}-{rank}.pt")
    if world > 1:
        end_process_group()
