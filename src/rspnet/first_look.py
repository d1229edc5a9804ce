"""Mistakes in what a command's options name, found before seconds go into importing torch.

The commands raise the same errors, and more, where they read what is named; here stands what can be seen at once. Only
a few look themselves at where `--out` lies to the folder of the videos. Addresses of object stores are left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.locks import refuse_held
from rspnet.core.ranks import is_first_process, launched_from_outside
from rspnet.core.urls import is_url
from rspnet.core.weights_files import not_of_finetune, outside_place, require_weights, weights_file
from rspnet.runs.run_folder import (
    CONFIG,
    as_folder,
    command_of,
    refuse_overlap,
    refuse_taken,
    require_run_folder,
    result_file,
)
from rspnet.weights import shipped_file

Look = Callable[[Any], object]


def look_first(command: str, config: Any) -> None:
    """Look whether what the options name is there, and whether `--out` is free.

    Args:
        command: its name.
        config: its configuration.

    Raises:
        RSPNetError: something is not there, or a folder is taken.
    """
    own = _OF_ONE.get(command, {})
    for name, look in {"data": _data, **own, "weights": _weights, "library": _library, **own}.items():
        value = getattr(config, name, None)
        if value and (name in _LOCAL or not isinstance(value, str) or not is_url(value)):
            look(value)
    alone = is_first_process() and not launched_from_outside()  # of several ranks the first takes the folder
    out = getattr(config, "out", None)
    if out is None:
        return
    refuse_overlap(out, _folders_of_videos(config), writes_videos=command in _WRITE_VIDEOS)
    if command in _WRITE_VIDEOS:
        _for_videos(out, command)
    if alone and not getattr(config, "dry_run", False):
        _look_at_out(command, config, out)


def _folders_of_videos(config: Any) -> Sequence[str | None]:
    videos = getattr(config, "videos", None)
    return videos if isinstance(videos, list) else [videos, getattr(getattr(config, "data", None), "root", None)]


def _look_at_out(command: str, config: Any, out: str) -> None:
    if command == "index" and not is_url(out):
        refuse_held(as_folder(out))
    elif command in _RUN_FOLDERS:
        refuse_taken(out, command=command, resume=getattr(config, "resume", True))


def _for_videos(out: str, command: str) -> None:
    from rspnet.core.packs import OWN_FILES, refuse_other_files

    refuse_other_files(Path(out), own=OWN_FILES[command])


def _weights(name: str) -> None:
    if outside_place(name) is None:
        require_weights(weights_file(name))


def _trained_further(name: str) -> None:
    """The weights that a training starts from."""
    if outside_place(name) is not None:
        raise ConfigError(f"--weights {name}: an encoder of another program stays as it is and is not trained")
    _weights(name)


def _classes(name: str) -> None:
    """The weights of a command that names classes."""
    _weights(name)
    by = "pretrain" if not Path(name).exists() and shipped_file(name) else command_of(Path(name))
    if by not in (None, "finetune", "export"):
        raise not_of_finetune(name, by)


def _data(data: Any) -> None:
    """The videos of `pretrain`, or the labelled videos of other commands."""
    if is_url(data.root or "") or is_url(data.list or ""):
        return
    if hasattr(data, "kind"):
        from rspnet.data.labelled.read_labelled import require_labelled

        require_labelled(data.kind, data.root, data.list)
    else:
        _source(data.list or data.root)


def _source(path: str) -> None:
    from rspnet.data.annotations import require_source

    require_source(path)


def _videos(paths: list[str]) -> None:
    from rspnet.data.annotations import require_videos

    require_videos([path for path in paths if not is_url(path)])


def _data_set(root: str) -> None:
    from rspnet.data.labelled.layout import require_root

    require_root(Path(root))


def _library(uri: str) -> None:
    from rspnet.search.library_store import Store

    Store.require(uri)


def _queries(texts: list[str]) -> None:
    from rspnet.search.search_command import clips_of

    clips_of(texts)


def _classifier(path: str) -> None:
    from rspnet.features.window_classifier import WindowClassifier, classifier_file

    WindowClassifier.load(classifier_file(path))


def _class(text: str) -> None:
    from rspnet.features.window_classifier import open_window_classifier

    open_window_classifier(text)


def _features(path: str) -> None:
    from rspnet.features.read import open_store

    open_store(Path(path))


def _labels(path: str) -> None:
    from rspnet.features.event_labels import read_labels

    if not Path(path).is_fifo():  # a pipe can be read once only
        read_labels(Path(path))


def _run_folder(path: str) -> None:
    if not (Path(path) / CONFIG).is_file() and any(Path(path).glob("*.lance")):
        raise RSPNetError(f"{path!r} is a library, no run folder: rspnet search and rspnet serve show what is in it")
    require_run_folder(Path(path))


_OF_ONE: Mapping[str, Mapping[str, Look]] = {
    "doctor": {"videos": _source, "against": _source},
    "transcode": {"videos": _source},
    "pack": {"videos": _source},
    "pretrain": {"weights": _trained_further},
    "finetune": {"weights": _trained_further},
    "embed": {"videos": _videos},
    "index": {"videos": _source},
    "search": {"class_": _class, "queries": _queries, "unlike": _queries},
    "serve": {"labels": _source},
    "classify fit": {"features": _features, "labels": _labels},
    "classify run": {"classifier": _classifier, "videos": _videos},
    "evaluate": {"root": _data_set, "weights": _classes},
    "predict": {"videos": _videos, "weights": _classes},
    "compare": {"results": lambda paths: [result_file(path) for path in paths]},
    "roi": {"first": lambda path: _videos([path]), "second": lambda path: _videos([path])},
    "report": {"run": _run_folder},
    "subset": {"dataset": _data_set},
    "study": {"dataset": _data_set},
    "study disentangle": {"videos": _source},
}
"""Command -> its options that name what must be there and that mean something else, or nothing, in other commands."""
_LOCAL = ("weights", "classifier", "class_")
"""Options that no address of an object store can be given to."""
_WRITE_VIDEOS = frozenset(("transcode", "pack"))
"""Commands whose `--out` holds videos."""
_RUN_FOLDERS = frozenset(
    ("demo", "doctor", "pretrain", "embed", "classify fit", "classify run", "probe", "finetune", "evaluate", "retrieve",
     "compare", "roi", "export", "study disentangle", "bench")
)  # fmt: skip
"""Commands whose `--out` is a run folder."""
