"""Files behind URLs: names, facts, ranges of bytes with a bounded read-ahead, tries, and what lasts."""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from helpers.stores import counted, forget_blocks, in_memory

from rspnet.core import storage, urls
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import sha256_of, write_text
from rspnet.core.urls import UrlPath, as_path, below, content_of, is_url
from rspnet.data.annotations import read_folder


def test_what_is_a_url_and_what_a_path(tmp_path: Path) -> None:
    for name in ("s3://b/a c/x.mp4", "https://h/x.mp4", "memory://x", "GS://b/x"):
        assert isinstance(as_path(name), UrlPath), name
        assert is_url(name)
    assert str(as_path("GS://b/X.mp4")) == "gs://b/X.mp4"
    for name in ("a/b.mp4", "/a/b.mp4", "s3/b.mp4", "a:/b", "nix:/b", "concat:a|b", str(tmp_path)):
        assert as_path(name) == Path(name)
        assert not is_url(name)
    assert as_path("file:///a/b.mp4") == as_path("file:/a/b.mp4") == Path("/a/b.mp4")
    # What a `Path` made of a URL is understood; of unknown schemes it is the path it seems to be.
    assert as_path(Path("s3://b/x.mp4")) == as_path("s3://b/x.mp4")
    assert as_path(as_path("s3://b/x.mp4")) == as_path("s3://b/x.mp4")


def test_names() -> None:
    path: Any = as_path("s3://b/train/a/x.tar.MP4")
    assert (path.name, path.stem, path.suffix) == ("x.tar.MP4", "x.tar", ".MP4")
    assert str(path.parent) == "s3://b/train/a"
    assert str(path.parent.parent.parent) == "s3://b" == str(path.parent.parent.parent.parent)
    assert path.relative_to(as_path("s3://b/train")).as_posix() == "a/x.tar.MP4"
    assert not path.is_relative_to(as_path("s3://b/tra"))
    assert str(path.with_suffix(".avi")) == "s3://b/train/a/x.tar.avi"
    assert path.absolute() == path == pickle.loads(pickle.dumps(path))
    assert len({path, as_path(str(path))}) == 1
    assert sorted([path, as_path("s3://a")])[0] == as_path("s3://a")
    signed: Any = as_path("https://h/a/x.mp4?sign=a/b.c#d")
    assert (signed.name, signed.suffix, str(signed.parent)) == ("x.mp4", ".mp4", "https://h/a")
    assert below(as_path("s3://b"), "x.mp4") == as_path("s3://b/x.mp4")
    assert below(Path("/a"), "s3://b/x.mp4") == as_path("s3://b/x.mp4")
    assert below(Path("/a"), "b.mp4") == Path("/a/b.mp4")


@pytest.mark.parametrize(
    ("folder", "name", "whole"),
    [
        ("s3://b/lists", "../clips/./a.mp4", "s3://b/clips/a.mp4"),
        ("s3://b/lists", "../../../a.mp4", "s3://b/a.mp4"),
        ("pack://file:/shards!", "./../a.mp4", "pack://file:/shards!/./../a.mp4"),
        ("https://host/x/?token=1", "a..b/..c.mp4", "https://host/x/a..b/..c.mp4"),
    ],
)
def test_lists_may_name_what_lies_beside_their_folder(folder: str, name: str, whole: str) -> None:
    assert str(as_path(folder) / name) == whole


def test_nothing_of_a_url_is_looked_for_on_disk() -> None:
    with pytest.raises(AttributeError):
        as_path("s3://b/x.mp4").unlink()


def test_what_is_there() -> None:
    url = in_memory("there/a/x.mp4", b"12345")
    in_memory("there/b.txt", b"\xef\xbb\xbftext")
    folder: Any = as_path("memory://there")
    assert folder.is_dir()
    assert not folder.is_file()
    assert as_path(url).is_file()
    assert as_path(url).stat().st_size == 5
    assert not (folder / "nix").exists()
    assert [path.name for path in folder.iterdir()] == ["a", "b.txt"]
    assert [str(path) for path in folder.rglob("*.mp4")] == [url]
    assert (folder / "b.txt").read_text(encoding="utf-8-sig") == "text"
    with pytest.raises(OSError, match="only be read"):
        as_path(url).open("wb")
    with pytest.raises(FileNotFoundError, match="no such object"):
        (folder / "nix").stat()


