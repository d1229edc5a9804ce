"""A study's rows summed up: a JSON of rows to keep, tables as Markdown and CSV, a picture, a block of a document."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rspnet.core.counts import counted
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.lab.study.comparisons import Comparison, Mean, compare_runs, mean_of
from rspnet.lab.study.plots import draw_oracle, draw_study
from rspnet.lab.study.rows import JUDGED_HASHES, ORACLE, ROW, VIDEOS_HASH, changed, read_row, training_seconds
from rspnet.lab.study.shown import SCORES, main_scores, shown_scores
from rspnet.lab.study.spec import Study, StudyView

Rows = list[dict[str, Any]]


def write_study_report(study: Study, out: Path, folder: Path) -> None:
    """Write NAME.json (from the rows in `out`, where there are any), NAME.md, NAME.csv and NAME.png to `folder`.

    Raises:
        ConfigError: no row is finished and there is no NAME.json.
    """
    kept = folder / f"{study.name}.json"
    content = gather(study, out)
    if not content["rows"]:
        if not kept.exists():
            raise ConfigError(f"--report: no finished row in {str(out)!r} and no {str(kept)!r}")
        content = read_kept(kept)
    study = judged_in(study, content["rows"])
    texts = {
        kept: as_json(content),
        folder / f"{study.name}.md": block(study, content),
        folder / f"{study.name}.csv": rows_csv(content["rows"], hidden=SCORES if study.tuning else ()),
    }
    for path, text in texts.items():
        write_text(path, text)
    draw_study(folder / f"{study.name}.png", study, content["rows"])
    if content["oracle"]:
        draw_oracle(folder / f"{study.name}-oracle.png", content["oracle"])
    print(f"{counted(len(content['rows']), 'row')} of {study.name}: {folder / (study.name + '.md')}")


def judged_in(study: Study, rows: Rows) -> Study:
    """The study without the judged sets that not all its rows have: those of `--smoke` have none."""
    judged = {task: spec for task, spec in study.judged.items() if all(task in row["classes"] for row in rows)}
    return replace(study, judged=judged)


def gather(study: Study, out: Path) -> dict[str, Any]:
    """All finished rows of a study, in its order of runs, and the oracle's answer where there is one.

    Raises:
        ConfigError: rows that a table must not put together, see `refuse_mixed`.
    """
    found = {path: read_row(path) for path in sorted((out / "rows").glob(f"*/{ROW}"))}
    refuse_mixed({path: row for path, row in found.items() if row["run"] in study.runs})
    rows, order = list(found.values()), list(study.runs)
    rows = sorted((row for row in rows if row["run"] in order), key=lambda row: (order.index(row["run"]), row["seed"]))
    oracle = out / ORACLE
    answer = json.loads(oracle.read_text(encoding="utf-8")) if oracle.exists() else None
    return {"study": study.name, "rows": rows, "oracle": answer}


def refuse_mixed(rows: Mapping[Path, dict[str, Any]]) -> None:
    """Refuse rows that were not judged alike, and seeds of a run that were not trained alike.

    Raises:
        ConfigError: names two such rows, and what differs.
    """
    first_of: dict[str, Path] = {}
    hashes: dict[str, str] = {}
    for path, row in rows.items():
        first = first_of.setdefault(row["run"], path)
        one, other = rows[first]["protocol"], row["protocol"]
        # Either may be of an older version, which knew fewer options.
        what = "their training" if changed(one, other) and changed(other, one) else ""
        start = next(iter(rows))
        own = {VIDEOS_HASH: other["videos"].get(VIDEOS_HASH), **other.get(JUDGED_HASHES, {})}
        same = all(value is None or hashes.setdefault(name, value) == value for name, value in own.items())
        if not what and not (same and _judged_by(rows[start]) == _judged_by(row)):
            first, what = start, "how, or on which videos, they are judged"
        if what:
            raise ConfigError(
                f"--report: {str(first)!r} and {str(path)!r} were made with other settings ({what}): "
                "move one of them away, or use another --out for each"
            )


def _judged_by(row: dict[str, Any]) -> list[Any]:
    """What all rows of a table must have in common."""
    protocol, counts = row["protocol"], ("train", "test", "validation")
    view, videos = asdict(StudyView()) | protocol["view"], [protocol["videos"][name] for name in counts]
    return [view, videos, row["classes"], *(protocol.get(name) for name in ("labels", "judged", "finetune", "scenes"))]


def read_kept(path: Path) -> dict[str, Any]:
    """The rows that a report kept.

    Raises:
        RSPNetError: the file is none of ours.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: content[name] for name in ("study", "rows", "oracle")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RSPNetError(f"{str(path)!r} holds no rows of a study: {error!r}") from error


