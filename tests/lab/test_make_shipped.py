"""The weights that come with the package: they open by name, and the command makes such a file."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from rspnet.cli import main
from rspnet.core.errors import CheckpointError
from rspnet.core.files import sha256_of
from rspnet.core.weights_files import weights_file
from rspnet.lab.make_shipped import small_file
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.weights import DEFAULT, shipped_file, shipped_names

ROOT = Path(__file__).parents[2]
LARGEST = 8_000_000


def test_every_name_opens_and_fits_the_wheel() -> None:
    assert DEFAULT in shipped_names()
    for name in shipped_names():
        file = shipped_file(name)
        assert file is not None
        assert weights_file(name) == file
        assert file.stat().st_size <= LARGEST
        model = load_pretrained(name)
        assert isinstance(model, RSPNet)
        assert not model.training
        assert all(value.isfinite().all() for value in model.state_dict().values())
        assert {value.dtype for value in model.encoder_q.parameters()} == {torch.float32}


def test_the_card_states_the_hash_of_the_file() -> None:
    card = (ROOT / "docs" / "rspnet-small.md").read_text(encoding="utf-8")
    (stated,) = re.findall(r"[0-9a-f]{64}", card)
    file = shipped_file("rspnet-small")
    assert file is not None
    assert sha256_of(file) == stated


def test_a_file_of_the_same_name_comes_first_and_other_names_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rspnet-small").write_bytes(b"mine")
    assert weights_file("rspnet-small") == Path("rspnet-small")
    with pytest.raises(CheckpointError, match="no such file"):
        load_pretrained("rspnet-huge")


def test_packing_keeps_the_query_encoder_to_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = RSPNet("two_stream_slim", input="difference", queue_size=4, num_frames=8, size=32, stride=3)
    from rspnet.engine.checkpoint import save_checkpoint

    content = {"task": "pretrain", "model_config": model.config, "model": model.state_dict()}
    save_checkpoint(tmp_path / "whole.ckpt", content)
    packed = load_pretrained(small_file(tmp_path / "whole.ckpt", tmp_path / "small.ckpt"))
    assert packed.config == model.config | {"queue_size": 1}
    for name, value in model.encoder_q.state_dict().items():
        kept = packed.encoder_q.state_dict()[name]
        assert torch.equal(kept, packed.encoder_k.state_dict()[name])
        torch.testing.assert_close(kept, value, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "small.ckpt").stat().st_size < (tmp_path / "whole.ckpt").stat().st_size / 3


def test_the_command_makes_a_file_that_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "shipped", "--out", str(tmp_path), "--num_videos", "32", "--max_steps", "1"]
    assert main(words) == 0
    model = load_pretrained(tmp_path / "rspnet-small.ckpt")
    assert model.config["stride"] == 2
    assert model.config == load_pretrained("rspnet-small").config
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    assert settings["engine"]["precision"] == "fp32"
    drawn = sorted((tmp_path / "videos").iterdir())
    for other in (("--seed", "1"), ("--num_videos", "33")):
        assert main([*words, *other]) == 2
        assert "holds videos drawn with num_videos 32, seed 0, not num_videos 3" in capsys.readouterr().err
    assert sorted((tmp_path / "videos").iterdir()) == drawn


def test_the_list_of_weights_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights"]) == 0
    assert capsys.readouterr().out.startswith("rspnet-small ")
    assert main(["weights", "rspnet-small"]) == 0
    file = shipped_file("rspnet-small")
    assert file is not None
    assert sha256_of(file) in capsys.readouterr().out
    assert main(["weights", "rspnet-small", "--download", "x"]) == 2
    assert "rspnet-small" in capsys.readouterr().err
