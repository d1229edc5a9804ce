"""The page of strips: what it holds, and what a click does in a real browser."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
from helpers.videos import VP9, write_video
from helpers.web import BROWSER_FLAGS

from rspnet.features.timeline import Event
from rspnet.show.timeline.formats import VideoEvents
from rspnet.show.timeline.page import write_timeline_page

NASTY = "<script>alert(1)</script>"


def page_of(folder, videos, names=("run", NASTY)):
    write_timeline_page(folder / "timeline.html", videos, names, title="Time lines")
    return (folder / "timeline.html").read_text(encoding="utf-8")


def test_names_are_escaped_and_long_lists_cut(tmp_path):
    event = Event(NASTY, 0.0, 1.0, 0.5)
    videos = [VideoEvents(f"{n}{NASTY}.mp4", str(tmp_path / f"{n}#?.mp4"), 4.0, 25.0, [event]) for n in range(501)]
    text = page_of(tmp_path, videos)
    assert NASTY not in text
    assert text.count('class="strip"') == 500
    assert "The first 500 of 501 videos" in text
    assert 'data-source="7%23%3F.mp4"' in text
    assert "left:0.000%;width:25.000%" in text


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here (apt install chromium)")
    with api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=BROWSER_FLAGS)
        yield opened
        opened.close()


def wait_for(page, fits):
    """Until the player is where it should be (the page's policy forbids playwright's own way of waiting)."""
    for _ in range(200):
        if fits(page.evaluate("document.getElementById('player').currentTime")):
            return
        time.sleep(0.1)
    raise AssertionError(page.locator("#now").inner_text())


@pytest.mark.slow
def test_a_click_or_a_key_shows_the_moment(tmp_path, browser):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    write_video(tmp_path / "a b.webm", pictures, fps=10, codec="libvpx", options=VP9)
    events = [Event("run", 1.0, 2.0, 0.9), Event("run", 3.0, 3.5, 0.7)]
    page_of(tmp_path, [VideoEvents("a b.webm", str(tmp_path / "a b.webm"), 4.0, 10.0, events)], ("run",))
    page = browser.new_page(viewport={"width": 390, "height": 800})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto((tmp_path / "timeline.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Tab")
    page.locator(".strip button").nth(1).focus()
    page.keyboard.press("Enter")
    wait_for(page, lambda seconds: seconds >= 3)
    assert "run from 0:03.0 to 0:03.5" in page.locator("#now").inner_text()
    box = page.locator(".strip").bounding_box()
    page.locator(".strip").click(position={"x": box["width"] * 0.1, "y": 10})
    wait_for(page, lambda seconds: seconds < 2)
    assert page.locator("#now").inner_text() == "0.4 s"
    assert not problems
    page.close()
