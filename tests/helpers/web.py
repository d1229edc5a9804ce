"""Running `rspnet serve` as its users do, and talking to it byte by byte."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

_FLAGS = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
BROWSER_FLAGS = [f"--{flag}" for flag in (_FLAGS + "disable-component-update disable-sync").split()]
_START_SECONDS = 200
SLOW_MS = 60_000


@dataclass
class Server:
    """A running `rspnet serve`; `temporary` is where its temporary files lie."""

    process: subprocess.Popen[str]
    port: int
    temporary: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


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


def ask(port: int, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """One request with the path just as it is; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
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
    status, body = ask(port, f"/upload?name={quote(name, safe='')}", method="POST", body=content)
    return status, body.decode()


def run_event(port: int, handler: str, data: list[Any], *, session: str, event_data: Any = None) -> dict[str, Any]:
    """Send an event of the page by hand; the last message of its answer."""
    config = json.loads(ask(port, "/config")[1])
    number = next(item["id"] for item in config["dependencies"] if item["api_name"] == handler)
    content = {"data": data, "fn_index": number, "session_hash": session, "event_data": event_data}
    status, answer = ask(
        port,
        "/gradio_api/queue/join",
        method="POST",
        body=json.dumps(content).encode(),
        content_type="application/json",
    )
    if status != 200:
        return {"success": False, "output": answer.decode()}
    _, stream = ask(port, f"/gradio_api/queue/data?session_hash={session}")
    messages = [json.loads(line[5:]) for line in stream.decode().splitlines() if line.startswith("data:")]
    return next(message for message in reversed(messages) if message["msg"] == "process_completed")


class Visit:
    """A user's page, and all that it asked for and complained of."""

    def __init__(self, browser, server, *, width=1280, height=800):
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.context.set_default_timeout(SLOW_MS)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        self.page.goto(server.address)
        self.page.wait_for_selector("#drop input[type=file]", state="attached")

    def drop(self, path):
        self.page.set_input_files("#drop input[type=file]", str(path))

    def wait_for(self, expression):
        self.page.wait_for_function(f"() => {expression}")

    def scores(self):
        """Of each hit: score, motion, appearance, as shown."""
        script = "items => items.map(i => [...i.querySelectorAll('output, .bar em')].map(e => e.textContent))"
        return self.page.eval_on_selector_all(".hit", script)
