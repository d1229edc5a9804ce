"""`rspnet compare`: results side by side, and only where they were measured alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rspnet.config.compare import CompareConfig
from rspnet.core.counts import counted
from rspnet.core.errors import RSPNetError
from rspnet.core.files import csv_text, write_text
from rspnet.data.labelled.read_labelled import PUBLISHED_SCORED
from rspnet.features.scores import Interval, paired_difference
from rspnet.recipes.published import PUBLISHED
from rspnet.runs.built_in import BUILT_IN
from rspnet.runs.foreign_predictions import Foreign, read_foreign
from rspnet.runs.predictions import read_predictions
from rspnet.runs.run_folder import open_run_folder, plain, result_file, write_result

COMPARED = frozenset(
    {
        "backbone",
        "input",
        "weights_sha256",
        "tensors_sha256",
        "plugins_sha256",
        "init_sha256",
        "random_init",
        "training",
        "seed",
        "software",
        "command",
    }
)
"""Entries of a stamp that say what was tested, not how: they may differ between results in one table."""
_OF_THE_CLIP = frozenset({"num_frames", "stride", "fps", "size"})
_OF_THE_TEST = frozenset({"num_clips", "num_crops", "precision"})
"""Entries that are options of the same name: of `finetune` both (but the precision, a section's), of `evaluate` the
latter, of `probe` and `retrieve` all but the crops, which never differ there."""


@dataclass(frozen=True)
class Result:
    """One result.json.

    Attributes:
        name: what the table calls it.
        protocol: its stamp without the entries of `COMPARED`.
        scores: figures with their intervals, by name.
        predictions: file with per-video hits, or None.
        foreign: predictions of another program; then nothing is known of its protocol.
        cell: data set and network whose published result is of the same kind, "" for none.
    """

    name: str
    protocol: Mapping[str, Any]
    scores: Mapping[str, Interval]
    predictions: Path | None
    foreign: Foreign | None = None
    cell: str = ""

    def hits(self, score: str) -> Mapping[str, bool] | None:
        """Whether each video counts for a score, by the video's name; None where that is not known."""
        if self.foreign is not None:
            return self.foreign.hits.get(score)
        if self.predictions is None or score.endswith("mean_class_accuracy"):
            return None
        columns = read_predictions(self.predictions, ["name", score])
        return dict(zip(columns["name"].tolist(), columns[score].tolist(), strict=True))

    def classes(self) -> Mapping[str, str]:
        """The true class of each video, by the video's name; empty where that is not known."""
        if self.foreign is not None:
            return self.foreign.classes
        if self.predictions is None or self.predictions.suffix == ".npz":  # of earlier versions
            return {}
        columns = read_predictions(self.predictions, ["name", "class"])
        return dict(zip(columns["name"].tolist(), columns["class"].tolist(), strict=True))


@dataclass(frozen=True)
class Difference:
    """A score of a result less that of the first, over the same videos."""

    interval: Interval
    p_value: float


def compare(config: CompareConfig) -> None:
    """Print the Markdown table; write it and a CSV where a folder is named.

    Raises:
        RSPNetError: a file that is no result, or unlike protocols.
    """
    results = read_results(config.results)
    if len(results) < 2 and not results[0].cell:
        raise RSPNetError(f"{results[0].name}: name a second result; there is no published one of its data and network")
    unlike = [differing(results[0], result) for result in results]
    for result, found in zip(results, unlike, strict=True):
        if found and not config.allow_unlike:
            raise RSPNetError(
                f"{results[0].name} and {result.name} were not measured alike: {'; '.join(found)}: make them alike"
                f"{cure(results[0], result)}, or compare them all the same with --allow_unlike, which says so in the "
                "table"
            )
    names = [name for name in results[0].scores if all(name in result.scores for result in results)]
    if not names:
        raise RSPNetError(f"{results[0].name} and the others have no score in common")
    for result in results[1:]:
        refuse_other_classes(results[0], result)
    tests = [
        {name: paired(results[0], result, name, config) for name in names} if place else {}
        for place, result in enumerate(results)
    ]
    text = markdown(results, names, tests, unlike)
    text += "".join(f"\n{line}\n" for result in results if (line := against_published(result)))
    print(text, end="")
    if config.out is not None:
        folder = open_run_folder(config.out, config, command="compare")
        write_text(folder / "compare.md", text)
        write_text(folder / "compare.csv", results_csv(results, names, tests, unlike))
        outcome = {"tables": ["compare.md", "compare.csv"], "alike": not any(unlike)}
        write_result(folder, command="compare", protocol=plain(config), results=outcome)


def read_results(paths: Sequence[str]) -> list[Result]:
    """The results of files or run folders, each named by its folder (by the path given, where names repeat)."""
    files = [result_file(path) for path in paths]
    names = [file.stem if _is_foreign(file) else file.absolute().parent.name for file in files]
    if len(set(names)) < len(names):
        names = list(paths)
    return [_read(file, name) for file, name in zip(files, names, strict=True)]


def _is_foreign(file: Path) -> bool:
    return file.suffix.lower() == ".csv"


def _read(file: Path, name: str) -> Result:
    if _is_foreign(file):
        found = read_foreign(file)
        return Result(name, {}, found.scores, None, found)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        protocol, results = content["protocol"], content["results"]
        rows = results.get("scores", results)
        scores = {key: Interval(row["value"], row["low"], row["high"]) for key, row in rows.items() if _is_score(row)}
        # Results from before the entry scored what the makers of a published data set say.
        known = (
            {"scored_split": PUBLISHED_SCORED[kind]} if (kind := protocol.get("dataset")) in PUBLISHED_SCORED else {}
        )
        stamp = {"method": protocol.get("command"), **known, **protocol}
        if stamp.get("split_seed") == BUILT_IN["data.split_seed"]:  # results of earlier versions name it
            del stamp["split_seed"]
    except OSError as error:
        raise RSPNetError(f"cannot read result {str(file)!r}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RSPNetError(f"{str(file)!r} is no result of rspnet (result.json of a run folder)") from error
    if not scores:
        raise RSPNetError(f"{str(file)!r} holds no scores: name results of finetune, evaluate, probe or retrieve")
    predictions = results.get("predictions")
    return Result(
        name,
        {key: value for key, value in stamp.items() if key not in COMPARED},
        scores,
        None if predictions is None else file.parent / predictions,
        cell=_cell(stamp),
    )


def _cell(stamp: Mapping[str, Any]) -> str:
    """The cell of the published table that a stamp is of: fine-tuned, from trained weights, on a published fold."""
    cell = f"{stamp.get('dataset')}-{stamp.get('backbone')}"
    is_of = stamp.get("method") == "finetune" and stamp.get("init_sha256") is not None and stamp.get("fold") == 1
    return cell if is_of and cell in PUBLISHED else ""


def against_published(result: Result) -> str:
    """One line: the published top-1 and the result's, with its interval; "" where none was published."""
    if not result.cell or "top1" not in result.scores:
        return ""
    known = PUBLISHED[result.cell]
    told = ", ".join(f"{value} ({epochs} epochs)" for epochs, value in known.items())
    told = str(next(iter(known.values()))) if len(known) == 1 else told
    text = f"{result.cell}: published {told}, {result.name} {_percent(result.scores['top1'])}"
    if result.protocol.get("selection") != "official":
        text += "; the published one is of the epoch that is best on the test videos (--protocol official)"
    return text


def _is_score(row: Any) -> bool:
    return isinstance(row, dict) and {"value", "low", "high"} <= set(row)


def differing(first: Result, other: Result) -> list[str]:
    """In which entries of the protocol two results differ, as `name: first A, other B`; nothing is known of others'."""
    return [
        f"{key}: {first.name} {_told(key, first.protocol)}, {other.name} {_told(key, other.protocol)}"
        for key in _unlike(first, other)
    ]


def _told(key: str, protocol: Mapping[str, Any]) -> str:
    """An entry in words; of a list its hash, too, for two may lie at one path at two times."""
    has_hash = key == "list" and "list_sha256" in protocol
    return f"{protocol.get(key, 'unset')}" + (f" (SHA-256 {protocol['list_sha256'][:8]})" if has_hash else "")


def _unlike(first: Result, other: Result) -> list[str]:
    """The entries in which two protocols differ."""
    if first.foreign is not None or other.foreign is not None:
        return []
    keys = sorted({*first.protocol, *other.protocol} - {"list_sha256"})
    unlike = [key for key in keys if _differs(key, first.protocol, other.protocol)]
    # Of another command: what else differs follows from that.
    return ["method"] if "method" in unlike else unlike


def _differs(key: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether an entry differs: a list goes by what it says, or, as earlier versions kept no hash, by its file."""
    if key == "list" and "list_sha256" in here and "list_sha256" in there:
        return bool(here["list_sha256"] != there["list_sha256"])
    one, other = here.get(key), there.get(key)
    if key == "list" and one is not None and other is not None:
        one, other = Path(one).resolve(), Path(other).resolve()
    return bool(one != other)


def cure(first: Result, other: Result) -> str:
    """The options that give the second result the view of the first, in brackets; "" where more than that differs."""
    unlike = set(_unlike(first, other))
    if not unlike or not unlike <= {*_OF_THE_CLIP, *_OF_THE_TEST} or None in map(first.protocol.get, unlike - {"fps"}):
        return ""
    again, prefix = f"rspnet {first.protocol['method']}", ""
    if first.protocol["method"] == "finetune":
        if "precision" in unlike and not unlike <= _OF_THE_TEST:
            return ""
        again, prefix = ("rspnet evaluate", "") if unlike <= _OF_THE_TEST else ("rspnet finetune", "clips.")
    view = {**first.protocol, "fps": first.protocol.get("fps") or ("null" if prefix else 0)}
    options = " ".join(f"--{prefix}{name} {view[name]}" for name in sorted(unlike))
    return f" ({other.name} again by {again} with {options})"


def paired(first: Result, other: Result, score: str, config: CompareConfig) -> Difference | None:
    """The paired test of one score over the videos of both results; None where a score is not one of videos.

    Raises:
        RSPNetError: the two results are of different videos, and unlike ones were not allowed.
    """
    here, there = first.hits(score), other.hits(score)
    if here is None or there is None:
        return None
    if first.foreign is not None or other.foreign is not None:
        here, there = by_stem(here, there)
    common = [name for name in here if name in there]
    if (len(common) < max(len(here), len(there)) and not config.allow_unlike) or not common:
        raise RSPNetError(
            f"{first.name} ({counted(len(here), 'video')}) and {other.name} ({len(there)}) share only "
            f"{counted(len(common), 'test video')}: a paired test needs the same ones"
        )
    columns: list[NDArray[Any]] = [np.array([side[name] for name in common]) for side in (there, here)]
    return Difference(*paired_difference(*columns, seed=0))


def refuse_other_classes(first: Result, other: Result) -> None:
    """Raise `RSPNetError` where two results do not sort the videos of both into the same true classes.

    Each may call the classes by other names, or by numbers: one name on one side must stand for one on the other.
    """
    here, there = first.classes(), other.classes()
    if first.foreign is not None or other.foreign is not None:
        here, there = by_stem(here, there)
    meant: tuple[dict[str, str], dict[str, str]] = {}, {}
    for name in sorted(here.keys() & there.keys()):
        pair = here[name], there[name]
        for known, (own, theirs) in zip(meant, (pair, pair[::-1]), strict=True):
            if known.setdefault(own, theirs) != theirs:
                raise RSPNetError(
                    f"{first.name} and {other.name} differ in the true classes of videos: {name!r} is {pair[0]!r} and "
                    f"{pair[1]!r}, but in another video {own!r} is {known[own]!r}"
                )


def by_stem(*sides: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What several programs say of videos, by the names of the files alone (no folder, no ending), where unique."""
    short = [{Path(name).stem: hit for name, hit in side.items()} for side in sides]
    return tuple(short) if all(len(a) == len(b) for a, b in zip(short, sides, strict=True)) else sides


Tests = Sequence[Mapping[str, Difference | None]]


def markdown(results: Sequence[Result], names: Sequence[str], tests: Tests, unlike: Sequence[Sequence[str]]) -> str:
    """The table: percent with 95 % intervals; below, differences from the first result with p-values."""
    marked = any(unlike)
    header = ["result", *names, *(["not alike in"] if marked else [])]
    rows = [
        [result.name, *(_percent(result.scores[name]) for name in names), *(["; ".join(found)] if marked else [])]
        for result, found in zip(results, unlike, strict=True)
    ]
    lines = _table(header, rows)
    if len(results) < 2:
        return "\n".join(lines) + "\n"
    tested = [
        [f"{result.name} - {results[0].name}", *(_difference(found.get(name)) for name in names)]
        for result, found in zip(results[1:], tests[1:], strict=True)
    ]
    lines += [
        "",
        "Difference in points over the same videos (95 % bootstrap interval, p of a paired randomisation test):",
        "",
    ]
    lines += _table(["difference", *names], tested)
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "not tested"
    i = found.interval
    return f"{100 * i.value:+.1f} [{100 * i.low:+.1f}, {100 * i.high:+.1f}], p {found.p_value:.2g}"


def results_csv(results: Sequence[Result], names: Sequence[str], tests: Tests, unlike: Sequence[Sequence[str]]) -> str:
    """One row a result and score, shares of 1."""
    columns = ["value", "low", "high", "difference", "difference_low", "difference_high", "p_value", "not_alike_in"]
    table: list[list[Any]] = [["result", "score", *columns]]
    for result, found, differs in zip(results, tests, unlike, strict=True):
        for name in names:
            score, test = result.scores[name], found.get(name)
            gap = (
                [""] * 4 if test is None else [test.interval.value, test.interval.low, test.interval.high, test.p_value]
            )
            table.append([result.name, name, score.value, score.low, score.high, *gap, "; ".join(differs)])
    return csv_text(table)