def as_json(content: dict[str, Any]) -> str:
    """JSON with one row a line, so that a change shows as the rows it changed."""
    rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in content["rows"])
    oracle = json.dumps(content["oracle"], allow_nan=False)
    return f'{{"study": {json.dumps(content["study"])},\n "rows": [\n  {rows}\n ],\n "oracle": {oracle}}}\n'


def block(study: Study, content: dict[str, Any]) -> str:
    """Tables and pictures as Markdown."""
    lines = ["", f"![{study.title}]({study.name}.png)"]
    if content["oracle"]:
        lines += ["", f"![What the mean frame difference says about speed]({study.name}-oracle.png)"]
    return tables(study, content) + "\n".join(lines) + "\n"


def tables(study: Study, content: dict[str, Any]) -> str:
    """The study in words and tables: a table of scores for every task, and one of differences."""
    rows: Rows = content["rows"]
    lines = [f"**{study.title}.** {study.about.strip()}", "", _protocol(rows), ""]
    runs = [run for run in study.runs if any(row["run"] == run for row in rows)]
    shown = shown_scores(study)
    for task in study.tasks:
        lines += [f"*{task}* (%, mean and 95 % t-interval over seeds; chance {_chance(rows, task)}):", ""]
        lines += _table(["run", "seeds", *shown.values()], [_scores_row(rows, run, task, shown) for run in runs])
        lines.append("")
    compared = [run for run in runs if run != study.reference]
    if study.reference in runs and compared and not study.tuning:
        lines += [
            f"Each run minus *{study.reference}*, in points: over seeds (t), and over test videos (bootstrap).",
            "",
        ]
        header = ["run", *(f"{task}, {name}" for task in study.tasks for name in main_scores(study).values())]
        lines += _table(header, [_difference_row(study, rows, run) for run in compared])
        lines.append("")
    header = ["run", "steps", "pretext", "CPU s pre-training", "CPU s judging"]
    lines += _table(header + ["CPU s fine-tuning"] * bool(study.finetune), [_cost_row(rows, r) for r in runs])
    if content["oracle"]:
        lines += ["", _oracle_text(content["oracle"])]
    return "\n".join(lines) + "\n"


def rows_csv(rows: Rows, *, hidden: Collection[str] = ()) -> str:
    """One line a run, seed, task and score (shares of 1), but for `hidden` scores."""
    table = [["run", "seed", "steps", "task", "score", "value", "pretrain_cpu_seconds"]]
    for row in rows:
        spent = row["spent"]["pretrain"]["cpu_seconds"]
        for task, scores in row["scores"].items():
            for score, value in ((score, value) for score, value in scores.items() if score not in hidden):
                table.append([row["run"], row["seed"], row["protocol"]["steps"], task, score, value, spent])
    return csv_text(table)


def values(rows: Rows, run: str, task: str, score: str) -> dict[int, float]:
    """seed -> score of a run."""
    return {row["seed"]: row["scores"][task][score] for row in rows if row["run"] == run}


def comparison(rows: Rows, run: str, reference: str, task: str, score: str) -> Comparison | None:
    """A run minus the reference."""
    hits = [{row["seed"]: row["hits"][task][score] for row in rows if row["run"] == name} for name in (run, reference)]
    return compare_runs(values(rows, run, task, score), values(rows, reference, task, score), *hits)


def _protocol(rows: Rows) -> str:
    videos, view = rows[0]["protocol"]["videos"], rows[0]["protocol"]["view"]
    drawn = rows[0]["protocol"].get("scenes")
    learned = f"{drawn} drawn scenes of each seed" if drawn else f"the {videos['train']} training videos without labels"
    return (
        f"Protocol: {_trainings(rows)}; pre-trained on {learned}, judged on {videos['test']} test videos by frozen "
        f"features ({view['num_clips']} clips, stride {view['stride']}{_judging(view)}){_finetuning(rows)}"
        f"{_besides(rows)}. "
        f"Settings may be tuned on {videos['validation']} of the training videos only."
    )


