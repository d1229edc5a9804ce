"""`rspnet serve` as it runs: what it answers over HTTP, and the page in a real browser."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.served import NASTY, copy_of, make_library
from helpers.web import BROWSER_FLAGS, ask, run_event, start_server, upload

pytest.importorskip("lancedb", reason="the extra rspnet[search] is not installed")
if importlib.util.find_spec("gradio") is None:  # importing it takes seconds
    pytest.skip("the extra rspnet[ui] is not installed", allow_module_level=True)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SLOW_MS = 60_000
CONTROLS = [0.5, "", 0, 100, True, 12]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    make_library(root)
    copy_of(root / "videos" / "second" / "long.mp4", root / "elsewhere" / "secret.mp4")
    return root


@pytest.fixture(scope="module")
def server(root):
    server = start_server(root / "library", root / "tmp", "--max_upload_mb=1")
    yield server
    code = server.stop()
    left = [path.name for path in server.temporary.iterdir() if path.name.startswith("rspnet")]
    assert (code, left) == (130, [])


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_it_listens_to_this_machine_only(server):
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("no /proc/net/tcp here")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = [
        row[1].split(":")[0] for row in rows if int(row[1].split(":")[1], 16) == server.port and row[3] == "0A"
    ]
    assert listening == ["0100007F"]


def test_no_path_leads_to_a_file(server, root):
    """Traversal plain, encoded and doubly encoded, absolute paths, and every other door of Gradio's server."""
    private = next(server.temporary.glob("rspnet-serve-*"))
    link = private / "gradio" / "link.mp4"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(root / "elsewhere" / "secret.mp4")
    (private / "previews" / f"{'0' * 32}.mp4").symlink_to(root / "elsewhere" / "secret.mp4")
    up = "/..", "/%2e%2e", "%2f..", "/%252e%252e", "/....//"
    targets = [
        "/etc/passwd",
        root / "elsewhere" / "secret.mp4",
        root / "videos" / "second" / "d.mp4",
        link,
        root / "model.ckpt",
    ]
    paths = [
        f"/{door}{target}" for door in ("gradio_api/file=", "file=", "gradio_api/file", "file") for target in targets
    ]
    paths += [
        f"/{base}{step * 12}/etc/passwd"
        for base in ("preview", "static", "assets", "svelte", "gradio_api/file=")
        for step in up
    ]
    paths += [
        f"/preview/{'0' * 32}.mp4",
        f"/preview/{link}",
        "/preview/",
        "/preview/a%00.mp4",
        "/static/../../routes.py",
    ]
    paths += [f"/gradio_api/{door}={server.address}/config" for door in ("file", "proxy")]
    paths += [
        "/docs", "/openapi.json", "/monitoring", "/gradio_api/openapi.json", "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/runs", "/gradio_api/custom_component/a/client/component/..%2f..%2fetc%2fpasswd", "/login",
        "/gradio_api/stream/a/b/1/..%2fx.ts", "/gradio_api/dev/reload",
    ]  # fmt: skip
    for path in map(str, paths):
        status, body = ask(server.port, path)
        assert status in (400, 403, 404), (path, status)
        assert len(body) < 500, path
    for path in (
        "process_recording",
        "vibe-edit",
        "vibe-code",
        "component_server",
        "run/pick",
        "call/pick",
        "stream/x",
    ):
        assert ask(server.port, f"/gradio_api/{path}", method="POST", body=b"{}")[0] in (403, 404, 405), path
    link.unlink()


def test_other_sites_and_other_names_are_refused(server):
    assert ask(server.port, "/", host=f"localhost:{server.port}")[0] == 200
    assert ask(server.port, "/", host="evil.example")[0] == 403
    foreign = {"sec_fetch_site": "cross-site", "content_type": "application/json"}
    assert ask(server.port, "/gradio_api/queue/join", method="POST", body=b"{}", **foreign)[0] == 403


