from __future__ import annotations

import hashlib
import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rspnet.cli import main
from rspnet.commands.weights import download_weights
from rspnet.core.errors import CheckpointError, RSPNetError
from rspnet.data.presets import MEAN, STD
from rspnet.models.registry import backbone_names
from rspnet.pretext.pretrained import load_pretrained
from rspnet.weights.catalogue import CATALOGUE, IMAGENET


def test_catalogue(capsys):
    assert main(["weights"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in CATALOGUE)
    assert len([name for name in CATALOGUE if name.startswith("rspnet-")]) == 5
    assert all(entry.backbone in backbone_names() and entry.url.startswith("https://") for entry in CATALOGUE.values())
    assert (MEAN, STD) == IMAGENET  # what our networks are fed is what the paper's were trained with
    assert main(["weights", "rspnet-s3dg-200"]) == 0
    shown = capsys.readouterr().out
    assert "UCF101 89.9" in shown
    assert "none stated" in shown
    assert "ImageNet" not in shown
    assert main(["weights", "torchvision-r3d_18"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "r3d_18_torchvision",
        "16 x 112",
        "0.43216",
        "this package feeds ImageNet's",
        "63.2",
        "BSD-3",
        "https",
    ):
        assert part in shown
    assert main(["weights", "nothing"]) == 2
    assert main(["weights", "--download=x"]) == 2


@pytest.fixture
def entry(tmp_path: Path):
    """A published file that lies on this disk."""
    source = tmp_path / "there" / "file.pth"
    source.parent.mkdir()
    source.write_bytes(b"weights")
    return replace(CATALOGUE["rspnet-s3dg-200"], url=source.as_uri())


def test_hash_is_learned_once_and_checked_ever_after(entry, tmp_path):
    folder = tmp_path / "here"
    assert "noted" in download_weights(entry, folder)
    noted = json.loads((folder / "file.pth.sha256.json").read_text())
    assert noted == {"size": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    assert "is as at the first download" in download_weights(entry, folder)
    (folder / "file.pth").unlink()
    assert "downloaded, as at the first download" in download_weights(entry, folder)
    (folder / "file.pth").write_bytes(b"WEIGHTS")
    for use in (lambda: download_weights(entry, folder), lambda: load_pretrained(folder / "file.pth")):
        with pytest.raises(CheckpointError, match=r"file\.pth' has changed: 7 bytes") as error:
            use()
        assert "\n" not in str(error.value)
    (folder / "file.pth.sha256.json").write_text("{")
    with pytest.raises(CheckpointError, match="remove it to note"):
        download_weights(entry, folder)


def test_a_published_hash_counts_from_the_first_time(entry, tmp_path):
    with pytest.raises(CheckpointError, match="published is 00000000"):
        download_weights(replace(entry, sha256_start="00000000"), tmp_path / "here")
    good = hashlib.sha256(b"weights").hexdigest()[:8]
    assert "noted" in download_weights(replace(entry, sha256_start=good), tmp_path / "other")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nfew",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nweights",
    ],
    ids=["no HTTP", "nothing", "cut off", "bad length"],
)
def test_odd_answers_are_one_line_and_leave_nothing(answer, entry, tmp_path):
    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        there = replace(entry, url=f"http://127.0.0.1:{server.getsockname()[1]}/file.pth")
        with pytest.raises(RSPNetError, match="cannot download") as error:
            download_weights(there, tmp_path / "here")
        thread.join()
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "here").glob("*"))


def test_no_connection_is_one_line_and_leaves_nothing(entry, tmp_path):
    with pytest.raises(RSPNetError, match="cannot download") as error:
        download_weights(replace(entry, url=(tmp_path / "nowhere.pth").as_uri()), tmp_path / "here")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "here").glob("*"))
