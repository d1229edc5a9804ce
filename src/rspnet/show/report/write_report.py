"""Read a run folder, draw what it holds, write report.html."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.run_files import LAST
from rspnet.data.annotations import VideoRecord, find_videos
from rspnet.data.skipped import SKIPPED
from rspnet.data.synthetic.acts import LABELS, read_acts
from rspnet.data.synthetic.labelled_set import LABEL_FILE
from rspnet.engine.divergence import BAD_BATCH
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.predictions import CONFUSION
from rspnet.runs.scoring import SKIPPED_TEST
from rspnet.runs.verdict import REPORT as REPORT_COMMAND
from rspnet.show.report.curve_sections import learning_section, speed_facts, speed_section
from rspnet.show.report.neighbour_sections import HEADS, Item, neighbour_sections, spread
from rspnet.show.report.recognition_sections import recognition_sections
from rspnet.show.report.report_page import Code, Page, PageImage, Pairs, Section, Table, Text, write_page
from rspnet.show.report.run_facts import RunFacts, labelled_records_of, read_run, training_of
from rspnet.show.report.sample_section import samples_section

REPORT = "report.html"
_SKIP_FILES = (SKIPPED, SKIPPED_TEST)
_MAX_ROWS = 200
_NAMES = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "motion_accuracy": "RSP accuracy",
    "motion_loss": "RSP loss",
    "appearance_loss": "A-VID loss",
    "appearance_top1_same": "A-VID top-1, same speed",
    "appearance_top5_same": "A-VID top-5, same speed",
    "appearance_top1_other": "A-VID top-1, other speed",
    "appearance_top5_other": "A-VID top-5, other speed",
    "lr": "learning rate",
    "clips_per_second": "clips a second",
    "data_wait_share": "share of the time spent waiting for data",
    "linear_top1": "linear classifier, top-1",
    "knn_top1": "nearest neighbours, top-1",
}
"""Keys of results -> what a reader calls them."""


def write_report(folder: Path, *, num_videos: int, device: str = "auto") -> Path:
    """Write `report.html` into a run folder and return its path; see `ReportConfig`."""
    run = read_run(folder)
    training = training_of(run)
    sections = [
        *_verdict_sections(run),
        _result_section(run),
        learning_section(training),
        speed_section(training),
        samples_section(training),
        *_network_sections(run, training, num_videos=num_videos, device=device),
        *recognition_sections(run),
        _tables_section(run, "Retrieval by class", ["per_class.csv"], "The run scored no retrieval."),
        _tables_section(training, "Skipped videos", _SKIP_FILES, "No video was skipped."),
        _tables_section(training, "Videos of diverged steps", [BAD_BATCH], "No step diverged."),
        _pictures_section(run),
        _config_section(run, training),
    ]
    finished = run.result.get("finished", "not finished: the run left no result.json")
    name = run.folder.resolve().name
    page = Page(name, f"rspnet {run.command} · {finished}", _facts(training), sections)
    write_page(folder / REPORT, page)
    return folder / REPORT


def _facts(training: RunFacts) -> list[tuple[str, str]]:
    """The few numbers to see first."""
    results = training.result.get("results", {})
    facts = [(name, f"{results[name]:,}") for name in ("videos", "skipped") if isinstance(results.get(name), int)]
    steps = training.result.get("protocol", {}).get("steps")
    if steps is not None:
        facts.append(("steps", f"{steps:,}"))
    last = results.get("last", {})
    if "motion_accuracy" in last:
        facts.append(("RSP accuracy, last", f"{last['motion_accuracy']:.2f}"))
    for name, key in (("top-1", "top1"), ("top-1, linear", "linear_top1")):
        score = results.get("scores", {}).get(key, {})
        if "value" in score:
            facts.append((name, f"{score['value']:.1%}"))
    return facts + speed_facts(training)


def _verdict_sections(run: RunFacts) -> list[Section]:
    """What the run ended with: whether it went well, and what comes next but this page."""
    lines, commands = (
        [str(item) for item in found] if isinstance(found := run.result.get(name), list) else []
        for name in ("verdict", "next")
    )
    commands = [words for words in commands if not words.startswith(REPORT_COMMAND)]
    if not lines and not commands:
        return []
    return [Section("In short", [*(Text(line) for line in lines), *(Text(f"next: {words}") for words in commands)])]


def _result_section(run: RunFacts) -> Section:
    title = "Result"
    if not run.result:
        return Section(title, note="The run is not finished: it left no result.json.")
    results, protocol = run.result.get("results", {}), run.result.get("protocol", {})
    return Section(title, [Pairs(list(_flat(results))), Code("Protocol stamp", _yaml(protocol))])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested results as (name, text); a value with an interval on one line."""
    for key, value in values.items():
        name = _NAMES.get(key, key.replace("_", " "))
        if isinstance(value, dict) and {"value", "low", "high"} <= set(value):
            yield prefix + name, f"{_text(value['value'])}  [{_text(value['low'])}, {_text(value['high'])}]"
        elif isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} · ")
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            yield prefix + name, f"{len(value)} entries, see result.json"
        else:
            yield prefix + name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)


