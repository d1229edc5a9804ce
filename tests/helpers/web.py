"""Running `rspnet serve` as its users do, and talking to it byte by byte."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

_FLAGS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
BROWSER_FLAGS = [f"--{flag}" for flag in (_FLAGS + "disable-component-update disable-sync").split()]
_START_SECONDS = 200
SLOW_MS = 120_000


@dataclass
class Server:
    """A running `rspnet serve`; `temporary` is where its temporary files lie."""

    process: subprocess.Popen[str]
    port: int
    temporary: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def said(self) -> list[str]:
        """The lines that it has written so far."""
        return self.temporary.with_suffix(".log").read_text().splitlines()


def start_server(library: Path, temporary: Path, *options: str) -> Server:
    temporary.mkdir()
    words = [sys.executable, "-m", "rspnet", "serve", str(library), "--port=0", *options]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    log = temporary.with_suffix(".log")
    with log.open("w") as errors:
        process = subprocess.Popen(words, env=environment, stderr=errors, text=True)
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return Server(process, int(found[1]), temporary)
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"the server did not start: {log.read_text()}")


@dataclass
class PageHere:
    """A page that this process serves."""

    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served_here(library: Path, private: Path) -> Iterator[PageHere]:
    """The page of a library, from a thread: no process to start, and no start to wait for."""
    import uvicorn

    from rspnet.search.library import Library
    from rspnet.search.ui.app import build_app
    from rspnet.search.ui.service import Service

    app = build_app(Service(Library(str(library)), private, upload_bytes=2**20), upload_bytes=2**20, hosts=())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield PageHere(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def ask(port: int, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One request with the path just as it is; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SLOW_MS / 1000)
    try:
        connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def upload(port: int, name: str, content: bytes) -> tuple[int, str]:
    """What the page's drop zone sends."""
    path = f"/upload?name={quote(name, safe='')}"
    status, body = ask(port, path, method="POST", body=content, x_rspnet_tab="byhand")
    return status, body.decode()


def call(port: int, path: str, said: Any = None, **fields: Any) -> tuple[int, Any]:
    """What the page's scripts send: status and value of the answer."""
    query = f"?{urlencode(fields, doseq=True)}" if fields else ""
    posted = {} if said is None else {"method": "POST", "body": json.dumps(said).encode()}
    status, body = ask(port, f"/api/{path}{query}", x_rspnet_tab="byhand", **posted)
    return status, json.loads(body)


class Visit:
    """A user's page, and all that it asked for and complained of."""

    def __init__(self, browser, server, *, width=1280, height=800, path="/", **context):
        self.context = browser.new_context(viewport={"width": width, "height": height}, **context)
        self.context.set_default_timeout(SLOW_MS)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)
        self.page.goto(server.address + path)
        self.page.wait_for_selector("#cards[aria-busy=false] > *")

    def _listen(self, line):
        refused = "/api/" in line.location["url"] or "/upload" in line.location["url"]  # told of on the page
        if line.type == "error" and not refused:
            self.complaints.append(line.text)

    def drop(self, path):
        self.page.set_input_files("#file", str(path))

    def pick(self, name):
        self.page.fill("#pick", name)
        self.page.press("#pick", "Enter")
        self.wait_for(f"document.querySelector('.query .cut')?.title === {json.dumps(name)}")

    def wait_for(self, expression):
        self.page.wait_for_function(f"() => {expression}")

    def names(self):
        """Of each hit its name."""
        return self.page.eval_on_selector_all(".hit", "items => items.map(item => item.dataset.name)")

    def findings(self):
        """What axe-core calls serious or critical in the page as it now stands."""
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        return [(rule["id"], node["html"][:160], node["failureSummary"]) for rule in grave for node in rule["nodes"]]
