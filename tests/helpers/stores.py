"""Object stores on loopback: fsspec's memory, and a real S3 server (moto's) behind a proxy that makes trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from rspnet.core import storage, urls

EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)


def in_memory(name: str, content: bytes) -> str:
    """Put an object into fsspec's memory; returns its URL."""
    import fsspec

    fsspec.filesystem("memory").pipe(f"/{name}", content)
    return f"memory://{name}"


def forget_blocks() -> None:
    """As in a new process: nothing has been read yet."""
    urls._KEPT.__init__()  # type: ignore[misc]


@dataclass
class Traffic:
    """What was asked of stores: (start, stop) of every range, and the names whose facts were."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(stop - start for start, stop in self.ranges)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count what this process asks of stores."""
    traffic, fetch, facts = Traffic(), storage.fetch, storage.facts

    def counting_fetch(url: str, start: int, stop: int, *, size: int) -> bytes:
        traffic.ranges.append((start, stop))
        return fetch(url, start, stop, size=size)

    def counting_facts(url: str) -> storage.Facts:
        traffic.facts.append(url)
        return facts(url)

    forget_blocks()
    with mock.patch.object(storage, "fetch", counting_fetch), mock.patch.object(storage, "facts", counting_facts):
        yield traffic


@dataclass
class Trouble:
    """What the proxy does to requests of objects (GET and HEAD of /bucket/key).

    Attributes:
        delay_s: added to each.
        stalls: how many of the next are answered after a second only.
        failures: how many of the next are answered with status 500.
        cuts: how many of the next answers with content break off in the middle.
        expired: names (ends of paths) that only valid keys may read.
        seen: (method, path, Range header) of all.
    """

    delay_s: float = 0.0
    stalls: int = 0
    failures: int = 0
    cuts: int = 0
    expired: set[str] = field(default_factory=set)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str) -> bool:
        with self.lock:
            left = getattr(self, name)
            if left:
                setattr(self, name, left - 1)
            return left > 0


@dataclass
class S3:
    """A server on loopback."""

    endpoint: str
    trouble: Trouble

    @property
    def environment(self) -> dict[str, str]:
        """What points programs at it, and at no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, bucket: str, files: dict[str, bytes]) -> str:
        """A bucket with these objects; returns its URL."""
        system, _ = storage.opened(f"s3://{bucket}")
        if not system.exists(bucket):
            system.mkdir(bucket)
        for name, content in files.items():
            system.pipe(f"{bucket}/{name}", content)
        return f"s3://{bucket}"

    def remove(self, url: str) -> None:
        system, key = storage.opened(url)
        system.rm(key)


@contextmanager
def s3_server() -> Iterator[S3]:
    """Moto's server behind the proxy; this process's S3 file system is then the proxy's."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    trouble = Trouble()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _proxy_to(port, trouble))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    found = S3(f"http://127.0.0.1:{proxy.server_address[1]}", trouble)
    with mock.patch.dict("os.environ", found.environment):
        _forget_file_systems()
        try:
            yield found
        finally:
            _forget_file_systems()
            proxy.shutdown()
            proxy.server_close()
            server.stop()


def _forget_file_systems() -> None:
    import s3fs
    from fsspec.asyn import sync

    for system in s3fs.S3FileSystem._cache.values():
        if getattr(system, "_s3creator", None) is not None:
            # s3fs does it itself, but gives up after 0.1 s: on a busy machine its connections then stay unclosed.
            sync(system.loop, system._s3creator.__aexit__, None, None, None, timeout=60)
    storage._file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    forget_blocks()


def _proxy_to(port: int, trouble: Trouble) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_read = self.command in ("GET", "HEAD") and self.path.count("/") > 1 and "?" not in self.path
            if is_read:
                trouble.seen.append((self.command, self.path, self.headers.get("Range", "")))
                time.sleep(trouble.delay_s + trouble.take("stalls"))
                if trouble.take("failures"):
                    return self.answer(500, {}, b"")
                if any(self.path.endswith(name) for name in trouble.expired):
                    return self.answer(403, {"Content-Type": "application/xml"}, EXPIRED)
            upstream = HTTPConnection("127.0.0.1", port)
            upstream.request(self.command, self.path, body, dict(self.headers))
            reply = upstream.getresponse()
            content, headers = reply.read(), dict(reply.getheaders())
            upstream.close()
            is_cut = is_read and len(content) > 1 and trouble.take("cuts")
            return self.answer(reply.status, headers, content, cut=is_cut)

        def answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay  # noqa: N815

    return Proxy


def files_below(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their names."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
