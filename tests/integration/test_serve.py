"""`rspnet serve` as it runs: what it answers over HTTP, and the page in a real browser."""

from __future__ import annotations

import csv
import http.client
import importlib.util
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.extras import need
from helpers.served import NASTY, copy_of, make_library
from helpers.web import Visit, ask, call, start_server, upload

from rspnet.config.search import DEFAULT_ALPHA
from rspnet.features.event_labels import read_labels
from rspnet.features.window_classifier import WindowClassifier

need("lancedb")
if importlib.util.find_spec("uvicorn") is None:
    pytest.skip("the extra rspnet[ui] is not installed", allow_module_level=True)

SMALL_TARGETS = """() => [...document.querySelectorAll('button, select, summary, a, input, .drop')].filter(one => {
    const { width, height } = one.getBoundingClientRect();
    return width && one.type !== 'file' && !one.closest('.strip, .check, #shows') && Math.min(width, height) < 44;
}).map(one => one.outerHTML.slice(0, 100))"""
"""What a finger can hardly hit; labels are the targets of the small inputs in them."""
ALL = ["first/c.mp4", "first/one/a.mp4", "first/one/b.avi", "second/d.mp4", "second/long.mp4", f"second/{NASTY}"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("serve")
    make_library(root)
    copy_of(root / "videos" / "second" / "long.mp4", root / "elsewhere" / "secret.mp4")
    return root


@pytest.fixture(scope="module")
def server(root):
    """Ended by Ctrl-C while it searches: in one line, and nothing stays behind."""
    server = start_server(root / "library", root / "tmp", "--max_upload_mb=1")
    yield server
    fields = {"q": "second/long.mp4", "from": 1, "to": 4}

    def search():
        with suppress(OSError, ValueError, http.client.HTTPException):
            call(server.port, "search", **fields)

    searching = threading.Thread(target=search)
    searching.start()
    time.sleep(0.05)
    code = server.stop(signal.SIGINT)
    searching.join()
    left = [path.name for path in server.temporary.iterdir() if path.name.startswith("rspnet")]
    assert (code, left, server.said()[1:]) == (130, [], ["rspnet: stopped"])


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
    """Traversal plain, encoded and doubly encoded, and absolute paths, at every door that gives files."""
    private = next(server.temporary.glob("rspnet-serve-*"))
    secret = root / "elsewhere" / "secret.mp4"
    (private / "previews" / f"{'0' * 32}.mp4").symlink_to(secret)
    up = "/..", "/%2e%2e", "%2f..", "/%252e%252e", "/....//"
    targets = ["/etc/passwd", secret, root / "videos" / "second" / "d.mp4", root / "model.ckpt"]
    paths = [f"/{door}/{target}" for door in ("preview", "video", "api", "") for target in targets]
    paths += [f"/{door}/{str(target).replace('/', '%2f')}" for door in ("preview", "video") for target in targets]
    paths += [f"/{base}{step * 12}/etc/passwd" for base in ("preview", "video", "page.js") for step in up]
    paths += [f"/preview/{'0' * 32}.mp4", f"/video/{'0' * 32}.mp4", "/preview/", "/preview/a%00.mp4", "/app.py"]
    paths += ["/docs", "/openapi.json", "/__init__.py", "/index.html", "/../app.py"]
    for path in map(str, paths):
        status, body = ask(server.port, path)
        assert status in (400, 403, 404), (path, status)
        assert len(body) < 500, path


def test_other_sites_and_other_names_are_refused(server):
    assert ask(server.port, "/", host=f"localhost:{server.port}")[0] == 200
    assert ask(server.port, "/", host="evil.example")[0] == 403
    assert ask(server.port, "/api/about")[0] == 403  # without the header that only the page can send
    assert ask(server.port, "/api/about", x_rspnet_tab="a")[0] == 200
    assert ask(server.port, "/api/about", x_rspnet_tab="a", sec_fetch_site="cross-site")[0] == 403
    assert ask(server.port, "/page.js", sec_fetch_site="cross-site")[0] == 403
    assert ask(server.port, "/", sec_fetch_site="cross-site")[0] == 200  # a link to the page


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


def test_requests_sent_by_hand_open_nothing_else(server, root):
    """What the page never sends: files by path, made-up tickets and names, numbers out of range."""
    secret = str(root / "elsewhere" / "secret.mp4")
    for name in (secret, "/etc/passwd", "../elsewhere/secret.mp4", "https://example.org/x.mp4"):
        assert "the library has no video" in call(server.port, "search", q=name)[1]["error"]
        like = {"q": "second/d.mp4", "like": f"{name}@0-1"}
        assert "the library has no video" in call(server.port, "search", **like)[1]["error"]
    for ticket in (secret, f"../../../{secret}", "../previews/x.mp4", "0" * 32 + ".mp4"):
        assert "was uploaded long ago" in call(server.port, "search", q=f"upload:{ticket}:x.mp4")[1]["error"]
        assert "was uploaded long ago" in call(server.port, "import", {"ticket": ticket, "name": "x.csv"})[1]["error"]
    assert call(server.port, "search", q="second/d.mp4", n=2)[0] == 200
    for index, key in ((-1, "x"), (10**9, "x"), ("0", "x"), (0, "00000000-0.000-1.000"), (None, None)):
        said = {"index": index, "key": key, "label": 0}
        assert "that is no longer there" in call(server.port, "mark", said)[1]["error"]
    assert "that is no longer there" in call(server.port, "why", index=0, key="x")[1]["error"]
    for field, text in (("from", "nan"), ("n", "-3"), ("mix", "x")):
        assert f"{field}={text}" in call(server.port, "search", q="second/d.mp4", **{field: text})[1]["error"]
    for body in (b"[]", b"no", b"1" * 100_000):
        assert ask(server.port, "/api/mark", method="POST", body=body, x_rspnet_tab="a")[0] in (400, 413)


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def visit(browser, server):
    visit = Visit(browser, server)
    yield visit
    visit.context.close()
    foreign = [url for url in visit.asked if not url.startswith((server.address, "data:", f"blob:{server.address}"))]
    assert not foreign
    assert not visit.complaints


def test_from_the_first_picture_to_a_saved_list(visit, browser, server, root):
    page = visit.page
    assert page.locator(".shelf button").count() == 6
    assert visit.findings() == []
    page.click(".shelf [data-name='first/c.mp4']")
    page.wait_for_selector(".hit")
    assert sorted(visit.names()) == [name for name in ALL if name != "first/c.mp4"]
    assert page.inner_text("#news") == f"5 hits for c.mp4, 0.0 s to 3.2 s; first {Path(visit.names()[0]).name}"
    assert page.evaluate("document.activeElement.id") == "news"
    assert "?q=first%2Fc.mp4" in page.url
    assert visit.findings() == []
    both = "document.querySelector('#both').ariaPressed"
    assert page.evaluate(f"[{both}, document.querySelector('#mix').value]") == ["true", f"{DEFAULT_ALPHA:g}"]

    page.focus("#mix")
    for key, column, mix in (("End", "moves", "1"), ("Home", "looks", "0")):
        page.keyboard.press(key)
        visit.wait_for(f"location.search.endsWith('mix={mix}')")
        ranks = f"[...document.querySelectorAll('.hit .bar.{column} em')].map(e => e.textContent).join()"
        visit.wait_for(f"{ranks} === '1st of 5,2nd of 5,3rd of 5,4th of 5,5th of 5'")
        visit.wait_for("[...document.querySelectorAll('.hit .film')].every(film => film.classList.contains('ready'))")
    looks = visit.names()
    page.click("[data-mix='1']")
    visit.wait_for("document.querySelector('[data-mix=\"1\"]').getAttribute('aria-pressed') === 'true'")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    page.go_back()
    visit.wait_for("location.search.endsWith('mix=0') && document.querySelector('#mix').value === '0'")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    assert visit.names() == looks
    other = Visit(browser, server, path=page.url.removeprefix(server.address))
    assert other.names() == looks
    other.context.close()
    assert page.evaluate(both) == "false"
    page.click("#both")
    visit.wait_for(f"location.search.endsWith('mix={DEFAULT_ALPHA:g}') && {both} === 'true'")

    page.focus("#from")
    page.keyboard.press("End")  # no further than the end of the part allows
    visit.wait_for("Number(new URLSearchParams(location.search).get('from')) === 3")
    page.keyboard.press("Home")
    visit.wait_for("document.querySelector('#part').textContent.startsWith('0.0 s to 3.2 s')")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")

    page.click(".hit:first-child video")
    visit.wait_for("(v => !v.paused && v.currentTime > 0.05)(document.querySelector('.hit video'))")
    with page.expect_download() as saved:
        page.click("#list")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text().splitlines()))
    assert [row["video"] for row in rows] == visit.names()
    assert page.evaluate("async a => (await fetch(a)).headers.get('content-type')", page.get_attribute(
        ".hit[data-name='second/d.mp4'] .file a", "href"
    )) == "video/mp4"  # fmt: skip
    assert page.evaluate("window.hacked") is None


