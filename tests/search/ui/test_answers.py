"""What the page is told of a search."""

from __future__ import annotations

import asyncio
import json

import pytest
from helpers.extras import need
from helpers.served import make_library

from rspnet.core.errors import RSPNetError
from rspnet.search.library import Library
from rspnet.search.ui.address import Address, Example
from rspnet.search.ui.answers import PageAnswers, Tab
from rspnet.search.ui.service import Service

need("lancedb")


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    make_library(root)
    service = Service(Library(str(root / "library")), root / "private", upload_bytes=2**20)
    return PageAnswers(service, upload_mb=1)


def test_a_part_behind_the_end_is_refused_as_the_command_refuses_it(answers):
    behind = r"first/c\.mp4: the start, 50 s, lies behind the end, \d\.\d\d s"
    with pytest.raises(RSPNetError, match=behind):
        answers.search(Tab(), Address("first/c.mp4", start_s=50))
    example = Example("first/c.mp4", 50, 60, wanted=True)
    with pytest.raises(RSPNetError, match=behind):
        answers.search(Tab(), Address("first/one/a.mp4", examples=(example,)))


def test_further_clips_are_listed_with_the_part_that_is_searched(answers):
    example = Example("first/c.mp4", 0.5, 100, wanted=True)
    found = answers.search(Tab(), Address("first/one/a.mp4", examples=(example,)))
    assert "1:40" not in found["also"]
    assert "c.mp4, 0.5 s to 3." in found["also"]


def test_labels_that_cannot_be_read_are_said_and_searching_goes_on(answers):
    labelling = answers.service.labelling
    labelling.add_class("wave")
    (log,) = labelling._log.folder.glob("*.csv")
    whole = log.read_text()
    log.write_text(whole + "2026,add,1,/v/a.m2026,add,2,/v/b.mp4,wave,0,1\n")
    found = answers.search(Tab(), Address("first/c.mp4"))
    assert len(found["hits"]) == 5
    assert "line 3: 10 fields, not 7: remove that line" in found["panel"]
    assert "line 3" in answers.labels(Tab())["panel"]
    log.write_text(whole)
    assert "line 3" not in answers.labels(Tab())["panel"]


def posted(app, path: str, body: bytes) -> tuple[int, dict[str, str]]:
    """What the page's server answers."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"x-rspnet-tab", b"a")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    asyncio.run(app({**scope, "http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0"}}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.mark.parametrize(("path", "field"), [("class", "name"), ("import", "name"), ("import", "ticket")])
def test_half_a_character_is_refused(answers, path, field):
    pytest.importorskip("starlette")
    from rspnet.search.ui.app import build_app

    app = build_app(answers.service, upload_bytes=2**20, hosts=())
    status, said = posted(app, f"/api/{path}", json.dumps({field: "a\ud800"}).encode())
    assert (status, said) == (422, {"error": "what was sent holds half a character: type it again"})
    assert posted(app, "/api/undo", b'{"name": "w\xc3\xa4ve"}')[0] == 200