def test_reading_is_what_slices_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "BLOCK_BYTES", 64)
    monkeypatch.setattr(urls, "WHOLE_BYTES", 100)
    rng = np.random.default_rng(0)
    content = rng.bytes(5000)
    url = in_memory("ranges.bin", content)
    forget_blocks()
    with as_path(url).open() as file:
        at = 0
        for _ in range(500):
            if rng.random() < 0.5:
                at = int(rng.integers(0, 5200))
                assert file.seek(at) == at == file.tell()
            count = int(rng.integers(0, 400))
            assert file.read(count) == content[at : at + count]
            at += min(count, max(0, len(content) - at))
        assert file.seek(-10, 2) == len(content) - 10
        assert file.read() == content[-10:]
    assert sha256_of(as_path(url)) == content_of(as_path(url))


def test_reading_ahead_is_bounded_and_grows_only_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "BLOCK_BYTES", 10)
    monkeypatch.setattr(urls, "WHOLE_BYTES", 5)
    monkeypatch.setattr(urls, "MOST_BLOCKS", 4)
    path = as_path(in_memory("ahead.bin", bytes(1000)))
    with counted() as traffic, path.open() as file:
        while file.read(5):
            pass
        assert [stop - start for start, stop in traffic.ranges[:5]] == [10, 20, 40, 40, 40]
        assert traffic.bytes == 1000
    with counted() as traffic, path.open() as file:
        for at in (900, 100, 500):
            file.seek(at)
            file.read(5)
        assert traffic.bytes == 30


def test_small_files_come_in_one_go_and_lately_read_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_path(in_memory("small.bin", bytes(2_000_000)))
    with counted() as traffic:
        for _ in range(2):
            assert path.read_bytes() == bytes(2_000_000)
        assert traffic.ranges == [(0, 2_000_000)]
    monkeypatch.setattr(urls, "KEPT_BYTES", 1_000_000)
    with counted() as traffic:
        for _ in range(2):
            assert path.read_bytes() == bytes(2_000_000)
        assert urls._KEPT._bytes <= 1_000_000
        assert traffic.bytes > 2_000_000


def test_a_tag_tells_versions_apart() -> None:
    at = {"size": 3, "type": "file", "LastModified": "2026-01-01T00:00:00+00:00"}
    one, two = (storage._facts({**at, "ETag": tag}).version_ns for tag in ("a", "b"))
    assert one != two
    assert one // 10**9 == two // 10**9 == 1767225600
    assert storage._facts({"size": None, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}).seconds == 1767225600
    assert storage._facts({"size": None}) == storage.Facts(False, -1, 0, "")


