"""The web server of the page: its files, what it is answered, and which requests are answered at all.

The page is a static one; all it asks for are values (`PageAnswers`, `LabelSteps`) and files by names that this process
gave out. The browser is told to load nothing from elsewhere and to run no script but the page's own.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rspnet.core.errors import RSPNetError
from rspnet.core.files import is_utf8
from rspnet.search.ui.address import read_address
from rspnet.search.ui.answers import Answer, PageAnswers, Tab
from rspnet.search.ui.label_steps import LabelSteps, Said
from rspnet.search.ui.service import Service

_FILES = ("page.js", "server.js", "films.js", "labels.js", "map.js", "style.css")
_TAB = "x-rspnet-tab"
"""A header that pages of other sites cannot send here: browsers ask first, and are not answered."""
_LARGEST_STEP = 2**16
_MADE_AT_ONCE = 2
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
Endpoint = Callable[[Request], Awaitable[Response]]


class Guard:
    """Answers only requests by a name of this machine, from the page itself.

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

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if scope["type"] != "http" or self._refuses(scope):
            await PlainTextResponse("not here\n", status_code=403)(scope, receive, send_on)
        else:
            await self._app(scope, receive, send_on)

    def _refuses(self, scope: Scope) -> bool:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = re.sub(r":\d+$", "", headers.get(b"host", "")).strip("[]").lower()
        if self._hosts and host not in self._hosts:
            return True
        is_page = scope["path"] == "/" and scope["method"] in ("GET", "HEAD")
        if headers.get(b"sec-fetch-site") == "cross-site" and not is_page:
            return True
        needs_tab = scope["path"].startswith("/api/") or scope["path"] == "/upload"
        return needs_tab and not headers.get(_TAB.encode())


def build_app(service: Service, *, upload_bytes: int, hosts: Sequence[str]) -> ASGIApp:
    """The whole server as one ASGI application."""
    answers = PageAnswers(service, upload_mb=upload_bytes // 2**20)
    steps = LabelSteps(answers)
    reads: dict[str, Callable[[Tab, Mapping[str, str], Request], Answer]] = {
        "alive": lambda _tab, _one, _request: {},
        "about": lambda _tab, _one, _request: answers.about(),
        "shelf": lambda _tab, one, _request: answers.shelf(_whole(one.get("first"))),
        "map": lambda _tab, one, _request: answers.map(*(one.get(name, "") for name in ("space", "colour", "method"))),
        "labels": lambda tab, _one, _request: answers.labels(tab),
        "why": lambda tab, one, _request: answers.why(tab, _whole(one.get("index")), one.get("key")),
        "search": lambda tab, one, request: answers.search(
            tab, read_address(one, {name: request.query_params.getlist(name) for name in ("like", "unlike")})
        ),
    }
    writes: dict[str, Callable[[Tab, Said], Answer]] = {
        "mark": steps.mark,
        "class": steps.new_class,
        "undo": steps.undo,
        "import": steps.take_in,
        "train": steps.train,
    }
    here = Path(__file__).parent
    routes = [
        Route("/", _file(here / "index.html")),
        *(Route(f"/{name}", _file(here / name)) for name in _FILES),
        Route("/preview/{name}", _previews(service)),
        Route("/video/{name}", _videos(service)),
        Route("/upload", _uploads(service, upload_bytes=upload_bytes), methods=["POST"]),
        *(Route(f"/api/{name}", _reading(answers, read)) for name, read in reads.items()),
        *(Route(f"/api/{name}", _writing(answers, write), methods=["POST"]) for name, write in writes.items()),
    ]
    return Guard(Starlette(routes=routes), hosts=hosts)


def _whole(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,9}", text) else -1


def _file(path: Path) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return endpoint


def _reading(answers: PageAnswers, read: Callable[[Tab, Mapping[str, str], Request], Answer]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        tab = answers.tab(request.headers[_TAB])
        return await _told(partial(read, tab, request.query_params, request))

    return endpoint


def _writing(answers: PageAnswers, write: Callable[[Tab, Said], Answer]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_STEP:
                return PlainTextResponse("too long", status_code=413, headers={"Connection": "close"})
        try:
            said = json.loads(body)
            is_text = is_utf8(json.dumps(said, ensure_ascii=False))
        except (ValueError, RecursionError):
            said, is_text = None, False
        if not isinstance(said, dict):
            return PlainTextResponse("a JSON object is needed", status_code=400)
        if not is_text:
            return JSONResponse({"error": "what was sent holds half a character: type it again"}, status_code=422)
        tab = answers.tab(request.headers[_TAB])

        def step() -> Answer:
            with tab.lock:
                return write(tab, said)

        return await _told(step)

    return endpoint


async def _told(answer: Callable[[], Answer]) -> Response:
    """An answer, or the error of the user's that stands in its place."""
    try:
        return JSONResponse(await run_in_threadpool(answer))
    except RSPNetError as error:
        return JSONResponse({"error": str(error)}, status_code=422)


def _previews(service: Service) -> Endpoint:
    makers = asyncio.Semaphore(_MADE_AT_ONCE)

    async def endpoint(request: Request) -> Response:
        name = request.path_params["name"]
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

    return endpoint


def _videos(service: Service) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            path = await run_in_threadpool(service.offered_video, request.path_params["name"])
        except RSPNetError as error:
            return PlainTextResponse(str(error), status_code=410)
        if path is None:
            return PlainTextResponse("no such video", status_code=404)
        return FileResponse(path, filename=path.name, content_disposition_type="inline")

    return endpoint


def _uploads(service: Service, *, upload_bytes: int) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        name = request.query_params.get("name", "")
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

    return endpoint