def test_uploads_have_a_size_and_a_kind_and_stay_in_their_folder(server, root):
    before = {path for path in root.rglob("*") if server.temporary not in path.parents}
    private = next(server.temporary.glob("rspnet-serve-*"))
    status, ticket = upload(server.port, "../../../../escaped.mp4", b"0" * 1000)
    assert status == 200
    assert re.fullmatch(r"[0-9a-f]{32}\.mp4", ticket)
    assert (private / "uploads" / ticket).stat().st_size == 1000
    kept = sorted((private / "uploads").iterdir())
    assert upload(server.port, "notes.txt", b"text")[0] == 415
    assert upload(server.port, "page.mp4.html", b"text")[0] == 415
    status, text = upload(server.port, "large.mp4", b"0" * (2**20 + 1))
    assert (status, text) == (413, "large.mp4 is larger than 1 MB")
    assert sorted((private / "uploads").iterdir()) == kept
    assert {path for path in root.rglob("*") if server.temporary not in path.parents} == before
    assert (
        ask(server.port, "/gradio_api/upload", method="POST", body=b"x", content_type="multipart/form-data")[0] == 404
    )


def test_events_sent_by_hand_open_nothing_else(server, root):
    """What the page never sends: files by path or address, made-up tickets and names, numbers out of range."""
    secret = str(root / "elsewhere" / "secret.mp4")
    private = next(server.temporary.glob("rspnet-serve-*"))
    for path in (secret, "/etc/passwd", "https://example.org/x.mp4"):
        file = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
        answer = run_event(server.port, "pick", [file, *CONTROLS], session="byhand1")
        assert answer == {"success": False, "output": "not here\n"}
    for name in (secret, "../elsewhere/secret.mp4"):
        answer = run_event(server.port, "pick", [name, *CONTROLS], session="byhand2")
        assert not answer["success"], answer
    for ticket in (secret, f"../../../{secret}", "../previews/x.mp4", "0" * 32 + ".mp4", 7):
        event = {"ticket": ticket, "name": "x.mp4"}
        answer = run_event(server.port, "upload", CONTROLS, session="byhand3", event_data=event)
        assert "was uploaded long ago" in json.dumps(answer), answer
    for index in (-1, 10**9, "0", None):
        answer = run_event(server.port, "pick_point", CONTROLS, session="byhand4", event_data={"index": index})
        assert "that is no longer there" in json.dumps(answer), answer
    assert not [path for path in (private / "gradio").rglob("*") if path.is_file()]


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium here (apt install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield browser
        browser.close()


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


@pytest.fixture
def visit(browser, server):
    visit = Visit(browser, server)
    yield visit
    visit.context.close()
    foreign = [url for url in visit.asked if not url.startswith((server.address, "data:", f"blob:{server.address}"))]
    assert not foreign
    assert not visit.complaints


def test_upload_slide_trim_play_explain(visit, root):
    page = visit.page
    visit.drop(copy_of(root / "videos" / "first" / "c.mp4", root / "mine" / "My own.mp4"))
    page.wait_for_selector(".hit")
    assert page.inner_text(".query figcaption b") == "My own.mp4"
    names = page.eval_on_selector_all(".hit", "items => items.map(i => i.dataset.path)")
    assert sorted(names) == sorted(
        ["first/one/a.mp4", "first/one/b.avi", "second/d.mp4", "second/long.mp4", f"second/{NASTY}"]
    )

    page.focus("#alpha input[type=range]")
    for key, column in (("End", 1), ("Home", 2)):  # 1: the score is that of motion, 0: that of appearance
        page.keyboard.press(key)
        cell = f".hit .bar.{('motion', 'appearance')[column - 1]} em"
        visit.wait_for(
            f"[...document.querySelectorAll('.hit')].every(h => h.querySelector('output').textContent =="
            f" h.querySelector('{cell[5:]}').textContent)"
        )
        scores = [float(row[0]) for row in visit.scores()]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)

    page.fill("#start input[type=number]", "1")
    visit.wait_for("document.querySelector('.query figcaption span').textContent.startsWith('1.0 s to 3.2 s')")

    page.click(".hit:first-child video")
    visit.wait_for("(v => !v.paused && v.currentTime > 0.05)(document.querySelector('.hit video'))")

    page.click(".hit:nth-child(2) [data-do=explain]")
    visit.wait_for("(v => v && v.readyState >= 2 && v.videoWidth > 100)(document.querySelector('.why video'))")
    page.click(".why summary")
    visit.wait_for("(i => i && i.complete && i.naturalWidth > 500)(document.querySelector('.why img'))")
    page.click(".why [data-do=close]")
    page.wait_for_selector(".why", state="detached")
    assert page.evaluate("window.hacked") is None