def test_the_part_of_a_film_is_moved_whole_and_by_its_ends(visit, server):
    """One search when a handle rests; the strip never shows the frames of another film."""
    page = visit.page
    page.goto(f"{server.address}/?q=second/long.mp4&from=0&to=2")
    caption, busy = "document.querySelector('#part').textContent", "document.querySelector('#cards').ariaBusy"
    visit.wait_for(f"{caption} === '0.0 s to 2.0 s of 9.6 s' && {busy} === 'false'")
    assert page.inner_text("#only").startswith("Only this part is searched with, at most 60 s. ")
    assert visit.findings() == []
    box = page.locator(".frames").bounding_box()
    x_of, y = (lambda seconds: box["x"] + box["width"] * seconds / 9.6), box["y"] + box["height"] / 2
    at = "[...new URLSearchParams(location.search)].filter(([name]) => name !== 'q').join()"
    page.mouse.click(x_of(5), y)
    visit.wait_for(f"{at} === 'from,4,to,6'")
    page.mouse.move(x_of(5.5), y)
    page.mouse.down()
    page.mouse.move(x_of(30), y, steps=3)  # by its middle, and not past the end
    page.mouse.up()
    visit.wait_for(f"{at} === 'from,7.6,to,9.6'")
    page.focus("#to")
    for key, part in (("PageDown", "5.6,to,7.6"), ("PageUp", "7.6,to,9.6"), ("PageUp", "7.6,to,9.6")):
        page.keyboard.press(key)
        visit.wait_for(f"{at} === 'from,{part}'")
    visit.wait_for(f"{busy} === 'false'")
    page.wait_for_timeout(300)

    held = []
    page.route("**/api/search?*", lambda route: held.append(route))
    page.mouse.move(x_of(7.6), y)
    page.mouse.down()
    for seconds in (6, 4, 2):
        page.mouse.move(x_of(seconds), y)
        page.wait_for_timeout(200)
    visit.wait_for(f"{caption} === '2.0 s to 9.6 s of 9.6 s'")
    assert (held, page.evaluate(busy)) == ([], "false")
    page.mouse.up()
    visit.wait_for("getComputedStyle(document.querySelector('.hit .film')).opacity === '0.4'")
    page.wait_for_timeout(300)
    assert len(held) == 1
    assert visit.findings() == []
    held.pop().continue_()
    visit.wait_for(f"{busy} === 'false' && getComputedStyle(document.querySelector('.hit .film')).opacity === '1'")
    page.unroute("**/api/search?*")

    visit.wait_for("document.querySelector('#frames').naturalWidth > 0")
    page.route("**/preview/*.jpg", lambda route: held.append(route))
    visit.pick("second/d.mp4")
    assert page.evaluate("document.querySelector('#frames').naturalWidth") == 0
    assert page.is_hidden("#only")
    while held:
        held.pop().continue_()
    page.unroute("**/preview/*.jpg")
    visit.wait_for("document.querySelector('#frames').naturalWidth > 0")


