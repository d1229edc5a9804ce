from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.clips_on_disk import write_videos
from helpers.tiny_model import save_tiny_checkpoint

import rspnet

pytest.importorskip("lightly_studio_serve", reason="LightlyStudio's protocol is not installed")

from lightly_studio_serve.embedder import VideoPathEmbedder

from rspnet.integrations.lightly_studio import RSPNetEmbedder


def test_its_protocol_gets_the_vectors_of_embed_and_what_could_not_be_read(tmp_path: Path) -> None:
    write_videos(tmp_path / "videos", count=2)
    good = sorted(str(path) for path in (tmp_path / "videos").rglob("*.mp4"))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    model = save_tiny_checkpoint(tmp_path / "model.ckpt")
    embedder = RSPNetEmbedder(model, num_clips=2)
    found = embedder.embed_videos([good[0], str(tmp_path / "broken.mp4"), *good[1:]])
    expected = rspnet.Embedder(model, num_clips=2).embed(good)
    np.testing.assert_array_equal(found.embeddings, expected)
    assert found.kept_indices == [0, *range(2, len(good) + 1)]
    assert embedder.embedding_space_spec().dimension == expected.shape[1]
    assert isinstance(embedder, VideoPathEmbedder)


def test_other_weights_or_settings_have_a_space_of_their_own(tmp_path: Path) -> None:
    first, copy = (save_tiny_checkpoint(tmp_path / f"{name}.ckpt") for name in ("one", "copy"))
    key = RSPNetEmbedder(first, num_clips=2).embedding_space_spec().space_key
    assert RSPNetEmbedder(first, num_clips=2).embedding_space_spec().space_key == key
    assert RSPNetEmbedder(first, num_clips=3).embedding_space_spec().space_key != key
    save_tiny_checkpoint(first, seed=1)  # trained on
    assert RSPNetEmbedder(first, num_clips=2).embedding_space_spec().space_key != key
    assert RSPNetEmbedder(copy, num_clips=2).embedding_space_spec().space_key.split(":")[2] == key.split(":")[2]