def test_pick_filter_use_a_hit_and_the_map(visit):
    page = visit.page
    assert page.inner_text(".empty strong") == "No query yet"
    page.click("#picker input")
    page.get_by_role("option", name="second/d.mp4").click()
    page.wait_for_selector(".hit")
    page.click("#filters button")
    page.fill("#shortest input", "5")
    visit.wait_for("document.querySelectorAll('.hit').length == 1")
    page.fill("#longest input", "6")
    visit.wait_for("document.querySelector('.empty strong')?.textContent == 'Nothing found'")
    page.fill("#longest input", "10")
    page.click(".hit [data-do=use]")
    visit.wait_for("document.querySelector('.query b').textContent == 'second/long.mp4'")
    page.get_by_role("tab", name="Map").click()
    page.wait_for_selector(".map svg")
    assert page.locator(".map circle").count() == 6
    point = page.locator(".map circle", has_text="first/one/a.mp4")
    point.dispatch_event("click")
    visit.wait_for("document.querySelector('.query b').textContent == 'first/one/a.mp4'")


def test_bad_uploads_are_told_of_in_place(visit, root, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    visit.drop(tmp_path / "broken.mp4")
    visit.page.wait_for_selector("[role=alert].notice")
    assert "This video cannot be read: not a readable video container" in visit.page.inner_text(".notice")
    (tmp_path / "large.mp4").write_bytes(bytes(2**20 + 4096))
    visit.drop(tmp_path / "large.mp4")
    visit.wait_for("document.querySelector('.drop.wrong span')?.textContent == 'large.mp4 is larger than 1 MB'")
    visit.drop(root / "videos" / "first" / "c.mp4")
    visit.page.wait_for_selector(".hit")
    assert not visit.page.query_selector(".notice")


def test_two_users_at_once(browser, server, root, tmp_path):
    clips = [copy_of(root / "videos" / name, tmp_path / user) for name, user in
             (("first/c.mp4", "anna.mp4"), ("second/d.mp4", "ben.mp4"))]  # fmt: skip
    visits = [Visit(browser, server), Visit(browser, server, width=390, height=844)]  # Ben has a telephone
    for visit, clip in zip(visits, clips, strict=True):
        visit.drop(clip)
    for visit, clip in zip(visits, clips, strict=True):
        visit.page.wait_for_selector(".hit")
        assert visit.page.inner_text(".query figcaption b") == clip.name
    found = [visit.page.eval_on_selector_all(".hit", "items => items.map(i => i.dataset.path)") for visit in visits]
    assert "second/d.mp4" in found[0]
    assert "second/d.mp4" not in found[1]
    assert "first/c.mp4" in found[1]
    assert "first/c.mp4" not in found[0]
    visits[0].page.click(".hit [data-do=explain]")
    visits[0].page.wait_for_selector(".why")
    assert not visits[1].page.query_selector(".why")
    assert visits[1].page.evaluate("document.scrollingElement.scrollWidth") <= 390
    for visit in visits:
        visit.context.close()
