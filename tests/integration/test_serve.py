"""`rspnet serve` as it runs: what it answers over HTTP, and the page in a real browser."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.served import NASTY, copy_of, make_library
from helpers.web import BROWSER_FLAGS, Visit, ask, run_event, start_server, upload

from rspnet.features.event_labels import read_labels
from rspnet.features.window_classifier import WindowClassifier

pytest.importorskip("lancedb", reason="the extra rspnet[search] is not installed")
if importlib.util.find_spec("gradio") is None:  # importing it takes seconds
    pytest.skip("the extra rspnet[ui] is not installed", allow_module_level=True)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CONTROLS = [0.5, "", 0, 100, True, 12, "like the query", None, None]  # the last two are kept by the server


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
    visit.wait_for("[...document.querySelectorAll('.hit video')].every(v => v.readyState >= 2)")
    page.keyboard.press("ArrowRight")
    visit.wait_for("document.querySelector('#alpha input[type=range]').value == 0.05")
    visit.wait_for("[...document.querySelectorAll('.hit .film')].every(film => film.classList.contains('ready'))")

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


def marks(page):
    """Of each hit: the classes it has."""
    script = "hits => hits.map(h => [...h.querySelectorAll('.mark [aria-pressed=true]')].map(b => b.title).join())"
    return page.eval_on_selector_all(".hit", script)


def counts(page):
    return page.eval_on_selector_all(".classes li", "rows => rows.map(r => r.innerText.split(/\\s+/).slice(1).join())")


def test_label_train_and_look_again_by_keyboard_alone(visit, root):
    """Also on a telephone's width: nothing but keys is used, and nothing sticks out."""
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.focus(".classes .new input")
    for name in ("wave", "turn"):
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".classes li:has-text('{name}')")
        page.focus(".classes .new input")
    page.focus("#picker input")
    page.keyboard.type("second/long")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hit .mark button")
    page.focus(".query video")
    page.keyboard.press("1")
    page.focus(".hit video")
    for key in "1212":  # each goes on to the next hit
        page.keyboard.press(key)
    visit.wait_for("[...document.querySelectorAll('.hit .mark [aria-pressed=true]')].length == 4")
    assert marks(page)[:4] == ["wave", "turn", "wave", "turn"]
    assert counts(page) == ["wave,3", "turn,2"]
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("1")  # the fourth: another class in its place
    visit.wait_for("document.querySelectorAll('.hit')[3].querySelector('[aria-pressed=true]').title == 'wave'")
    page.keyboard.press("u")
    visit.wait_for("document.querySelectorAll('.hit')[3].querySelector('[aria-pressed=true]').title == 'turn'")
    assert page.locator(".strip .labels button").count() == 1

    page.keyboard.press("t")
    visit.wait_for("document.querySelector('.classes [role=status]').textContent.startsWith('trained on 5 labels in')")
    page.wait_for_selector(".hit .bar.class")
    scores = [float(text) for text in page.locator(".hit .name output").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    page.focus("#show input:checked")
    for shown in ("wave", "ask me next"):
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        page.wait_for_selector(f"#show label:has(input:checked):has-text('{shown}')")
    visit.wait_for("[...document.querySelectorAll('.hit')].every(h => !h.querySelector('[aria-pressed=true]'))")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390

    page.focus(".strip .labels button")
    page.keyboard.press("Enter")
    visit.wait_for("document.querySelector('.query .mark [aria-pressed=true]')?.title == 'wave'")
    with page.expect_download() as saved:
        page.click(".files a:has-text('labels.csv')")
    rows = read_labels(saved.value.path())
    assert sorted(row.label for row in rows) == ["turn", "turn", "wave", "wave", "wave"]
    with page.expect_download() as saved:
        page.click(".files a:has-text('classifier.npz')")
    assert WindowClassifier.load(Path(saved.value.path())).names[:2] == ("turn", "wave")


def test_what_one_person_labels_another_sees_and_tables_are_taken_in(browser, server, visit, root, tmp_path):
    (tmp_path / "more.csv").write_text(f"path,label,start_s,end_s\n{root}/videos/first/c.mp4,fall,1,2\n")
    (tmp_path / "bad.csv").write_text("path,label\nnowhere.mp4,fall\n")
    visit.page.set_input_files(".files input[type=file]", str(tmp_path / "more.csv"))
    visit.page.wait_for_selector(".classes li:has-text('fall')")
    assert visit.page.inner_text(".classes [role=status]") == "1 labels taken in from more.csv"
    visit.page.set_input_files(".files input[type=file]", str(tmp_path / "bad.csv"))
    visit.page.wait_for_selector(".notice")
    assert "label 'fall' of 'nowhere.mp4': it has no features" in visit.page.inner_text(".notice")
    other = Visit(browser, server)
    other.page.wait_for_selector(".classes li:has-text('fall')")
    assert other.page.locator(".classes li").count() == visit.page.locator(".classes li").count()
    other.page.keyboard.press("u")  # what Anna did is not Ben's to undo
    other.wait_for("document.querySelector('.classes [role=status]').textContent == 'nothing of yours to undo'")
    visit.page.keyboard.press("u")
    visit.wait_for("document.querySelector('.classes [role=status]').textContent == 'undone'")
    other.context.close()


def test_clips_that_are_wanted_too_and_clips_that_are_not(visit):
    page = visit.page
    page.click("#picker input")
    page.get_by_role("option", name="second/d.mp4").click()
    page.wait_for_selector(".hit")
    page.click(".hit:nth-child(2) [data-do=like]")
    page.wait_for_selector(".examples .wanted")
    first = page.get_attribute(".hit", "data-path")
    page.click(".hit [data-do=unlike]")
    page.wait_for_selector(".examples .unwanted")
    visit.wait_for("document.querySelectorAll('.examples li').length == 2")
    lower = {row[0]: row for row in zip(page.eval_on_selector_all(".hit", "h => h.map(i => i.dataset.path)"),
                                        visit.scores(), strict=True)}  # fmt: skip
    assert float(lower[first][1][0]) < 0.5
    page.click(".examples .unwanted button")
    visit.wait_for("document.querySelectorAll('.examples li').length == 1")
    assert page.get_attribute(".hit", "data-path") == first
