"""`rspnet report`: one file that opens from disk, shows what the run saw, and trusts no name."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.clips_on_disk import TINY, TINY_FINETUNE, listed, write_listed_videos, write_videos
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main, parse
from rspnet.data.synthetic.procedural import read_set
from rspnet.pretext import speed
from rspnet.show.report.report_page import Film, Films, Page, Section, write_page
from rspnet.show.report.sample_section import difference_frames, first_samples

HOSTILE = 'b"><img src=x onerror=alert(1)>&amp;{{ 7*7 }}$\\x{'


class Elements(HTMLParser):
    """Every element with its attributes, every word of text, and the words by section."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.sections: dict[str, str] = {}
        self._section = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.elements.append((tag, named))
        if tag in ("section", "footer") or (tag == "div" and "id" in named):
            self._section = named.get("id", tag)

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = f"{self.sections.get(self._section, '')} {' '.join(data.split())}"


def read_page(path: Path) -> Elements:
    """Parse a report after checking that it asks for nothing outside itself and runs nothing."""
    text = path.read_text(encoding="utf-8")
    page = Elements()
    page.feed(text)
    assert "default-src 'none'" in text
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("data:image/", "#"))
    assert all(address.startswith(("data:image/", "#")) for address in re.findall(r"url\(['\"]?([^)]+)", text))
    assert "@import" not in text
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A pre-training of two steps on videos of which one has a hostile name and one is broken."""
    root = tmp_path_factory.mktemp("report")
    videos = write_videos(root / "videos", count=12)
    first = next((videos / "train").glob("*.mp4"))
    first.rename(first.with_name(HOSTILE + ".mp4"))
    (videos / "train" / "broken<b>.mp4").write_bytes(b"no video")
    seen = []
    made = speed.make_views

    def watched(*arguments, **options):
        seen.append(made(*arguments, **options))
        return seen[-1]

    speed.make_views = watched
    try:
        words = ["pretrain", f"--data.root={videos / 'train'}", "--max_steps=4", "--data.max_skipped=0.5", *TINY]
        noisy = ["--data.noise_std=0.05", "--data.speeds=[2,3]", "--data.batch_size=8"]
        assert main([*words, *noisy, f"--out={root / 'run'}"]) == 0
    finally:
        speed.make_views = made
    return root / "run", seen[0]


def test_a_pretraining_is_shown_whole_and_names_stay_names(run, capsys):
    folder, _ = run
    assert main(["report", str(folder), "--num_videos=8"]) == 0
    assert "report.html" in capsys.readouterr().err
    page = read_page(folder / "report.html")
    shown = page.sections
    assert HOSTILE in shown["nearest-neighbours"] + shown["what-the-network-saw"]
    assert "broken<b>.mp4" in shown["skipped-videos"]
    assert "speed 1" in shown["what-the-network-saw"]
    assert "noise of 0.05" in shown["what-the-network-saw"]
    assert "By motion" in shown["nearest-neighbours"]
    assert "motion (RSP)" in shown["where-they-are-alike"]
    assert "RSP accuracy" in shown["result"]
    assert "queue_size: 16" in shown["resolved-configuration"]
    assert "tested no classifier" in shown["confusion"]
    short = shown["in-short"]  # four steps teach nothing: what would help is advised, and not this page
    assert "train longer, or on more videos" in short
    assert "--weights rspnet-small --out" in short
    assert "rspnet report" not in short
    assert f"--weights {folder}" not in short
    assert "No step diverged" in shown["videos-of-diverged-steps"]
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 6
    players = [attributes for _, attributes in page.elements if attributes.get("class", "").split()[:1] == ["player"]]
    assert len(players) > 2 * 6 + 2 * 4 * 3 + 6 - 1


def test_the_samples_are_those_the_network_saw(run):
    folder, views = run
    config = parse("pretrain", ["--config", str(folder / "config.yaml")])
    samples = first_samples(vars(config.data), seed=config.seed)
    assert [sample.speed for sample in samples][:1] == [1]
    assert samples[1].other_speed == 1
    assert samples[1].speed == samples[0].other_speed
    for sample in samples:
        mine = list(sample.views.values())
        assert any(all(bool((mine[k] == views[k][place]).all()) for k in range(3)) for place in range(8))


def test_differences_are_around_grey_on_one_scale():
    import torch

    still, moving = torch.zeros(3, 4, 8, 8), torch.zeros(3, 4, 8, 8)
    moving[:, 2:] = 1.5
    frames = difference_frames({"still": still, "moving": moving})
    assert frames["still"].shape == (3, 8, 8, 3)
    assert set(np.unique(frames["still"])) == {128}
    assert [int(frame[0, 0, 0]) for frame in frames["moving"]] == [128, 255, 128]


def test_a_film_keeps_every_pixel_in_the_order_of_its_frames(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
    film = Film(frames, 1.0, ("a",), exact=True)
    write_page(tmp_path / "p.html", Page("t", "s", [], [Section("S", [Films("f", [film])])]))
    (uri,) = set(re.findall(r"url\(data:image/png;base64,([^)]+)", (tmp_path / "p.html").read_text()))
    strip = matplotlib.image.imread(io.BytesIO(base64.b64decode(uri)))
    assert np.array_equal(np.rint(strip[..., :3] * 255), np.concatenate(list(frames), axis=1))


def test_what_is_gone_or_unfinished_is_said_in_a_line(run, tmp_path):
    folder = tmp_path / "stopped"
    shutil.copytree(run[0], folder)
    for name in ("result.json", "metrics.csv", "last.ckpt"):
        (folder / name).unlink()
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(re.sub(r"root: .*", "root: /nowhere", config, count=1))
    (folder / "bad_batch.csv").write_text("step,name\n3,<i>v.mp4\n")
    assert main(["report", str(folder)]) == 0
    shown = read_page(folder / "report.html").sections
    assert "not finished" in shown["result"]
    assert "left no metrics.csv" in shown["learning-curves"]
    assert "'/nowhere' does not exist" in shown["what-the-network-saw"]
    assert "this run has none" in shown["nearest-neighbours"]
    assert "<i>v.mp4" in shown["videos-of-diverged-steps"]


def test_a_fine_tuning_shows_what_it_got_wrong(tmp_path):
    root = write_listed_videos(tmp_path / "set", count=16, label=lambda _, record: record.clip.motion[:1])
    run = tmp_path / "run"
    assert main(["finetune", *listed(root), *TINY_FINETUNE, "--max_steps=2", f"--out={run}"]) == 0
    assert main(["report", str(run)]) == 0
    shown = read_page(run / "report.html").sections
    assert re.search(r"Taken for another class: [1-4] of 4 test videos", shown["confusion"])
    assert "Most frequent confusions" in shown["confusion"]
    assert "taken for" in shown["worst-videos"]
    assert "%top-1" in "".join(shown[""].split())
    assert "Only a pre-training has query and key clips" in shown["what-the-network-saw"]

    assert main(["evaluate", str(run), "--num_workers=0", "--precision=fp32"]) == 0
    assert main(["report", str(run / "evaluate")]) == 0
    assert read_page(run / "evaluate" / "report.html").sections["worst-videos"] == shown["worst-videos"]


def test_a_retrieval_shows_neighbours_with_their_classes(tmp_path):
    root = write_videos(tmp_path / "set", count=16)
    for record in read_set(root):
        target = tmp_path / "classes" / record.clip.motion[:1] / record.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        record.path.rename(target)
    save_tiny_checkpoint(tmp_path / "model.ckpt")
    data = [f"--data.root={tmp_path / 'classes'}", "--data.kind=folders", f"--cache={tmp_path / 'cache'}"]
    words = [str(tmp_path / "model.ckpt"), *data, "--num_clips=1", "--num_workers=0", "--precision=fp32"]
    assert main(["retrieve", *words, f"--out={tmp_path / 'run'}"]) == 0
    assert main(["report", str(tmp_path / "run")]) == 0
    page = read_page(tmp_path / "run" / "report.html")
    assert "recall@1" in page.sections["retrieval-by-class"]
    tones = {attributes["class"] for _, attributes in page.elements if "player" in attributes.get("class", "")}
    assert {"player good", "player bad"} <= tones


def test_no_run_folder_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "is no run folder: it holds no config.yaml" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("a: [")
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "cannot read the run" in error
    assert error.count("\n") == 1