class _Answers:
    """A file system that answers with what it was given, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.calls = list(answers), 0

    def cat_file(self, key: str, *, start: int, end: int) -> bytes:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return bytes(answer)


def _with_status(status: int) -> Exception:
    error = RuntimeError(f"status {status}")
    error.status = status  # type: ignore[attr-defined]
    return error


def fetch(system: _Answers) -> bytes:
    with (
        mock.patch.object(storage, "opened", lambda url: storage.Opened(system, url)),
        mock.patch.object(storage, "_WAITS", (0.0, 0.0, 0.0)),
    ):
        return storage.fetch("s3://b/x", 2, 5, size=9)


@pytest.mark.parametrize(
    "passing", [TimeoutError(), ConnectionError("cut"), b"12", _with_status(503), _with_status(429)]
)
def test_what_passes_is_tried_again(passing: Any) -> None:
    system = _Answers(passing, passing, passing, b"345")
    assert fetch(system) == b"345"
    assert system.calls == 4
    system = _Answers(passing)
    with pytest.raises(OSError, match="failed 4 times"):
        fetch(system)
    assert system.calls == 4


@pytest.mark.parametrize(
    ("lasting", "kind", "phrase"),
    [
        (FileNotFoundError("x"), FileNotFoundError, "no such object"),
        (_with_status(404), FileNotFoundError, "no such object"),
        (PermissionError("The provided token has expired."), PermissionError, "token has expired"),
        (_with_status(403), PermissionError, "not allowed"),
        (_with_status(400), OSError, "status 400"),
        (ValueError("bad name"), OSError, "bad name"),
    ],
)
def test_what_lasts_is_not_tried_again(lasting: Exception, kind: type[OSError], phrase: str) -> None:
    system = _Answers(lasting)
    with pytest.raises(kind, match=phrase) as caught:
        fetch(system)
    assert system.calls == 1
    assert caught.value.filename == "s3://b/x"


def test_a_server_that_does_not_know_ranges() -> None:
    assert fetch(_Answers(b"012345678")) == b"234"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(ConfigError, match="pip install gcsfs"):
        storage.opened("gs://b/x")
    with pytest.raises(ConfigError, match="unknown scheme nix://"):
        storage.opened("nix://b/x")


def test_local_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(urls.CACHE_VARIABLE, str(tmp_path))
    path = as_path(in_memory("kept.bin", b"one"))
    assert path.read_bytes() == b"one"
    with counted() as traffic:
        assert path.read_bytes() == b"one"
        assert traffic.ranges == []
    in_memory("kept.bin", b"three")
    assert path.read_bytes() == b"three"


def test_nothing_is_written_to_a_url() -> None:
    with pytest.raises(RSPNetError, match="is an address"):
        write_text("memory://out/x.txt", "x")


def test_a_web_server_that_cannot_be_reached_is_no_missing_file() -> None:
    pytest.importorskip("aiohttp", reason="the extra rspnet[remote] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with mock.patch.object(storage, "_WAITS", (0.0,)), pytest.raises(OSError, match="the store failed 2 times"):
        as_path(f"http://127.0.0.1:{port}/x.mp4").stat()


@contextmanager
def web_folder(fault: dict[str, str]) -> Iterator[str]:
    """A web server's listing of two videos, one in a folder; what it does when that one is asked for: see `fault`."""
    pages = {"/": b"<a href='a.mp4'>a</a><a href='sub/'>sub</a>", "/sub": b"<a href='b.mp4'>b</a>"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/sub" and fault.get("what") == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            gone = (self.path == "/sub" and fault.get("what") == "gone") or self.path not in pages
            content = b"" if gone else pages[self.path]
            self.send_response(404 if gone else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

        def handle_one_request(self) -> None:
            with suppress(OSError, ValueError):
                super().handle_one_request()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def test_a_web_folder_whose_listing_fails_in_part_is_an_error_and_not_a_smaller_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(storage, "_WAITS", (0.0,))
    fault: dict[str, str] = {}
    with web_folder(fault) as url:
        assert [record.name for record in read_folder(url)] == ["a.mp4", "sub/b.mp4"]
        fault["what"] = "reset"
        with pytest.raises(RSPNetError, match=r"cannot read folder .* the store failed 2 times"):
            read_folder(url)
        fault["what"] = "gone"
        assert [record.name for record in read_folder(url)] == ["a.mp4"]
    with pytest.raises(RSPNetError, match=r"cannot read folder .* the store failed 2 times"):
        read_folder(url)


def test_a_store_that_fsspec_walks_by_itself_is_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    base: Any = pytest.importorskip("fsspec").AbstractFileSystem

    class Faulty(base):
        protocol = "faulty"

        def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
            if path.rstrip("/").endswith("sub"):
                raise ConnectionResetError("reset")
            found = [{"name": "h/a.mp4", "type": "file", "size": 1}, {"name": "h/sub", "type": "directory", "size": 0}]
            return found if detail else [item["name"] for item in found]

    monkeypatch.setattr(storage, "_WAITS", (0.0,))
    monkeypatch.setattr(storage, "opened", lambda _: storage.Opened(Faulty(), "h"))
    with pytest.raises(OSError, match="the store failed 2 times"):
        storage.names_below("faulty://h")