def _judging(view: dict[str, Any]) -> str:
    """What a view has that is not what it was when rows did not say."""
    if view.get("classifier", "logistic") == "logistic":
        return ""
    return f", {view['descriptor']}, {view['stream']} stream, ridge classifier"


def _besides(rows: Rows) -> str:
    """The judged sets, with the number of videos that are asked."""
    named = [
        f"{task} ({len(rows[0]['hits'][task]['linear'])} videos, "
        + (f"every {spec['groups']} left out once)" if spec["groups"] else "a part of its own for test)")
        for task, spec in rows[0]["protocol"].get("judged", {}).items()
    ]
    return f"; never trained on: {', '.join(named)}" if named else ""


def _finetuning(rows: Rows) -> str:
    options = rows[0]["protocol"].get("finetune")
    return "" if options is None else f"; fine-tuned with {json.dumps(options)}"


def _trainings(rows: Rows) -> str:
    """Network, clips, batch, optimiser and precision; where runs differ in these, each kind with the runs of it."""
    kinds: dict[str, list[str]] = {}
    for row in rows:
        model, data, optim = (row["protocol"][section] for section in ("model", "data", "optim"))
        clips = f"{data['num_frames']} frames x {data['size']}², batch {data['batch_size']}"
        runs = kinds.setdefault(f"{model['backbone']}, {clips}, {optim['name']}{_precision(row)}", [])
        runs += [row["run"]] if row["run"] not in runs else []
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"{kind} ({', '.join(runs)})" for kind, runs in kinds.items())


def _precision(row: dict[str, Any]) -> str:
    """Where the run chose it; rows of older versions do not say, they had the default."""
    chosen = row["protocol"].get("engine", {}).get("precision", "auto")
    return "" if chosen == "auto" else f", {chosen}"


def _chance(rows: Rows, task: str) -> str:
    return ", ".join(f"{100 / count:.1f}" for count in sorted({row["classes"][task] for row in rows}))


def _scores_row(rows: Rows, run: str, task: str, shown: Iterable[str]) -> list[str]:
    found = [values(rows, run, task, score) for score in shown]
    return [run, str(len(found[0])), *(_percent(mean_of(list(part.values()))) for part in found)]


def _difference_row(study: Study, rows: Rows, run: str) -> list[str]:
    cells = [
        comparison(rows, run, study.reference, task, score) for task in study.tasks for score in main_scores(study)
    ]
    return [run, *(_difference(cell) for cell in cells)]


def _cost_row(rows: Rows, run: str) -> list[str]:
    own = [row for row in rows if row["run"] == run]
    shown = ("motion_accuracy", "accuracy", "top1", "appearance_top1_same")
    pretext = [f"{name} {mean_of([row['pretext'][name] for row in own]).value:.2f}" for name in shown
               if name in own[0]["pretext"]]  # fmt: skip
    after = [part for part in own[0]["spent"] if part != "pretrain"]
    spent = [mean_of([row["spent"][part]["cpu_seconds"] for row in own]).value for part in after]
    steps = own[0]["protocol"]["steps"]
    only_part = "> " if all(row["spent"]["pretrain"]["resumed"] for row in own) else ""
    training = f"{only_part}{training_seconds(own):.0f}"
    return [run, str(steps), ", ".join(pretext), training, *(f"{seconds:.0f}" for seconds in spent)]


def _oracle_text(oracle: dict[str, Any]) -> str:
    return (
        f"Oracle: by the mean absolute frame difference alone, {100 * oracle['relative']:.0f} % of relative speeds "
        f"(speeds {oracle['speeds']}) are told right without learning anything, but only "
        f"{100 * oracle['absolute']:.0f} % of absolute speeds by the threshold that is best on the training videos "
        f"(chance 50 % each; {oracle['videos']['test']} test videos)."
    )


def _percent(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return f"{100 * mean.value:.1f}"
    return f"{100 * mean.value:.1f} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]"


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    text = f"{100 * found.over_seeds.value:+.1f}"
    if found.p_seeds is not None and found.over_seeds.low is not None and found.over_seeds.high is not None:
        text += f" [{100 * found.over_seeds.low:+.1f}, {100 * found.over_seeds.high:+.1f}], p {found.p_seeds:.2g}"
    if found.over_videos is not None:
        videos = found.over_videos
        text += f"; videos [{100 * videos.low:+.1f}, {100 * videos.high:+.1f}], p {found.p_videos:.2g}"
    return text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