def test_why_opens_and_closes_and_the_focus_returns(visit):
    page = visit.page
    visit.pick("second/d.mp4")
    page.focus(".hit:nth-child(2) [data-do=explain]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#why[open] h2")
    visit.wait_for("(v => !v || (v.readyState >= 2 && v.videoWidth > 100))(document.querySelector('#why video'))")
    assert visit.findings() == []
    page.keyboard.press("Escape")
    page.wait_for_selector("#why:not([open])", state="attached")
    assert page.evaluate("document.activeElement.dataset.do + document.activeElement.dataset.index") == "explain1"


def test_filters_a_hit_as_query_and_the_map_by_keyboard(visit):
    page = visit.page
    visit.pick("second/d.mp4")
    page.click("#filters summary")
    page.fill("#min", "5")
    page.press("#min", "Tab")
    visit.wait_for("document.querySelectorAll('.hit').length == 1")
    page.fill("#max", "6")
    page.press("#max", "Tab")
    visit.wait_for("document.querySelector('.empty strong')?.textContent == 'Nothing found'")
    assert visit.findings() == []
    held = []
    page.route("**/api/search?*", lambda route: held.append(route))  # a search that takes long
    page.fill("#max", "10")
    page.press("#max", "Tab")
    visit.wait_for("document.querySelector('#news').textContent === 'Searching...'")
    assert visit.findings() == []
    held.pop().continue_()
    page.unroute("**/api/search?*")
    page.click(".hit [data-do=use]")
    visit.wait_for("document.querySelector('.query .cut').title == 'second/long.mp4'")
    page.fill("#min", "")
    page.press("#min", "Tab")
    page.route("**/api/map?*", lambda route: held.append(route))  # and a map
    page.click("#map-button")
    page.wait_for_selector("#plot p:has-text('Drawing the map...')")
    assert visit.findings() == []
    held.pop().continue_()
    page.unroute("**/api/map?*")
    page.wait_for_selector(".map svg")
    assert page.locator("#plot [role=status]").count() == 0
    assert page.locator(".map g").count() == 6
    assert page.locator(".map .is-query").get_attribute("aria-label") == "second/long.mp4, the query"
    assert page.locator(".map .is-hit text").count() == page.locator(".hit").count() > 0
    assert visit.findings() == []
    page.focus(".map [tabindex='0']")
    reached = set()
    for key in 4 * ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"]:
        page.keyboard.press(key)
        reached.add(page.evaluate("document.activeElement.dataset.name"))
    assert len(reached) > 2
    chosen = page.evaluate("document.activeElement.dataset.name")
    page.keyboard.press("Enter")
    visit.wait_for(f"document.querySelector('.map .is-query')?.dataset.name === {chosen!r}")
    assert page.is_visible(".hit")
    visit.wait_for("document.activeElement.closest('.map') !== null")
    page.keyboard.press("Escape")
    visit.wait_for("document.querySelector('#map').hidden && document.activeElement.id === 'map-button'")


