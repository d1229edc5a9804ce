"""Why RSP stalls at small scale and what frees it: variants x seeds, resumable, one small JSON a run.

    python benchmarks/small_scale.py --source human-motion --data HUMAN_MOTION --out WORK --seeds 0 1 [--only NAME ...]

All variants of one seed see the same batches (cached in WORK). Nothing of the test split is used: on human-motion the
character "bunny" of the training split is held out for validation.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from small_scale_variants import BASE, VARIANTS, StudyNet, Variant, flickered
from torch import Tensor

from rspnet.core.files import write_json
from rspnet.core.rng import derive_seed, torch_rng
from rspnet.data.annotations import VideoRecord
from rspnet.data.augment import BLUR, gaussian_neighbour, normalise
from rspnet.data.batches import PairBatch, collate, make_views
from rspnet.data.cuts import ClipShape, EvenClips
from rspnet.data.datasets import ClipPairDataset, NoSample, PairSample
from rspnet.data.presets import augment_preset
from rspnet.data.sampler import PairRequest, PairSampler
from rspnet.data.synthetic.procedural import plan_clips, read_set, write_set
from rspnet.data.video_clips import VideoClips
from rspnet.engine.checkpoint import save_checkpoint
from rspnet.engine.diagnostics import gradient_norms, ranking_state, vector_spread
from rspnet.engine.optim import Schedule
from rspnet.features.linear_probe import fit_linear
from rspnet.features.snapshot import recall_at_1
from rspnet.losses.ranking import ranking_accuracy
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.speed import SpeedViews

NUM_FRAMES, SIZE, BATCH = 8, 48, 32
STRIDES = (1, 2)
CLIPS = 3
LOOKS = (0, 1, 2, 5, 10, 20, 40, 80, 149, 199)
"""Steps at which the diagnostics are taken."""


@dataclass(frozen=True)
class Source:
    """Training and validation videos with their labels."""

    name: str
    train: list[VideoRecord]
    val: list[VideoRecord]
    labels: dict[str, tuple[list[str], list[str]]]
    queue_size: int


def human_motion(root: Path) -> Source:
    """Three characters to learn from; the fourth one of the training split for validation."""
    with (root / "clips.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    parts = [[r for r in rows if (r["character"] == "bunny") == held] for held in (False, True)]
    train, val = ([VideoRecord(root / row["file"], row["file"]) for row in part] for part in parts)
    actions = tuple([row["class"] for row in part] for part in parts)
    return Source("human-motion", train, val, {"action": (actions[0], actions[1])}, queue_size=160)


def procedural(folder: Path) -> Source:
    """300 procedural videos to learn from, 200 others for validation."""
    if not (folder / "clips.csv").exists():
        write_set(folder, plan_clips(num_videos=500, seed=1, test_fraction=0.4))
    parts = [[r for r in read_set(folder) if r.clip.split == split] for split in ("train", "test")]
    train, val = ([VideoRecord(r.path, r.clip.name) for r in part] for part in parts)
    labels = {}
    for label in ("motion", "texture"):
        values = [[getattr(r.clip, label) for r in part] for part in parts]
        labels[label] = (values[0], values[1])
    return Source("procedural", train, val, labels, queue_size=64)


def batches(
    source: Source, cache: Path, variant: Variant, *, split: str, seed: int, steps: int, third: bool = False
) -> Iterator[PairBatch]:
    """Batches of a split at a variant's speeds, read once and kept; the windows hold the fastest of them.

    With a curriculum the first half plays at 1 and 4 times `slow`. With `third` the other speed is the third one: the
    same windows, queries and colours.
    """
    records = source.train if split == "train" else source.val
    slow, fast = variant.slow, variant.fast or 2 * variant.slow
    largest = max(4 * slow if variant.curriculum else fast, variant.third or 0)
    ending = f"-curriculum{steps}" if variant.curriculum else ""
    if variant.fast or variant.third:
        ending += f"-fast{fast}-largest{largest}{'-third' if third else ''}"
    folder = cache / f"{source.name}-{split}-slow{slow}-seed{seed}{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = ClipPairDataset(
        records, num_frames=NUM_FRAMES, speeds=[largest], size=SIZE, preset=augment_preset("published"), seed=seed
    )
    sampler = PairSampler(len(records), batch_size=BATCH, seed=seed, speeds=[2], total_steps=steps)
    for step, requests in enumerate(sampler):
        path = folder / f"{step:04d}.pt"
        if not path.exists():
            played = {1: slow, 2: largest if variant.curriculum and 2 * step < steps else fast}
            others = {1: variant.third, 2: variant.third} if third else played
            asked = [PairRequest(r.index, r.epoch, played[r.speed], others[r.other_speed], r.repeat) for r in requests]
            batch = collate(evenly([dataset[request] for request in asked]))
            assert isinstance(batch, PairBatch)
            torch.save({**vars(batch), "skipped": []}, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").rename(path)
        yield PairBatch(**torch.load(path, weights_only=True))


def evenly(samples: list[PairSample | NoSample]) -> list[PairSample | NoSample]:
    """Samples with as many key frames each: two speeds of three may need more or fewer of a window's frames.

    The frames added repeat the last one; no clip takes them.
    """
    most = max(len(sample.key) for sample in samples if isinstance(sample, PairSample))
    return [
        replace(sample, key=torch.cat([sample.key, sample.key[-1:].expand(most - len(sample.key), -1, -1, -1)]))
        if isinstance(sample, PairSample)
        else sample
        for sample in samples
    ]


def eval_clips(source: Source, cache: Path, *, split: str, stride: int) -> Tensor:
    """Evaluation clips uint8 [N, CLIPS, T, S, S, 3] of a split, read once and kept."""
    path = cache / f"{source.name}-{split}-stride{stride}.pt"
    if not path.exists():
        records = source.train if split == "train" else source.val
        dataset = VideoClips(records, EvenClips(ClipShape(NUM_FRAMES, stride, SIZE), CLIPS))
        clips = [dataset[index].clips for index in range(len(dataset))]
        torch.save(torch.stack([part for part in clips if part is not None]), path)
    found: Tensor = torch.load(path, weights_only=True)
    return found


def train(
    variant: Variant, source: Source, cache: Path, *, seed: int, teacher: RSPNet | None = None
) -> tuple[StudyNet, list[dict[str, float]]]:
    """Train a variant; returns the network and what the diagnostics saw."""
    torch.manual_seed(derive_seed(seed, "initial weights"))
    model = StudyNet(variant, queue_size=source.queue_size, num_frames=NUM_FRAMES, size=SIZE)
    model = model.to(memory_format=torch.channels_last_3d).train()
    optimizer = torch.optim.AdamW(model.encoder_q.parameters(), lr=variant.lr, betas=(0.9, 0.999), weight_decay=1e-4)
    schedule = Schedule(variant.lr, "cosine", max(1, variant.steps), 1, "step", warmup_steps=variant.warmup)
    seen: list[dict[str, float]] = []
    options = {"split": "train", "seed": seed, "steps": variant.steps}
    stream = batches(source, cache, variant, **options)
    thirds = batches(source, cache, variant, **options, third=True) if variant.third else repeat(None)
    for step, (batch, third) in enumerate(zip(stream, thirds, strict=False)):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        views = disturbed(SpeedViews(*make_views(batch, noise_std=variant.noise_std)), variant, seed=seed, step=step)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(views, step_seed=step)
            loss = output.loss
            if variant.symmetric:
                loss = loss - model.last_motion_loss / 2 + model.mirrored_loss(views) / 2
            if third is not None:
                loss = loss - model.last_motion_loss / 2 + model.third_loss(make_views(third)[2]) / 2
            if teacher is not None:
                loss = loss + variant.distill * model.distance_to(teacher, views)
        if step in LOOKS:
            seen.append({"step": step, **look(model, output.loss, variant)})
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model.eval(), seen


def teacher_of(source: Source, work: Path, *, seed: int) -> RSPNet:
    """The trained `base` of a seed, trained now where there is none."""
    path = work / "checkpoints" / f"{source.name}-base-{seed}.ckpt"
    if not path.exists():
        save(train(BASE, source, work / "cache", seed=seed)[0], path)
    teacher = load_pretrained(path)
    assert isinstance(teacher, RSPNet)
    return teacher.to(memory_format=torch.channels_last_3d)


def disturbed(views: SpeedViews, variant: Variant, *, seed: int, step: int) -> SpeedViews:
    """The views with flicker, where the variant has it."""
    if not variant.flicker:
        return views
    generator = torch_rng(seed, "flicker", step)
    return SpeedViews(*(flickered(view, largest=variant.flicker, generator=generator) for view in views))


def look(model: StudyNet, loss: Tensor, variant: Variant) -> dict[str, float]:
    """Diagnostics of the step whose graph is still there."""
    query, same, other = (model.embeddings[name].motion for name in ("query", "same", "other"))
    losses = {"motion": model.last_motion_loss}
    if variant.appearance_weight:
        losses["appearance"] = loss - model.last_motion_loss
    return {
        **ranking_state(query, same, other, margin=2.0, temperature=0.07),
        **{f"motion_{name}": value for name, value in vector_spread(query).items()},
        **gradient_norms(losses, model.backbone.parameters()),
    }


@torch.no_grad()
def features(model: StudyNet, clips: Tensor) -> np.ndarray:
    """Mean pooled backbone features float32 [N, C]."""
    rows = []
    for part in clips.flatten(0, 1).split(48):
        with torch.autocast("cpu", torch.bfloat16):
            maps = model.backbone.forward_features(normalise(part))
        rows.append(maps.float().mean(dim=(2, 3, 4)))
    return torch.cat(rows).view(*clips.shape[:2], -1).mean(dim=1).numpy()


@torch.no_grad()
def relative_speed(model: StudyNet, source: Source, cache: Path, *, slow: int, how: str) -> float:
    """RSP accuracy at `slow` and twice it on validation videos as they are, blurred, or with noise."""
    accuracies = []
    steps = 2 * len(source.val) // BATCH
    for batch in batches(source, cache, replace(BASE, slow=slow), split="val", seed=99, steps=steps):
        if how == "blur":
            for jitter in (batch.query_jitter, batch.key_jitter):
                jitter[:, BLUR] = gaussian_neighbour(1.5)
        views = make_views(batch, noise_std=0.06 if how == "noise" else 0.0)
        with torch.autocast("cpu", torch.bfloat16):
            query, same, other = (model.encoder(view).motion for view in views)
        accuracies.append(float(ranking_accuracy(query, same, other)))
    return float(np.mean(accuracies))


def judge(model: StudyNet, source: Source, cache: Path, *, slow: int) -> dict[str, float]:
    """All scores on the validation videos."""
    scores = {
        f"rsp_{how}": relative_speed(model, source, cache, slow=slow, how=how) for how in ("plain", "blur", "noise")
    }
    for stride in STRIDES:
        x, y = (features(model, eval_clips(source, cache, split=part, stride=stride)) for part in ("train", "val"))
        for label, (known, wanted) in source.labels.items():
            names = sorted(set(known))
            numbers, truth = (np.array([names.index(value) for value in values]) for values in (known, wanted))
            fit = fit_linear(x, numbers, y, num_classes=len(names), folds=1, seed=0)
            scores[f"{label}_linear_stride{stride}"] = float((fit.scores.argmax(axis=1) == truth).mean())
            recall = recall_at_1(torch.from_numpy(y), torch.from_numpy(x), wanted, known)
            scores[f"{label}_recall1_stride{stride}"] = recall
    return scores


def save(model: StudyNet, path: Path) -> None:
    """A checkpoint that `load_pretrained` reads; not for what the package does not know."""
    if model.variant.input == "both" or model.variant.spread or model.variant.standardised:
        return
    content = {"model": model.state_dict(), "model_config": model.config, "made_with": {}, "videos_sha256": None}
    save_checkpoint(path, content)


def run(arguments: argparse.Namespace) -> None:
    """Every run that has no result yet."""
    torch.set_num_threads(1)
    work = Path(arguments.out)
    cache = work / "cache"
    source = human_motion(Path(arguments.data)) if arguments.source == "human-motion" else procedural(work / "videos")
    for seed in arguments.seeds:
        for name in arguments.only or VARIANTS:
            path = work / "runs" / f"{source.name}-{name}-{seed}.json"
            if path.exists():
                continue
            variant = VARIANTS[name]
            teacher = teacher_of(source, work, seed=seed) if variant.distill else None
            started, cpu = time.perf_counter(), time.process_time()
            model, seen = train(variant, source, cache, seed=seed, teacher=teacher)
            trained = time.process_time() - cpu
            scores = judge(model, source, cache, slow=variant.slow)
            row = {"source": source.name, "seed": seed, "variant": asdict(variant), "scores": scores}
            row |= {"train_cpu_seconds": trained, "wall_seconds": time.perf_counter() - started, "diagnostics": seen}
            write_json(path, row)
            save(model, work / "checkpoints" / f"{path.stem}.ckpt")
            print(name, seed, f"{trained:.0f} s", json.dumps({k: round(v, 3) for k, v in scores.items()}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=["human-motion", "procedural"], default="human-motion")
    parser.add_argument("--data", default="../shared/data/human-motion")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="*", default=[])
    run(parser.parse_args())
