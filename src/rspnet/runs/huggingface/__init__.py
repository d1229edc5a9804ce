"""A network as a folder that Hugging Face's `AutoModel` opens (with `trust_remote_code=True`), and its model card."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from rspnet.core.errors import ConfigError
from rspnet.core.files import atomic_path, write_json, write_text
from rspnet.core.weights_files import WEIGHTS
from rspnet.models.exported import PREFIX, Network, output_names, write_description

CONFIG, CODE, CARD = BESIDES = "config.json", "modeling_rspnet.py", "README.md"
"""What is written besides the weights and their description."""


def save_huggingface(network: Network, folder: Path, description: dict[str, Any], facts: dict[str, Any]) -> Path:
    """Write config.json, model.safetensors, modeling_rspnet.py and a model card; returns the weights' path.

    Args:
        network: in eval mode.
        folder: there already.
        description: of the network, see `build_network`.
        facts: what the card says of where it comes from: `source`, `weights_sha256` and, of a run, its `training`
            options and `results`.

    Raises:
        ConfigError: safetensors is not installed.
    """
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise ConfigError("--format huggingface needs safetensors: pip install 'rspnet[export]'") from error
    config = {
        "model_type": "rspnet",
        "architectures": ["RSPNetModel"],
        "auto_map": {"AutoConfig": "modeling_rspnet.RSPNetConfig", "AutoModel": "modeling_rspnet.RSPNetModel"},
        "torch_dtype": "float32",
        "rspnet_version": version("rspnet"),
        "description": description | {"outputs": output_names(network)},
    }
    write_json(folder / CONFIG, config)
    write_description(network, folder, description, format="huggingface")
    here = files("rspnet.runs.huggingface")
    write_text(folder / CODE, (here / f"{CODE}.txt").read_text(encoding="utf-8"))
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701 - Markdown
    template = environment.from_string((here / f"{CARD}.j2").read_text(encoding="utf-8"))
    known = {"training": {}, "results": {}} | facts
    parameters = sum(value.numel() for value in network.parameters())
    write_text(
        folder / CARD,
        template.render(description=config["description"], parameters=parameters, version=version("rspnet"), **known),
    )
    state = {PREFIX + name: value.contiguous() for name, value in network.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(state, metadata={"format": "pt"}))
    return folder / WEIGHTS
