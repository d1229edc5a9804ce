"""Run the rows of a declared grid, or report them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rspnet.config.study import StudyConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError
from rspnet.core.files import write_json
from rspnet.core.locks import LOCK, claimed, holding
from rspnet.engine.stop import STOPPED_EXIT_CODE, Stopped
from rspnet.features.linear_probe import require_sklearn
from rspnet.lab.study.judge import Judge
from rspnet.lab.study.judged import read_judged
from rspnet.lab.study.oracle import ask_oracle
from rspnet.lab.study.rows import ORACLE, finished, make_row, row_folder, row_protocol
from rspnet.lab.study.sets import TRAIN_LIST, StudySet, read_study_set, write_list
from rspnet.lab.study.spec import Study, is_trained, read_study, row_config, smaller
from rspnet.lab.study.study_cost import preview_study
from rspnet.lab.study.study_report import write_study_report
from rspnet.lab.training_scenes import write_training_scenes

DRAWN = "drawn"
_SMOKE_VIDEOS = 12


def run_study(config: StudyConfig, name: str) -> int:
    """Run or report a study of this name. Returns the command's exit code: 0 at the end, 130 where it was stopped."""
    require_sklearn()
    plan = read_study(name)
    out = Path(config.out or f"runs/study/{plan.name}{'-smoke' * config.smoke}")
    if config.report is not None:
        write_study_report(plan, out, Path(config.report))
        return 0
    plan = smaller(plan) if config.smoke else plan
    console = PlainConsole(stderr=True)
    assert config.dataset is not None
    root = Path(config.dataset)
    videos = read_study_set(
        root, videos=plan.videos, labels=plan.labels, bins=plan.bins, most=_SMOKE_VIDEOS if config.smoke else None
    )
    wanted = list(rows_of(plan, only=config.only, seeds=config.seeds))
    if config.dry_run:
        preview_study(plan, wanted, videos, root=root, out=out, console=PlainConsole())
        return 0
    write_list(out / TRAIN_LIST, videos.train)
    sets = {task: read_judged(spec, root, drawn_to=out / DRAWN) for task, spec in plan.judged.items()}
    judge = Judge(plan.view, videos, sets)
    try:
        made = [_row(plan, run, seed, judge, root=root, out=out, console=console) for run, seed in wanted]
    except Stopped:
        console.print("stopped; the same command goes on from here")
        return STOPPED_EXIT_CODE
    if plan.oracle:
        _oracle(plan, videos, out, console)
    counts = ", ".join(f"{made.count(what)} {what}" for what in ("made", "there already", "in other hands"))
    console.print(f"{counted(len(wanted), 'row')}: {counts}; in {out}")
    return 0


def rows_of(plan: Study, *, only: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """(run, seed) of every row to make: all runs of a seed before the next seed.

    Raises:
        ConfigError: a run that the study does not have.
    """
    unknown = [name for name in only if name not in plan.runs]
    if unknown:
        raise ConfigError(f"--only {unknown[0]!r}: study {plan.name} has the runs {', '.join(plan.runs)}")
    for seed in seeds or plan.seeds:
        for run in plan.runs:
            if not only or run in only:
                yield run, seed


def _row(plan: Study, run: str, seed: int, judge: Judge, *, root: Path, out: Path, console: Console) -> str:
    """Make one row unless it is there or another process is at it; says which."""
    folder = row_folder(out, run, seed)
    scenes = out / f"scenes-seed{seed}"
    options: dict[str, Any] = {"root": str(root), "listed": str(out / TRAIN_LIST), "out": str(folder)}
    if plan.scenes:
        options |= {"root": str(scenes), "listed": None}
    config = row_config(plan, run, seed=seed, **options)
    protocol = row_protocol(plan, config, run, judge.videos, judged_hashes=judge.judged_hashes)
    if finished(folder, protocol):
        return "there already"
    with claimed(folder / LOCK) as ours, holding():
        if not ours:
            return "in other hands"
        if finished(folder, protocol):
            return "there already"
        console.rule(f"{plan.name}: {run}, seed {seed}")
        if plan.scenes and is_trained(plan, run):
            write_training_scenes(scenes, num_videos=plan.scenes, seed=seed)
        row = make_row(plan, run, config, judge, protocol=protocol)
    scores = {task: part["linear"] for task, part in row["scores"].items()}
    text = ", ".join(f"{task} {value:.3f}" for task, value in scores.items())
    spent = sum(part["cpu_seconds"] for part in row["spent"].values())
    console.print(f"{run}, seed {seed}: linear {text} ({spent:.0f} CPU seconds)")
    return "made"


def _oracle(plan: Study, videos: StudySet, out: Path, console: Console) -> None:
    """Ask the oracle, once."""
    with claimed(out / "oracle" / LOCK) as ours:
        if not ours or (out / ORACLE).exists():
            return
        data = row_config(plan, plan.reference, seed=0, root=".", listed=TRAIN_LIST, out=".").data
        found = ask_oracle(videos.train, videos.test, speeds=plan.oracle, num_frames=data.num_frames, size=data.size)
        write_json(out / ORACLE, found)
    text = f"relative speed {found['relative']:.2f}, absolute speed {found['absolute']:.2f}"
    console.print(f"oracle (mean frame difference alone): {text}")
