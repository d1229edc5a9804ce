"""The web server around the page: which requests are answered at all, and the one route that serves files.

Gradio's own server can do far more than this page needs: it serves any file of its folders by path, fetches addresses
of other servers, takes recordings, edits code. Here only the routes that the page uses exist, files come and go by
names that this process gave out, and the browser is told to load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import gradio
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rspnet.core.errors import RSPNetError
from rspnet.search.ui.page import build_page, look_of_page
from rspnet.search.ui.service import Service

_PAGE = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/[^\\]*"
    r"|/upload|/preview/[^/]*|/gradio_api/(info|startup-events|queue/join|queue/data|cancel|reset|heartbeat/\w+)/?"
)
_JOIN = "/gradio_api/queue/join"
_LARGEST_EVENT = 2**20
_MADE_AT_ONCE = 2
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """Answers only what the page asks for, from the page itself.

    Args:
        app: what is guarded.
        hosts: names this server may be called by; empty for any. A page of another name that resolves to this machine
            (DNS rebinding) would else be let in.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = 403 if scope["type"] != "http" else self._refuses(scope)
        if refused:
            await _answer(send, refused)
            return

        if scope["path"].rstrip("/") == _JOIN:
            body = await _body(receive)
            if body is None or _names_a_file(body):
                await _answer(send, 403)
                return
            receive = _replay(body, receive)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_on)

    def _refuses(self, scope: Scope) -> int:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = re.sub(r":\d+$", "", headers.get(b"host", "")).strip("[]")
        if self._hosts and host not in self._hosts:
            return 403
        if headers.get(b"sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return 403
        path: str = scope["path"]
        return 0 if _PAGE.fullmatch(path) and ".." not in path else 404


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*_HEADERS]})
    await send({"type": "http.response.body", "body": b"not here\n"})


async def _body(receive: Receive) -> bytes | None:
    """The body of an event; None if it is too long to be one of this page."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _LARGEST_EVENT or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return body


def _names_a_file(body: bytes) -> bool:
    """Whether an event hands over a file by path or address.

    NOTE: Gradio copies such files into its own folder before any handler sees them, from the web too, and a mounted app
    takes every path of the server for one it may read. This page has no use for them: it takes uploads by ticket.
    """
    try:
        return "gradio.FileData" in json.dumps(json.loads(body))
    except (ValueError, RecursionError):
        return True


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


def build_app(service: Service, *, upload_bytes: int, hosts: Sequence[str]) -> ASGIApp:
    """The whole server as one ASGI application."""
    app = FastAPI(openapi_url=None)

    makers = asyncio.Semaphore(_MADE_AT_ONCE)

    @app.get("/preview/{name}")
    async def preview(name: str, request: Request) -> Response:
        if not service.previews.offers(name):
            return PlainTextResponse("no such preview", status_code=404)
        path = service.previews.made(name)
        if path is None:
            async with makers:
                if await request.is_disconnected():  # the page shows something else by now
                    return Response(status_code=204)
                try:
                    path = await run_in_threadpool(service.previews.get, name)
                except RSPNetError as error:
                    return PlainTextResponse(str(error), status_code=410)
        return FileResponse(path, headers={"Cache-Control": "private, max-age=3600"})

    @app.post("/upload")
    async def upload(name: str, request: Request) -> Response:
        try:
            path = service.new_upload(name)
        except RSPNetError as error:
            return PlainTextResponse(str(error), status_code=415)
        try:
            with path.open("xb") as file:
                async for part in request.stream():
                    file.write(part)
                    if file.tell() > upload_bytes:
                        text = f"{name} is larger than {upload_bytes // 2**20} MB"
                        return PlainTextResponse(text, status_code=413, headers={"Connection": "close"})
        except ClientDisconnect:
            return PlainTextResponse("broken off", status_code=400)
        except OSError as error:
            return PlainTextResponse(f"{name} cannot be stored: {error.strerror}", status_code=507)
        else:
            return PlainTextResponse(service.uploaded(path))
        finally:
            service.forget_unfinished(path)

    page = build_page(service, upload_bytes=upload_bytes)
    page.has_launched = True  # else Gradio takes every path for an allowed one; mounting leaves it out
    look: dict[str, Any] = look_of_page()
    gradio.mount_gradio_app(
        app, page, path="/", show_error=False, footer_links=[],
        run_history=False, enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False, **look
    )  # fmt: skip
    return Guard(app, hosts=hosts)
