"""What the rows of a study that are not there yet will cost, from a few steps of each run; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rspnet.api.pretraining import Pretraining
from rspnet.api.pretraining_plan import build_model
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.console import PlainConsole
from rspnet.core.cost import CostMeter, as_bytes, as_time, sampled
from rspnet.core.counts import counted
from rspnet.core.progress import print_note, track
from rspnet.data.skipped import Skip
from rspnet.engine.runtime import device_in_words, pick_device
from rspnet.features.video_stream import embedded_videos
from rspnet.lab.study.rows import embedder_of, finished, row_folder, row_protocol, steps_of
from rspnet.lab.study.sets import TRAIN_LIST, StudySet, write_list
from rspnet.lab.study.spec import Study, is_hand_made, is_trained, row_config
from rspnet.runs.training_preview import measure_training


def preview_study(
    plan: Study, wanted: Sequence[tuple[str, int]], videos: StudySet, *, root: Path, out: Path, console: PlainConsole
) -> None:
    """Print what the rows will cost.

    Args:
        plan: the study.
        wanted: (run, seed) of the rows that were asked for.
        videos: of the study.
        root: their folder.
        out: where the rows are.
        console: where to print.

    Raises:
        RSPNetError: a row was made with other options, or videos cannot be read.
    """
    with TemporaryDirectory() as place:
        write_list(Path(place) / TRAIN_LIST, videos.train)
        options = {"root": str(root), "listed": str(Path(place) / TRAIN_LIST), "out": place}
        left = []
        for run, seed in wanted:
            config = row_config(plan, run, seed=seed, **options)
            if not finished(row_folder(out, run, seed), row_protocol(plan, config, run, videos)):
                left.append((run, config))
        first: dict[str, PretrainConfig] = {}
        for run, config in left:
            first.setdefault(run, config)
        seconds, disk, judging = dict.fromkeys(first, 0.0), dict.fromkeys(first, 0), dict.fromkeys(first, 0.0)
        for run, config in track(first.items(), total=len(first), what="runs tried"):
            if is_trained(plan, run):
                seconds[run], disk[run] = _training(config, steps_of(plan, config, videos))
            if not is_hand_made(plan, run):
                judging[run] = _judging(plan, config, videos)
    rows = [run for run, _ in left]
    console.print(f"{counted(len(rows), 'row')} to make, {len(wanted) - len(rows)} there already")
    if not rows:
        return
    for run in first:
        each = f"{as_time(seconds[run])} of training" if seconds[run] else "no training"
        text = f"  {run}: {counted(rows.count(run), 'row')}, each {each}, {as_time(judging[run])} for features"
        console.print(text)
    whole = sum(seconds[run] + judging[run] for run in rows)
    where = device_in_words(pick_device(next(iter(first.values())).engine.device))
    console.print(
        f"together about {as_time(whole)} on {where} in one process, {as_bytes(sum(disk[run] for run in rows))} of "
        f"checkpoints in {out}"
    )
    drawn = ["drawing the scenes"] if plan.scenes else []
    judged = [*(["the judged sets"] if plan.judged else []), *(["fine-tuning"] if plan.finetune else [])]
    print_note(console, f"not counted: {', '.join([*drawn, 'the classifiers', *judged])}")


def _training(config: PretrainConfig, steps: int) -> tuple[float, int]:
    """Seconds of a run's pre-training, and bytes of its checkpoints."""
    whole = Pretraining.of(config)
    found = measure_training(*whole.tried())
    clip = found.with_workers(whole.plan.workers) if found else 0.0
    return clip * whole.clips_of_a_process * steps, whole.disk


def _judging(plan: Study, config: PretrainConfig, videos: StudySet) -> float:
    """Seconds that the features of all videos take, decoding included, which later rows need not do again."""
    records = [*videos.train, *videos.test]
    meter, bad = CostMeter(len(records), bytes_per_item=0), list[Skip]()
    embedder = embedder_of(plan, build_model(config).eval(), config)
    results = embedded_videos(embedder, sampled(records), what="videos tried", leave_out=bad.append)
    for _ in meter.until_sampled(results):
        meter.add(1, 1)
    cost = meter.whole()
    return cost.seconds if cost else 0.0
