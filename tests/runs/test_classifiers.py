from __future__ import annotations

import pytest
import torch
from helpers.clips_on_disk import write_videos
from helpers.fresh import start_processes
from helpers.scores_of_ranks import save_scores
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.core.errors import CheckpointError
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.classifiers import make_classifier, open_classifier


def test_ranks_score_every_video_once(tmp_path):
    """7 videos, one of them broken, on 2 ranks: the figures of one process, no padding."""
    videos = write_videos(tmp_path / "videos", count=6)
    (videos / "broken.mp4").write_bytes(b"no video")
    threads = torch.get_num_threads()
    save_scores(0, 1, str(videos), str(tmp_path))
    start_processes(save_scores, (2, str(videos), str(tmp_path)), 2)
    torch.set_num_threads(threads)
    alone, *both = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1"))
    assert len(alone["names"]) == 6
    assert alone["skipped"] == ["broken.mp4"]
    for part in both:
        assert (part["names"], part["skipped"]) == (alone["names"], alone["skipped"])
        assert torch.equal(part["scores"], alone["scores"])


def test_initial_weights(tmp_path):
    path = save_tiny_checkpoint(tmp_path / "model.ckpt")
    model, init = make_classifier(init=str(path), num_classes=3, seed=0)
    expected = load_pretrained(path).backbone.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.backbone.state_dict().items())
    assert init is not None
    assert model.training
    (first, none), (same, _), (other, _) = (
        make_classifier(backbone="r3d_10_slim", num_classes=3, seed=seed) for seed in (0, 0, 1)
    )
    assert none is None
    weights = [part.backbone.conv1.weight for part in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["torch:enc.pt2", "hf:folder"])
def test_an_encoder_of_another_program_has_no_classifier(name):
    with pytest.raises(CheckpointError, match=f"weights '{name}': an encoder of another program has no classifier"):
        open_classifier(name)
