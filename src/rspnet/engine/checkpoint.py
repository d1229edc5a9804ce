"""Checkpoints: one file with everything an exact resume needs, written atomically, read without unpickling code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rspnet.core.checkpoint_format import FORMAT, SCHEMA, seal
from rspnet.core.errors import CheckpointError
from rspnet.core.files import atomic_path
from rspnet.core.run_files import LAST, NUMBERED, has_checkpoint
from rspnet.models.weights import read_weights_file


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, text and containers of them) with format name, schema version and checksum.

    Equal content gives equal bytes: the file is written through a handle, so its own name does not get into it, and
    equal texts are made one object, so that it does not matter where they came from.

    Raises:
        RSPNetError: the folder cannot be written or the disk is full; what was at `path` is still there.
    """
    canonical = _canonical({"format": FORMAT, "schema": SCHEMA, **content}, {})
    with atomic_path(path) as temporary:
        _write(temporary, canonical)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint` of this or an earlier schema; tensors land on the CPU.

    Raises:
        CheckpointError: missing, damaged, altered, of another program or of a later version, or holding code.
    """
    content = read_weights_file(path, mapped=False)
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{str(path)!r} is no rspnet checkpoint")
    return content


class CheckpointFolder:
    """The checkpoints of one run: `last.ckpt`, and numbered ones to fall back on.

    A checkpoint is copied in memory and written by a thread while training goes on; a failure of that thread is raised
    by the next call of any method. At the end of an epoch the file also gets a numbered name, a second name of the same
    file where the file system knows such links. The newest `keep` numbered ones from before it stay.
    """

    def __init__(self, folder: Path, *, keep: int) -> None:
        self.folder = folder
        self.keep = keep
        self._writing: Future[None] | None = None

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return has_checkpoint(self.folder)

    def save(self, content: dict[str, Any], *, step: int, numbered: bool) -> None:
        """Start writing `last.ckpt`, and where `numbered` also a kept file named by its step."""
        self.wait()
        copied = copy_to_cpu(content)
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing = thread.submit(self._save, copied, step, numbered and self.keep > 0)
        thread.shutdown(wait=False)  # it ends when the file is written

    def poll(self) -> None:
        """Raise the error of a write that has failed; do not wait for one that is under way."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last `save` is on disk.

        Raises:
            RSPNetError: it could not be written; the checkpoint before it is still there.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def load_last(self, *, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any] | None:
        """The content of `last.ckpt`, or of the newest numbered checkpoint that is whole; None where there is none.

        Args:
            tell: called with a sentence for every damaged file that is passed over.

        Raises:
            CheckpointError: there are checkpoints, but not one that can be read.
        """
        files = [self.folder / LAST, *reversed(self._numbered())]
        first: CheckpointError | None = None
        for path in files if self.exists() else []:
            try:
                content = load_checkpoint(path)
            except CheckpointError as error:
                first = first or error
                tell(f"{error}; falling back on the checkpoint before it")
                continue
            if path.name != LAST:  # else other commands would find the damaged file, or none
                self._make_last(path)
            return content
        if first is not None:
            raise first
        return None

    def remove_leftovers(self) -> None:
        """Remove unfinished files that a killed process left behind."""
        for name in (".*.ckpt.*.tmp", ".metrics.csv.*.tmp"):
            for path in self.folder.glob(name):
                with suppress(OSError):
                    path.unlink()

    def _numbered(self) -> list[Path]:
        return sorted(self.folder.glob(NUMBERED))

    def _save(self, content: dict[str, Any], step: int, numbered: bool) -> None:
        if not numbered:
            save_checkpoint(self.folder / LAST, content)
            return
        kept = self.folder / f"step-{step:08d}.ckpt"
        save_checkpoint(kept, content)
        self._make_last(kept)
        for old in [path for path in self._numbered() if path != kept][: -self.keep]:
            old.unlink()

    def _make_last(self, numbered: Path) -> None:
        """Give a numbered checkpoint the name of the last one, too."""
        with atomic_path(self.folder / LAST) as temporary:
            _link_or_copy(numbered, temporary)


def copy_to_cpu(value: Any) -> Any:
    """Copies of all tensors in containers, on the CPU, which later steps of a training do not change."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copy_to_cpu(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [copy_to_cpu(inner) for inner in value]
    return value


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        with path.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # torch's own error hides the system's, which says what is wrong
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    seal(path)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _canonical(value: Any, texts: dict[str, str]) -> Any:
    """Fresh plain containers and one object for equal texts: pickle writes a shared object only once."""
    if isinstance(value, str):
        return texts.setdefault(value, value)
    if isinstance(value, dict):
        return {_canonical(key, texts): _canonical(inner, texts) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(inner, texts) for inner in value]
    return value
