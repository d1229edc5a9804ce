"""`rspnet weights`: the catalogue of published weights, and downloading them with a check."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from rspnet.config.weights import WeightsConfig
from rspnet.core.errors import CheckpointError, RSPNetError
from rspnet.core.files import atomic_path, sha256_of, write_json
from rspnet.models.catalogue import CATALOGUE, PublishedWeights, published

_TIMEOUT_SECONDS = 60.0


def weights(config: WeightsConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: an unknown name, no connection, or a file that is not what it was.
    """
    if config.name is None:
        for entry in CATALOGUE.values():
            print(f"{entry.name:<26} {entry.backbone:<14} {entry.clip:<9} {entry.trained_on}")
        return
    entry = published(config.name)
    mean, std = entry.mean_std
    rows = {
        "network": entry.backbone,
        "trained on": entry.trained_on,
        "clip": entry.clip,
        "mean, std": f"{list(mean)}, {list(std)}",
        "scores": f"{entry.scores} (as published)",
        "licence": entry.licence,
        "page": entry.page,
        "file": entry.url,
    }
    print(entry.name)
    for name, value in rows.items():
        print(f"  {name:<11} {value}")
    if config.download is not None:
        print(fetch(entry, Path(config.download)))


def fetch(entry: PublishedWeights, folder: Path) -> str:
    """Download the file unless it is there, check it, and say what was done.

    Size and hash are written beside the file (`NAME.sha256.json`) at the first download; a file there, and any later
    download into that folder, must have both.

    Raises:
        RSPNetError: no connection, or a file whose size or hash is another one.
    """
    file = folder / entry.file_name
    known = folder / f"{entry.file_name}.sha256.json"
    present = file.is_file()
    if not present:
        _download(entry, file)
    digest = sha256_of(file)
    found = {"size": file.stat().st_size, "sha256": digest}
    if not digest.startswith(entry.sha256_start):
        raise CheckpointError(
            f"{str(file)!r} is not {entry.name}: its SHA-256 begins with {digest[:8]}, published is "
            f"{entry.sha256_start}; remove it and download again"
        )
    if known.is_file():
        expected = _known(known)
        if found != expected:
            raise CheckpointError(
                f"{str(file)!r} has changed: {found['size']} bytes, SHA-256 {digest[:12]}..., at the first download "
                f"{expected.get('size')} bytes, {str(expected.get('sha256'))[:12]}...; remove it and download again"
            )
        return f"{file} {'is' if present else 'downloaded,'} as at the first download"
    write_json(known, found)
    return f"{file}: {found['size']} bytes, SHA-256 {digest} (noted for later checks)"


def _download(entry: PublishedWeights, file: Path) -> None:
    try:
        with (
            urllib.request.urlopen(entry.url, timeout=_TIMEOUT_SECONDS) as answer,  # noqa: S310 - from our own table
            atomic_path(file) as temporary,
            temporary.open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
            expected = answer.headers.get("Content-Length")
            if expected is not None and int(expected) != target.tell():
                raise RSPNetError(
                    f"download of {entry.url} broke off at {target.tell()} of {expected} bytes: try again"
                )
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise RSPNetError(
            f"cannot download {entry.url}: {reason}; fetch it another way into {str(file.parent)!r}"
        ) from error


def _known(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {str(file)!r}: remove it to note size and hash anew") from error
    return content if isinstance(content, dict) else {}
