"""`rspnet study disentangle`: planted shortcuts are caught, planted factors are found, the report says so."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import write_videos
from helpers.extras import need
from helpers.official import needs_official, published_file
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.config.disentangle import DisentangleConfig
from rspnet.data.synthetic.procedural import plan_clips, render_frames
from rspnet.lab.disentangle import run_disentangle
from rspnet.lab.disentangle.copies import Source, write_all_copies
from rspnet.lab.disentangle.factor_probes import SPACES, probe_factors
from rspnet.lab.disentangle.factor_set import plan_factor_set
from rspnet.lab.disentangle.run_disentangle import _embedder
from rspnet.lab.disentangle.shortcuts import SpeedTest, energies, energy_matched, shortcut_lines, shuffled
from rspnet.models.heads import Embeddings

need("sklearn")


class StandIn:
    """An embedder whose motion vector is the angle that `measure` makes of a clip."""

    fps = None
    batch_size, device = 16, torch.device("cpu")

    def __init__(self, measure):
        self.measure = measure
        self.model = type("Model", (), {"config": {"num_frames": 8, "size": 48}})

    def encode_views(self, views: torch.Tensor) -> Embeddings:
        angle = self.measure(views)
        unit = torch.stack([angle.cos(), angle.sin()], dim=1).double()
        return Embeddings(unit, unit)


def change(views):
    """Motion energy on a logarithmic scale: the classic shortcut."""
    return (views[:, :, 1:] - views[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4)).add(1e-4).log() / 4


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    root = tmp_path_factory.mktemp("copies")
    clips = plan_clips(num_videos=32, seed=0, num_frames=20, size=48, test_fraction=1.0)
    sources = [Source(clip.name, partial(render_frames, clip), clip.fps) for clip in clips]
    write_all_copies(root, sources)
    return root, [source.name for source in sources]


def lines_of(copies, measure, *, count=32):
    root, names = copies[0], copies[1][:count]
    lines, energy = shortcut_lines(SpeedTest(StandIn(measure), root=root, names=names, speed=2, seed=0))
    return {line.name: line for line in lines}, energy


def test_a_head_that_goes_by_motion_energy_is_caught(copies):
    lines, energy = lines_of(copies, change)
    assert lines["original videos"].verdict == "pass"
    assert lines["lossless (FFV1)"].share == lines["original videos"].share  # the source's coding is lossless here
    assert lines["lossless, twice the frame rate claimed"].verdict == "pass"
    assert lines["motion energy matched by contrast"].verdict == "fail"
    misled = lines["triples whose motion energy misleads"]
    assert misled.verdict == "fail"
    assert misled.share.value < 0.2
    assert energy == pytest.approx(lines["original videos"].share.value, abs=0.05)


def test_a_head_that_sees_no_motion_is_told_apart_from_one_with_shortcuts(copies):
    lines, _ = lines_of(copies, lambda views: torch.zeros(len(views)), count=8)
    assert lines["original videos"].verdict == "fail"
    assert lines["original videos"].share.ties == 8
    assert lines["frozen, lossless"].verdict == "pass"
    assert lines["frames shuffled"].verdict == lines["x264, CRF 23"].verdict == "moot"


def test_energy_matching_equals_energies_and_keeps_the_query():
    rng = torch.Generator().manual_seed(0)
    views = tuple(torch.randn(3, 3, 5, 8, 8, generator=rng) * scale for scale in (1.0, 2.0, 0.3))
    matched = energy_matched(views)
    assert torch.equal(matched[0], views[0])
    wanted, *found = energies(matched)
    assert all(torch.allclose(energy, wanted, rtol=1e-5) for energy in found)
    assert torch.allclose(matched[1].mean(dim=(2, 3, 4)), views[1].mean(dim=(2, 3, 4)), atol=1e-6)


def test_shuffling_keeps_the_frames_of_each_clip():
    views = tuple(torch.arange(7.0).view(1, 1, 7, 1, 1).expand(4, 3, 7, 2, 2) + 10 * k for k in range(3))
    for before, after in zip(views, shuffled(views, seed=1), strict=True):
        assert torch.equal(after.sort(dim=2).values, before)
        assert not torch.equal(after, before)
        assert torch.equal(after[:, 0], after[:, 1])  # all channels in one order


def test_probes_find_planted_factors_in_the_right_space():
    videos = plan_factor_set(num_videos=96, seed=0, num_frames=4, size=32)
    rng = np.random.default_rng(0)

    def planted(*factors):
        rows = rng.normal(size=(len(videos), 20)).astype(np.float32)
        for number, factor in enumerate(factors):
            names = sorted({video.labels[factor] for video in videos if factor in video.labels})
            for row, video in zip(rows, videos, strict=True):
                if factor in video.labels:
                    row[10 * number + names.index(video.labels[factor])] += 20
        return rows

    spaces = dict(zip(SPACES, (planted("motion"), planted("motion", "colour"), planted("texture")), strict=True))
    probes = {probe.factor: probe for probe in probe_factors(videos, spaces, folds=2, seed=0)}
    assert probes["motion"].shares["backbone"].value == 1.0
    assert (probes["motion"].above_chance, probes["motion"].own_head) == ("pass", "pass")
    assert (probes["texture"].above_chance, probes["texture"].own_head) == ("fail", "pass")
    assert probes["colour"].own_head == "fail"  # it sits in the motion head
    assert probes["direction"].train + probes["direction"].test == 48


def test_the_command_writes_report_picture_and_result(tmp_path, monkeypatch):
    """Probes are fitted in the first of two runs, on small videos."""
    fit, fitted = run_disentangle._probes, list[Any]()

    def fit_once(*given):
        if not fitted:
            fitted.extend(fit(*given))
        return fitted

    monkeypatch.setattr(run_disentangle, "FOLDS", 2)
    monkeypatch.setattr(run_disentangle, "_LEAST_FRAMES", 24)
    monkeypatch.setattr(run_disentangle, "_LEAST_SIDE", 48)
    monkeypatch.setattr(run_disentangle, "_probes", fit_once)
    checkpoint = save_tiny_checkpoint(tmp_path / "m.ckpt")
    words = [f"--weights={checkpoint}", f"--cache={tmp_path / 'cache'}", "--num_videos=48", "--shortcut_videos=8"]
    words += ["--num_clips=1", "--precision=fp32"]
    assert main(["study", "disentangle", *words, f"--out={tmp_path / 'o'}"]) == 0
    result = json.loads((tmp_path / "o" / "result.json").read_text())
    text = (tmp_path / "o" / "report.md").read_text()
    assert [probe["factor"] for probe in result["results"]["probes"]] == [
        "speed", "direction", "motion", "texture", "colour", "background",
    ]  # fmt: skip
    assert all(f"| {row['test']} |" in text and row["rule"] in text for row in result["results"]["shortcuts"])
    assert result["protocol"]["shortcut_videos"] == 8
    assert (tmp_path / "o" / "report.png").read_bytes().startswith(b"\x89PNG")
    own = write_videos(tmp_path / "own", count=10, num_frames=16)
    (own / "train" / "broken.mp4").write_bytes(b"no video")
    words[2:4] = ["--num_videos=48", "--shortcut_videos=9", f"--videos={own}", "--random_init"]
    assert main(["study", "disentangle", *words, f"--out={tmp_path / 'p'}"]) == 0
    other = json.loads((tmp_path / "p" / "result.json").read_text())
    assert other["protocol"]["shortcut_videos"] == 9
    assert other["protocol"]["tensors_sha256"] != result["protocol"]["tensors_sha256"]
    rows = {row["test"]: row for row in other["results"]["shortcuts"]}
    assert rows["original videos"]["value"] == rows["lossless (FFV1)"]["value"]  # both are the decoded pixels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_videos=3"], "--num_videos 3: must be at least 48"),
        (["--speed=1"], "--speed 1: must be at least 2"),
        (["--weights=none.ckpt"], "none.ckpt"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, message):
    checkpoint = save_tiny_checkpoint(tmp_path / "m.ckpt")
    assert main(["study", "disentangle", f"--weights={checkpoint}", *words, f"--out={tmp_path / 'o'}"]) == 2
    assert message in capsys.readouterr().err


@needs_official
def test_a_published_file_is_asked_as_our_own_checkpoints_are(tmp_path):
    torch.save(published_file("s3dg"), tmp_path / "published.pth.tar")
    embedder = _embedder(DisentangleConfig(weights=str(tmp_path / "published.pth.tar"), precision="fp32"))
    assert (embedder.model.backbone.name, embedder.model.backbone.input) == ("s3dg", "rgb")
    assert (embedder.num_frames, embedder.size) == (16, 224)
    motion = embedder.encode_views(torch.randn(2, 3, 16, 32, 32)).motion
    assert motion.shape == (2, 128)
    torch.testing.assert_close(motion.norm(dim=1), torch.ones(2, dtype=motion.dtype))


def test_a_folder_without_videos_is_refused_before_anything_is_made(tmp_path, capsys):
    model = save_tiny_checkpoint(tmp_path / "model.ckpt")
    (tmp_path / "none").mkdir()
    options = ["--weights", str(model), "--videos", str(tmp_path / "none"), "--cache", str(tmp_path / "cache")]
    assert main(["study", "disentangle", *options, "--out", str(tmp_path / "out")]) == 2
    assert "holds no video" in capsys.readouterr().err
    assert {file.name for file in tmp_path.iterdir()} == {"model.ckpt", "none"}
