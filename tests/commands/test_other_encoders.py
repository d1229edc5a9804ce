"""Another program's encoder through the commands that judge and use frozen features."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips_on_disk import write_labelled_videos
from torch import Tensor, nn

import rspnet
from rspnet.cli import main
from rspnet.core.files import sha256_of

CLIPS = ["--num_clips=2", "--num_workers=0", "--precision=fp32"]


class Change(nn.Module):
    """How much each of 3 x 2 x 2 parts of the picture changes."""

    def forward(self, clips: Tensor) -> Tensor:
        change = (clips[:, :, 1:] - clips[:, :, :-1]).abs().mean(dim=2)
        return nn.functional.adaptive_avg_pool2d(change, 2).flatten(1)


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.8", reason="older versions write another archive")
def test_an_exported_program_is_embedded_probed_indexed_and_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = write_labelled_videos(tmp_path / "videos", count=8)
    free = ({0: torch.export.Dim("batch", min=1, max=64)},)
    torch.export.save(
        torch.export.export(Change(), (torch.zeros(2, 3, 4, 32, 32),), dynamic_shapes=free), tmp_path / "enc.pt2"
    )
    weights = f"torch:{tmp_path / 'enc.pt2'}"
    assert main(["embed", str(videos), f"--weights={weights}", f"--out={tmp_path / 'features'}", *CLIPS]) == 0
    table = rspnet.read_features(tmp_path / "features")
    assert table.features.shape == (8, 36)
    assert (np.abs(table.features).sum(axis=1) > 0).all()
    data = ["--data.kind=folders", "--data.test_share=0.5"]
    probe = [
        "probe",
        str(videos),
        *data,
        f"--weights={weights}",
        f"--out={tmp_path / 'probe'}",
        "--few_labels=[]",
        *CLIPS,
    ]
    capsys.readouterr()
    assert main([*probe, f"--cache={tmp_path / 'cache'}"]) == 0
    assert "--random_init" not in capsys.readouterr().err  # it has no fresh weights
    assert json.loads((tmp_path / "probe" / "result.json").read_text())["results"]["scores"]
    store = tmp_path / "library"
    windows = ["--window_s=0.5", "--hop_s=0.25"]
    assert main(["index", str(videos), f"--out={store}", f"--weights={weights}", "--num_workers=0", *windows]) == 0
    query = next(videos.rglob("*.mp4"))
    capsys.readouterr()
    assert main(["search", str(store), str(query), "--top=1", f"--out={tmp_path / 'hits.json'}"]) == 0
    assert query.name in (tmp_path / "hits.json").read_text()
    assert rspnet.Library(str(store)).store.about.weights_sha256 == sha256_of(tmp_path / "enc.pt2")
    assert (
        main(["finetune", str(videos), *data, f"--weights={weights}", f"--out={tmp_path / 'tuned'}", "--max_steps=1"])
        == 2
    )
    assert "an encoder of another program stays as it is" in capsys.readouterr().err
