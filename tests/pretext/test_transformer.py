"""`hf:FOLDER`: tiny random models of transformers, against a direct call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rspnet.core.errors import CheckpointError
from rspnet.features.embedder import Embedder
from rspnet.pretext.pretrained import load_pretrained

transformers = pytest.importorskip("transformers")
CLIPS = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
COLOURS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.2], "crop_size": {"height": 16, "width": 16}}
SIZES = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}


def video_mae() -> Any:
    return transformers.VideoMAEModel(
        transformers.VideoMAEConfig(**SIZES, intermediate_size=8, image_size=16, num_frames=4)
    )


def v_jepa() -> Any:
    more = {"pred_hidden_size": 8, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2, "mlp_ratio": 1}
    return transformers.VJEPA2Model(transformers.VJEPA2Config(**SIZES, **more, crop_size=16, frames_per_clip=4))


def dino() -> Any:
    return transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, mlp_ratio=1, image_size=32))


def direct(network: Any) -> torch.Tensor:
    """Mean of a video's tokens; of pictures the class token, averaged over frames."""
    pixels = (CLIPS / 255 - torch.tensor(COLOURS["image_mean"])) / torch.tensor(COLOURS["image_std"])
    frames = pixels.permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        if network.config.model_type == "dinov2":
            return torch.stack([network(pixel_values=clip).pooler_output.mean(dim=0) for clip in frames])
        more = {"skip_predictor": True} if network.config.model_type == "vjepa2" else {}
        return network(**{network.main_input_name: frames}, **more).last_hidden_state.mean(dim=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "frames"), [(video_mae, 4), (v_jepa, 4), (dino, 16)])
def test_features_are_those_of_a_direct_call(make: Any, frames: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = make().eval()
    network.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(COLOURS))
    model = load_pretrained(f"hf:{tmp_path}")
    assert (model.config["num_frames"], model.config["size"], model.backbone.num_features) == (frames, 16, 12)
    found = Embedder(model, num_frames=4, precision="fp32").encode(CLIPS)[0]
    assert found == pytest.approx(direct(network).numpy(), abs=1e-5)
    assert Embedder(model, num_frames=4, precision="bf16").encode(CLIPS)[0] == pytest.approx(found, abs=0.2)


@pytest.mark.filterwarnings("ignore")
def test_folders_that_do_not_serve_are_refused(tmp_path: Path) -> None:
    dino().save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    from safetensors.torch import load_file, save_file

    state = load_file(weights)
    save_file({key: value for key, value in state.items() if "norm1" not in key}, weights, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 2 weights, such as encoder\.layer\.0\.norm1"):
        load_pretrained(f"hf:{tmp_path}")
    mark = tmp_path / "mark"
    (tmp_path / "own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config.write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}))
    with pytest.raises(CheckpointError, match="transformers cannot open it"):
        load_pretrained(f"hf:{tmp_path}")
    assert not mark.exists()
    torch.save(state, tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors in the folder"):
        load_pretrained(f"hf:{tmp_path}")