def test_on_a_telephone_in_the_dark(browser, server):
    visit = Visit(browser, server, width=390, height=844, color_scheme="dark", has_touch=True, is_mobile=True)
    page = visit.page
    assert visit.findings() == []
    visit.pick("second/d.mp4")
    assert page.locator(".hit").first.bounding_box()["y"] < 700
    page.click("#map-button")
    page.wait_for_selector(".map svg")
    page.click("#filters summary")
    assert visit.findings() == []
    small = page.evaluate(SMALL_TARGETS)
    assert small == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    page.click("#map-button")
    page.click(".hit [data-do=explain]")
    page.wait_for_selector("#why[open] h2")
    assert visit.findings() == []
    visit.context.close()
    assert not visit.complaints


def test_a_clip_that_is_dragged_over_the_page_and_one_on_its_way(visit):
    page = visit.page
    page.dispatch_event("body", "dragover")
    page.wait_for_selector(".drop.over")
    assert visit.findings() == []
    page.dispatch_event("body", "dragleave")
    page.wait_for_selector(".drop:not(.over)")
    page.eval_on_selector("#sending", "one => { one.textContent = 'sending, 40 %'; }")  # held, it makes no progress
    assert visit.findings() == []


def test_what_goes_wrong_is_told_in_place_and_one_at_a_time(visit, root, tmp_path):
    page = visit.page
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    visit.drop(tmp_path / "broken.mp4")
    told = "document.querySelector('#notice').textContent"
    visit.wait_for(f"{told}.startsWith('broken.mp4 cannot be read: not a readable')")
    assert visit.findings() == []
    (tmp_path / "large.mp4").write_bytes(bytes(2**20 + 4096))
    visit.drop(tmp_path / "large.mp4")
    visit.wait_for(f"{told} == 'large.mp4 is larger than 1 MB'")
    visit.drop(copy_of(root / "videos" / "first" / "c.mp4", tmp_path / "My own.mp4"))
    page.wait_for_selector(".hit")
    assert page.get_attribute(".query .cut", "title") == "My own.mp4"
    assert page.is_hidden("#notice")

    page.route("**/api/**", lambda route: route.abort())  # the server has gone
    page.click("[data-mix='1']")
    page.wait_for_selector("#lost:visible")
    assert visit.findings() == []
    page.unroute("**/api/**")
    page.wait_for_selector("#lost", state="hidden")
    visit.wait_for("document.querySelector('.hit .bar.moves em').textContent === '1st of 5'")


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
    visit.pick("second/long.mp4")
    page.wait_for_selector(".hit .mark button")
    page.focus(".query video")
    page.keyboard.press("1")
    page.focus(".hit video")
    for key in "1212":  # each goes on to the next hit
        page.keyboard.press(key)
    visit.wait_for("[...document.querySelectorAll('.hit .mark [aria-pressed=true]')].length == 4")
    assert marks(page)[:4] == ["wave", "turn", "wave", "turn"]
    assert counts(page) == ["wave,3", "turn,2"]
    assert visit.findings() == []
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("1")  # the fourth: another class in its place
    visit.wait_for("document.querySelectorAll('.hit')[3].querySelector('[aria-pressed=true]').title == 'wave'")
    page.keyboard.press("u")
    visit.wait_for("document.querySelectorAll('.hit')[3].querySelector('[aria-pressed=true]').title == 'turn'")
    assert page.locator(".strip .labels button").count() == 1

    page.keyboard.press("t")
    page.wait_for_selector(".hit .bar.class")
    assert page.inner_text(".classes [role=status]").startswith("trained on 5 labels in")
    assert page.inner_text(".caution").startswith("Scores mean little with so few labels (2 of turn): ")
    scores = [float(text) for text in page.locator(".hit .bar.class em").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert visit.findings() == []
    for shown in ("wave", "ask me next"):
        if shown == "wave":
            page.focus("#shows input:checked")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(f"#shows label:has(input:checked):has-text('{shown}')")
        visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    visit.wait_for("[...document.querySelectorAll('.hit')].every(h => !h.querySelector('[aria-pressed=true]'))")
    assert visit.findings() == []
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
    assert visit.page.inner_text(".classes [role=status]") == "1 label taken in from more.csv"
    visit.page.set_input_files(".files input[type=file]", str(tmp_path / "bad.csv"))
    said = "bad.csv line 2: label 'fall' of 'nowhere.mp4': it is not in this library"
    visit.page.wait_for_selector(f'#notice:text-is("{said}")')
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
    visit.pick("second/d.mp4")
    page.click(".hit:nth-child(2) [data-do=like]")
    page.wait_for_selector(".examples .wanted")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    first = visit.names()[0]
    page.click(".hit [data-do=unlike]")
    visit.wait_for("document.querySelectorAll('.examples li').length == 2")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    assert visit.names()[-1] == first
    assert visit.findings() == []
    page.click(".examples .unwanted button")
    visit.wait_for("document.querySelectorAll('.examples li').length == 1")
    visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
    assert visit.names()[0] == first
