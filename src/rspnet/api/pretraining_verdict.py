"""How a pre-training went: by videos that it was not trained on where there are some, else by its own curves."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any, Literal

from rspnet.api.pretraining_plan import Plan, build_model
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.rules import DEFAULT_WEIGHTS
from rspnet.core.errors import RSPNetError
from rspnet.core.ranks import world_size
from rspnet.core.rng import derive_seed
from rspnet.data.annotations import VideoRecord
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.diagnostics import vector_spread
from rspnet.features.snapshot import speed_accuracy
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import require_heads
from rspnet.pretext.queue import KeyQueue
from rspnet.pretext.rspnet import RSPNet
from rspnet.runs.verdict import Finding, Verdict, named_for_shell, rank_line, report_command, rsp_line

_FEWEST_PAIRS = 96
"""Each held-out video is asked about so often that there are so many answers at least."""


def hold_out(records: Sequence[VideoRecord], count: int, *, seed: int) -> tuple[list[VideoRecord], list[VideoRecord]]:
    """The videos to train on, in their order, and `count` others, chosen by the seed and their names."""
    drawn = nsmallest(count, records, key=lambda record: derive_seed(seed, "held out", record.name))
    chosen = {record.name for record in drawn}
    return [r for r in records if r.name not in chosen], [r for r in records if r.name in chosen]


def pretraining_verdict(
    config: PretrainConfig,
    plan: Plan,
    model: PretextModel,
    trained: Sequence[VideoRecord],
    held_out: Sequence[VideoRecord],
) -> Verdict:
    """How the training went, and what comes next; with held-out videos neighbours.png is drawn.

    Args:
        config: of the run.
        plan: of the run.
        model: as it is at the end.
        trained: videos that it was trained on.
        held_out: others, perhaps none.
    """
    folder, found = Path(config.out), list[Finding]()
    if held_out and isinstance(model, RSPNet):
        found += _by_held_out(config, plan, model, trained, held_out)
    else:
        found += _by_curves(config, plan)
    queue = getattr(model, "queue", None)
    if isinstance(queue, KeyQueue):
        keys = queue.keys[: plan.total_steps * config.data.batch_size].float().cpu()
        found.append(rank_line(vector_spread(keys), count=len(keys), length=keys.shape[1]))
    shows = "curves, nearest neighbours" if isinstance(model, RSPNet) else "curves"
    commands = [report_command(folder, shows=shows), *_what_next(config, all(finding.is_good for finding in found))]
    return Verdict([finding.text for finding in found], commands)


def _what_next(config: PretrainConfig, is_good: bool) -> Iterator[tuple[str, str]]:
    """What to do with weights that learned something, or in place of those that did not."""
    trained, videos = named_for_shell(config.data.root, config.data.list)
    out = shlex.quote(config.out)
    if is_good:
        yield f"rspnet index {videos} --weights {out} --out {out}/library", "make the videos searchable"
        return
    if config.weights is None:
        adapt = f"rspnet pretrain {trained} --weights {DEFAULT_WEIGHTS} --out {shlex.quote(config.out + '-adapted')}"
        yield adapt, "start from the weights in the package instead"
    yield f"rspnet index {videos}", "search by the weights in the package"


def _by_held_out(
    config: PretrainConfig, plan: Plan, model: RSPNet, trained: Sequence[VideoRecord], held_out: Sequence[VideoRecord]
) -> list[Finding]:
    rounds = math.ceil(_FEWEST_PAIRS / len(held_out))
    try:
        before = require_heads(build_model(config), task="pretrain").to(plan.device)
        options: dict[str, Any] = {"played": config.data.played, "fps": config.data.fps}
        options |= {"rounds": rounds, "seed": config.seed}
        fresh, accuracy = (speed_accuracy(network, held_out, **options) for network in (before, model))
        lines = [rsp_line(accuracy, rounds * len(held_out), held_out=len(held_out), fresh=fresh)]
        if world_size() == 1:  # all ranks would have to embed
            from rspnet.show.neighbour_sheet import SHEET, neighbour_sheet  # loads matplotlib

            device: Literal["cpu", "cuda"] = "cuda" if plan.device.type == "cuda" else "cpu"
            sheet = neighbour_sheet(Path(config.out) / SHEET, model, held_out, trained, device=device)
            lines.append(Finding(f"nearest neighbours of two of these videos: {sheet}", is_good=True))
    except RSPNetError as error:
        return [Finding(f"the held-out videos cannot judge: {error}", is_good=True), *_by_curves(config, plan)]
    return lines


def _by_curves(config: PretrainConfig, plan: Plan) -> list[Finding]:
    """The RSP accuracy of the last epoch, on clips that had never been drawn before; nothing where it was not kept."""
    rows = read_curves(Path(config.out) / METRICS) if "csv" in config.engine.loggers else []
    last = [row for row in rows if int(row["step"]) > plan.total_steps - plan.steps_per_epoch]
    told = [float(row["motion_accuracy"]) for row in last if "motion_accuracy" in row]
    steps = min(plan.steps_per_epoch, plan.total_steps)
    return [rsp_line(sum(told) / len(told), steps * config.data.batch_size)] if told else []
