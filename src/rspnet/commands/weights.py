"""`rspnet weights`: the catalogue of published weights, and downloading them with a check."""

from __future__ import annotations

import http.client
import shutil
import urllib.request
from pathlib import Path

from rspnet.config.weights import WeightsConfig
from rspnet.core.errors import CheckpointError, ConfigError, RSPNetError
from rspnet.core.files import atomic_path, sha256_of
from rspnet.core.noted_hash import fits_noted_hash, note_hash
from rspnet.weights import shipped_file, shipped_names
from rspnet.weights.catalogue import CATALOGUE, IMAGENET, PublishedWeights, published

_TIMEOUT_SECONDS = 60.0
_OTHER_MEAN = " (this package feeds ImageNet's: fine-tuning adapts to it, frozen features do not)"


def weights(config: WeightsConfig) -> None:
    """Run the command.

    Raises:
        RSPNetError: an unknown name, no connection, or a file that is not what it was.
    """
    own = shipped_file(config.name or "")
    if own is not None and config.download is None:
        print(f"{config.name}: comes with the package, {own.stat().st_size} bytes, SHA-256 {sha256_of(own)}")
        print(f"  file        {own}\n  licence     Apache-2.0\n  card        docs/rspnet-small.md")
        return
    if config.name is None:
        for name in shipped_names():
            print(f"{name:<26} comes with the package: name it wherever a model is asked for")
        for entry in CATALOGUE.values():
            print(f"{entry.name:<26} {entry.backbone:<18} {entry.clip:<9} {entry.trained_on}")
        return
    if own is not None:
        raise ConfigError(f"--download: {config.name} comes with the package, at {own}")
    entry = published(config.name)
    mean, std = entry.mean_std
    rows = {
        "network": entry.backbone,
        "trained on": entry.trained_on,
        "clip": entry.clip,
        "mean, std": f"{list(mean)}, {list(std)}{'' if entry.mean_std == IMAGENET else _OTHER_MEAN}",
        "scores": f"{entry.scores} (as published)",
        "licence": entry.licence,
        "page": entry.page,
        "file": entry.url,
    }
    print(entry.name)
    for name, value in rows.items():
        print(f"  {name:<11} {value}")
    if config.download is not None:
        print(download_weights(entry, Path(config.download)))


def download_weights(entry: PublishedWeights, folder: Path) -> str:
    """Download the file unless it is there, check it, and say what was done.

    Size and hash are noted next to the file at the first download; a file there, any later download into that folder,
    and every later reading of the file as weights must have both.

    Raises:
        RSPNetError: no connection, or a file of another size or hash.
    """
    file = folder / entry.file_name
    present = file.is_file()
    if not present:
        _download(entry, file)
    if fits_noted_hash(file):
        return f"{file} {'is' if present else 'downloaded,'} as at the first download"
    digest = sha256_of(file)
    if not digest.startswith(entry.sha256_start):
        raise CheckpointError(
            f"{str(file)!r} is not {entry.name}: its SHA-256 begins with {digest[:8]}, published is "
            f"{entry.sha256_start}; remove it and download again"
        )
    return f"{file}: {file.stat().st_size} bytes, SHA-256 {note_hash(file)} (noted for later checks)"


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
    except RSPNetError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: of a length that is no number
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        text = f"cannot download {entry.url}: {reason}; fetch it another way into {str(file.parent)!r}"
        raise RSPNetError(" ".join(text.split())) from error