def _network_sections(run: RunFacts, training: RunFacts, *, num_videos: int, device: str) -> tuple[Section, Section]:
    """NeighbourRows and similarity maps, for runs of a network with both heads."""
    titles = ("Nearest neighbours", "Where they are alike")

    def without(why: str) -> tuple[Section, Section]:
        return Section(titles[0], note=why), Section(titles[1], note=why)

    if num_videos == 0:
        return without("Left out on request (--num_videos 0).")
    checkpoint = _checkpoint(run, training)
    if checkpoint is None:
        return without(f"Only a network with both heads has them ({' and '.join(HEADS)}); this run has none.")
    try:
        queries, gallery = _items(run, training)
        model = load_pretrained(checkpoint)
    except RSPNetError as error:
        return without(f"They could not be made: {error}")
    return neighbour_sections(model, queries, spread(gallery, num_videos), device=device)


def _checkpoint(run: RunFacts, training: RunFacts) -> Path | None:
    """The pre-trained network a run made or judged."""
    if training.command == "pretrain":
        return training.folder / LAST if (training.folder / LAST).exists() else None
    model = run.config.get("weights", run.config.get("model"))  # as it was called until 0.2
    return Path(model) if run.command in ("retrieve", "probe") and isinstance(model, str) else None


def _items(run: RunFacts, training: RunFacts) -> tuple[Sequence[Item], Sequence[Item]]:
    """Queries and gallery: held-out against training videos where there are both, else one set.

    Raises:
        RSPNetError: the videos are not there any more.
    """
    if run.command == "demo" and (run.folder / "videos" / LABEL_FILE).exists():
        records = read_acts(run.folder / "videos")
        made: dict[str, list[Item]] = {"test": [], "train": []}
        for record in records:
            labels = tuple(getattr(record.clip, label) for label in LABELS)
            made[record.clip.split].append(Item(VideoRecord(record.path, record.clip.name), labels))
        return made["test"], made["train"]
    if training.command == "pretrain":
        data = training.options("data")
        items = [Item(record) for record in find_videos(data.get("root"), data.get("list"))]
        return items, items
    test, train = (
        [Item(record, (record.class_name,) if record.class_name else ()) for record in labelled_records_of(run, s)]
        for s in ("test", "train")
    )
    return test, train


def _tables_section(run: RunFacts, title: str, names: Sequence[str], nothing: str) -> Section:
    """CSV files of the run, whole up to a number of rows."""
    tables = []
    for name in names:
        rows = run.rows(name)
        if rows:
            more = f", the first {_MAX_ROWS} of {len(rows)}" if len(rows) > _MAX_ROWS else ""
            cells = [list(row.values()) for row in rows[:_MAX_ROWS]]
            tables.append(Table(list(rows[0]), cells, f"{counted(len(rows), 'row')} of {name}{more}"))
    return Section(title, tables, "" if tables else nothing)


def _pictures_section(run: RunFacts) -> Section:
    """The pictures that the command itself drew, but for those shown elsewhere."""
    paths = [path for path in sorted(run.folder.glob("*.png")) if path.name != CONFUSION]
    pictures = [PageImage(path.read_bytes(), path.name) for path in paths]
    return Section("Pictures of the run", pictures, "" if pictures else "The command drew none.")


def _config_section(run: RunFacts, training: RunFacts) -> Section:
    parts = [Code("config.yaml", _yaml(run.config))]
    if training is not run:
        parts.append(Code(f"{training.folder.name}/config.yaml, of the training", _yaml(training.config)))
    return Section("Resolved configuration", parts)


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
