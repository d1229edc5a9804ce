"""`rspnet serve`: the page of a library, until Ctrl-C."""

from __future__ import annotations

import importlib.util
import logging
import socket
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from rspnet.config.search import ServeConfig
from rspnet.core.console import PlainConsole
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.urls import as_path
from rspnet.search.library import Library
from rspnet.search.ui.decoding import warm_up

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CLOSING_SECONDS = 2
_MEBIBYTE = 2**20


def serve(config: ServeConfig) -> None:
    """Run the command.

    Raises:
        ConfigError: the extra is not installed, or the address cannot be used.
        RSPNetError: no such library, its checkpoint is missing, or its labels cannot be read.
    """
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        raise ConfigError("the page needs Starlette and Uvicorn: install the extra, pip install 'rspnet[ui]'")
    with (
        _listen(config.host, config.port) as listening,
        tempfile.TemporaryDirectory(prefix="rspnet-serve-", ignore_cleanup_errors=True) as folder,
    ):
        _run(config, Path(folder), listening)


def _run(config: ServeConfig, folder: Path, listening: socket.socket) -> None:
    import uvicorn

    from rspnet.search.ui.app import build_app
    from rspnet.search.ui.service import Service

    library = Library(config.library, weights=config.weights, device=config.device)
    upload_bytes = config.max_upload_mb * _MEBIBYTE
    marks = None if config.marks is None else Path(config.marks)
    service = Service(library, folder, upload_bytes=upload_bytes, marks=marks)
    if config.labels:
        service.colour_by_class(as_path(config.labels))
    if not service.files:
        raise RSPNetError(f"library {config.library!r} holds no readable video: add some with rspnet index")
    service.labelling.read()  # raises where labels cannot be kept or read
    ending = threading.Event()
    threading.Thread(target=_warm_up, args=[ending], daemon=True).start()
    app = build_app(service, upload_bytes=upload_bytes, hosts=_LOOPBACK if config.host in _LOOPBACK else ())
    announce(config.host, listening.getsockname()[1])
    settings = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_CLOSING_SECONDS)

    class Server(uvicorn.Server):
        """Ends without a word about the requests that it cuts off."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for name in ("uvicorn.error", "asyncio"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    try:
        Server(settings).run(sockets=[listening])
    finally:
        ending.set()


def _warm_up(ending: threading.Event) -> None:
    """Import what the first answer and the first training need, before a user waits for it."""
    try:
        warm_up()
        if importlib.util.find_spec("sklearn") is not None:
            importlib.import_module("sklearn.model_selection")
            importlib.import_module("scipy.optimize")
    except Exception:  # Python does not let a module be imported whole while it ends
        if not ending.is_set():
            raise


def announce(host: str, port: int) -> None:
    """Say where the page is, and who can open it if not this machine alone."""
    console = PlainConsole(stderr=True)
    if host not in _LOOPBACK:
        text = "anyone who reaches this address can search this library and watch its videos: there is no login"
        console.print(f"warning: --host {host}: {text}")
    name = f"[{host}]" if ":" in host else host
    console.print(f"http://{name}:{port} (Ctrl-C ends)")


def _listen(host: str, port: int) -> socket.socket:
    with ExitStack() as undo:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listening = undo.enter_context(socket.socket(family, kind, protocol))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"cannot listen at --host {host} --port {port}: {reason}; name another one") from error
        undo.pop_all()
        return listening
