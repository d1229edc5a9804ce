"""A few moments labelled in the page, in a real browser, and a long video's events on its time line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from helpers.extras import need
from helpers.planted import SIDE, plan_events, write_events
from helpers.tiny_model import save_tiny_checkpoint
from helpers.web import Visit, served_here

from rspnet.cli import main
from rspnet.features.timeline import Event
from rspnet.features.timeline_scores import segment_counts

need("lancedb")
need("sklearn")
if importlib.util.find_spec("uvicorn") is None:
    pytest.skip("the extra rspnet[ui] is not installed", allow_module_level=True)

KEYS = {"slide": "1", "shake": "2"}
GO_TO = "address => { history.pushState(null, '', address); dispatchEvent(new PopStateEvent('popstate')); }"
"""As a click on Back does, without loading the page anew."""
LABELLED = [plan_events(2, seed=number) for number in range(5)]
TRUE = plan_events(6, seed=7)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos with an event of each class, and a long one with three of each in other textures."""
    root = tmp_path_factory.mktemp("planted")
    (root / "videos").mkdir()
    for number, events in enumerate(LABELLED):
        write_events(root / "videos" / f"{number}.mp4", events, seed=number)
    write_events(root / "videos" / "long.mp4", TRUE, seed=7)
    model = save_tiny_checkpoint(root / "model.ckpt", backbone="r3d_10_slim", num_frames=8, size=SIDE)
    words = ["index", str(root / "videos"), f"--out={root / 'library'}", f"--weights={model}", "--num_workers=0"]
    assert main([*words, "--precision=fp32", "--window_s=1", "--hop_s=0.5"]) == 0
    return root / "library"


def test_five_labels_a_class_show_six_events_where_they_are(browser, library: Path, tmp_path: Path) -> None:
    with served_here(library, tmp_path / "private") as server:
        visit = Visit(browser, server)
        page = visit.page
        for name in KEYS:
            page.focus(".classes .new input")
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            page.wait_for_selector(f".classes li:has-text('{name}')")
        for number, events in enumerate(LABELLED):
            for name, start, end in events:
                page.evaluate(GO_TO, f"?q={number}.mp4&from={start}&to={end}&n=1")
                visit.wait_for(
                    f"document.querySelector('#part').textContent.startsWith('{start:.1f} s to {end:.1f} s')"
                )
                visit.wait_for("document.querySelector('#cards').ariaBusy === 'false'")
                page.focus(".query video")
                page.keyboard.press(KEYS[name])
                visit.wait_for(f"document.querySelector('.query .mark [aria-pressed=true]')?.title == {name!r}")
        page.keyboard.press("t")
        page.wait_for_selector(".hit .bar.class")
        assert page.inner_text(".classes [role=status]").startswith("trained on 10 labels in")
        visit.pick("long.mp4")
        page.wait_for_selector(".strip .found button")
        shown = page.eval_on_selector_all(
            ".strip .found button", "all => all.map(b => [b.title.split(',')[0], +b.dataset.start, +b.dataset.end])"
        )
        visit.context.close()
        assert not visit.complaints
    counts = segment_counts([Event(*event) for event in shown], [Event(*event) for event in TRUE], 0.5)
    assert counts.f1 >= 0.8, (counts, shown, TRUE)
