"""What recognition commands leave behind: per-video predictions, a confusion matrix, and the stamp of the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rspnet.core.errors import RSPNetError, reason_of
from rspnet.core.files import atomic_path, utf8
from rspnet.core.npz import read_npz
from rspnet.core.urls import as_path
from rspnet.data.annotations import VideoRecord
from rspnet.data.labelled.own import list_sha256
from rspnet.data.labelled.read_labelled import scored_split
from rspnet.features.scores import Interval, confusion_matrix, score_table, top_k_hits

CONFUSION = "confusion.png"
_KEPT = 5


@dataclass(frozen=True)
class Predictions:
    """Scores [N, C] of N videos over C named classes."""

    records: Sequence[VideoRecord]
    scores: NDArray[np.floating[Any]]
    class_names: Sequence[str]

    @property
    def labels(self) -> NDArray[np.int64]:
        """True classes [N]."""
        return labels_of(self.records)

    def table(self, *, seed: int) -> dict[str, Interval]:
        """Top-1, top-5 and mean class accuracy."""
        return score_table(self.scores, self.labels, seed=seed)

    def hits(self) -> dict[str, NDArray[np.bool_]]:
        """Per-video hits by the names of their scores."""
        return {f"top{k}": top_k_hits(self.scores, self.labels, k) for k in (1, 5)}

    def columns(self) -> dict[str, Any]:
        """One row a video: name, true class, the five best classes with their scores, hits."""
        best = np.argsort(-self.scores, axis=1, kind="stable")[:, :_KEPT]
        names = np.array(self.class_names)
        return {
            "name": np.array([record.name for record in self.records]),
            "class": names[self.labels],
            "predicted": names[best[:, 0]],
            "best_classes": names[best],
            "best_scores": np.take_along_axis(self.scores, best, axis=1).astype(np.float32),
            **self.hits(),
        }

    def confusion(self) -> NDArray[np.int64]:
        """Counts [true class, predicted class]."""
        return confusion_matrix(self.labels, self.scores.argmax(axis=1).astype(np.int64), len(self.class_names))


def labels_of(records: Sequence[VideoRecord]) -> NDArray[np.int64]:
    """Class numbers int64 [N] of labelled records."""
    return np.array([record.label for record in records], dtype=np.int64)


def as_results(table: Mapping[str, Interval], *, prefix: str = "") -> dict[str, dict[str, float]]:
    """A table of scores as plain values for result.json."""
    return {prefix + name: asdict(interval) for name, interval in table.items()}


def save_predictions(folder: Path, columns: dict[str, Any]) -> str:
    """Write predictions.parquet; returns the file's name."""
    path = folder / "predictions.parquet"
    save_columns(path, columns)
    return path.name


def read_predictions(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Some columns of a predictions file.

    Raises:
        RSPNetError: missing or damaged file, or no such column.
    """
    try:
        if path.suffix == ".npz":
            return read_npz(path, names)
        table = pq.read_table(path, columns=list(names))
        return {name: table[name].to_numpy(zero_copy_only=False) for name in names}
    except (OSError, KeyError, ValueError) as error:
        raise RSPNetError(f"cannot read {', '.join(names)} of predictions {str(path)!r}: {reason_of(error)}") from error


def draw_confusion(path: Path, counts: NDArray[np.int64], class_names: Sequence[str]) -> None:
    """Draw a confusion matrix (rows: true class, each scaled to 1) as a PNG."""
    from matplotlib.figure import Figure  # a second to import, and commands without a picture import this module, too

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(40.0, max(5.0, 0.28 * len(class_names)))
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis")
    if len(class_names) <= 120:  # more names than this cannot be read
        places = range(len(class_names))
        axes.set_xticks(places, class_names, rotation=90, fontsize=6, parse_math=False)
        axes.set_yticks(places, class_names, fontsize=6, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, shrink=0.7)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=110)


def data_stamp(data: Mapping[str, Any], *, train: int, test: int) -> dict[str, Any]:
    """What a result says of its data set: layout, fold, what was scored, how many videos took part.

    Args:
        data: the options of `read_labelled`, all of them.
        train: training videos.
        test: test videos.
    """
    stamp: dict[str, Any] = {"dataset": data["kind"], "fold": data["fold"], "train_videos": train, "test_videos": test}
    stamp["scored_split"] = scored_split(data["kind"], data["root"], list=data["list"])
    if data["kind"] in ("folders", "csv"):
        stamp |= {name: data[name] for name in ("test_share", "list")}
    if data["list"] is not None:
        stamp["list_sha256"] = list_sha256(as_path(data["list"]))
    return stamp | ({"allow_missing": True} if data["allow_missing"] else {})


def save_columns(path: Path, columns: dict[str, Any]) -> None:
    """Write columns (1-d arrays, or 2-d arrays of one vector a row) as .npz or .parquet, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npz":
            np.savez(file, **columns)
            return
        pq.write_table(pa.table({name: pa.array(list(_utf8(column))) for name, column in columns.items()}), file)


def _utf8(column: NDArray[Any]) -> NDArray[Any]:
    """A column, text that is not valid UTF-8 (as file names may be) spelled with backslashes."""
    if column.dtype.kind != "U":
        return column
    texts = [utf8(text) for text in column.reshape(-1).tolist()]
    return np.array(texts, dtype=np.str_).reshape(column.shape)
