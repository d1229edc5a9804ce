"""`torch:FILE.pt2`: exported encoders are what they were, and files that would run something are refused."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.weights_files import weights_file
from rspnet.features.embedder import Embedder
from rspnet.pretext.create import fresh_twin, require_heads
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.classifiers import read_backbone

pytestmark = pytest.mark.skipif(torch.__version__ < "2.8", reason="older versions write another archive")
CLIPS = torch.randint(0, 256, (3, 4, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class Small(nn.Module):
    """Clips to a dictionary of other things and features."""

    def __init__(self, out: str = "features") -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.out = nn.Conv3d(3, 5, 3), out

    def forward(self, clips: Tensor) -> Any:
        maps = self.conv(clips)
        named = {"other": maps.mean(dim=(1, 2)), "features": maps.mean(dim=(2, 3, 4)) * torch.tensor(2.0)}
        return {"features": named, "map": (maps, clips), "tokens": maps.flatten(2).mT, "scalar": maps.mean()}[self.out]


def write(path: Path, network: nn.Module, *, batch: int | None = None) -> Path:
    free = None if batch else ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(network.eval(), (torch.zeros(batch or 2, 3, 4, 16, 16),), dynamic_shapes=free)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("programs") / "enc.pt2", Small())


def expected(network: nn.Module) -> Any:
    views = ((CLIPS / 255 - MEAN) / STD).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        return network(views)


def test_features_are_those_of_the_network_in_whatever_precision_is_asked_for(plain: Path) -> None:
    model = load_pretrained(f"torch:{plain}")
    assert (model.config["num_frames"], model.config["size"], model.backbone.num_features) == (4, 16, 5)
    assert weights_file(f"torch:{plain}") == plain
    wanted = expected(Small())["features"].numpy()
    for precision, tolerance in (("fp32", 1e-5), ("bf16", 3e-2)):
        embedder = Embedder(model, num_clips=2, precision=precision)
        features, appearance, _ = embedder.encode(CLIPS)
        assert features == pytest.approx(wanted, abs=tolerance)
        assert appearance.shape == (3, 0)
        assert next(embedder._network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("out", ["map", "tokens"])
def test_maps_and_tokens_are_pooled_and_a_fixed_batch_is_filled_up(out: str, tmp_path: Path) -> None:
    model = load_pretrained(f"torch:{write(tmp_path / 'enc.pt2', Small(out), batch=2)}")
    found = expected(Small(out))
    wanted = found[0].mean(dim=(2, 3, 4)) if out == "map" else found.mean(dim=1)
    assert Embedder(model, precision="fp32").encode(CLIPS)[0] == pytest.approx(wanted.numpy(), abs=1e-5)


def test_equal_weights_in_another_program_are_told_apart(plain: Path, tmp_path: Path) -> None:
    other = load_pretrained(f"torch:{write(tmp_path / 'enc.pt2', Small('tokens'))}").backbone.state_dict()
    own = load_pretrained(f"torch:{plain}").backbone.state_dict()
    assert torch.equal(own["program.conv.weight"], other["program.conv.weight"])
    assert not torch.equal(own["digest"], other["digest"])


def test_what_builds_trains_or_writes_networks_refuses_them(plain: Path) -> None:
    model = load_pretrained(f"torch:{plain}")
    for task in (lambda: fresh_twin(model, seed=0), model.exported, lambda: read_backbone(f"torch:{plain}")):
        with pytest.raises(ConfigError, match="an encoder of another program stays as it is"):
            task()
    with pytest.raises(CheckpointError, match="these weights hold a backbone only"):
        require_heads(model, task="roi")


def test_what_gives_no_features_or_takes_no_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"returns \[\] for"):
        load_pretrained(f"torch:{write(tmp_path / 'scalar.pt2', Small('scalar'))}")
    torch.export.save(torch.export.export(nn.ReLU(), (torch.zeros(2, 3),)), tmp_path / "relu.pt2")
    with pytest.raises(CheckpointError, match=r"takes 1 inputs \[2, 3\]; one of clips"):
        load_pretrained(f"torch:{tmp_path / 'relu.pt2'}")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_pretrained(f"torch:{tmp_path / 'none.pt2'}")


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def changed(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> str:
    """A copy of an archive whose entries (without the root) a function changed."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{root}/{name}", content)
    return f"torch:{target}"


def in_json(name: str, change: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(entries: dict[str, bytes]) -> None:
        content = json.loads(entries[name])
        change(content)
        entries[name] = json.dumps(content).encode()

    return edit


def node(content: Any) -> Any:
    return content["graph_module"]["graph"]["nodes"][0]


def free_size(content: Any) -> Any:
    return content["graph_module"]["graph"]["tensor_values"]["clips"]["sizes"][0]["as_expr"]


MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
EVIL: dict[str, tuple[str, Callable[[Any], None]]] = {
    "pickled weights": (WEIGHTS, lambda it: it["config"]["conv.weight"].update(use_pickle=True)),
    "a call of 'torch.hub.load'": (MODEL, lambda it: node(it).update(target="torch.hub.load")),
    "a call of 'torch.ops.aten.from_file.default'": (
        MODEL, lambda it: node(it).update(target="torch.ops.aten.from_file.default"),
    ),
    "a call of '_operator.attrgetter'": (MODEL, lambda it: node(it).update(target="_operator.attrgetter")),
    "the expression": (MODEL, lambda it: free_size(it).update(expr_str="__import__('os').getpid()")),
    "the name": (MODEL, lambda it: node(it).update(name="x = 1; import os\n")),
}  # fmt: skip


@pytest.mark.parametrize("what", EVIL)
def test_archives_that_could_run_something_are_refused(what: str, plain: Path, tmp_path: Path) -> None:
    name, change = EVIL[what]
    with pytest.raises(CheckpointError, match=what.replace(".", r"\.")):
        load_pretrained(changed(plain, tmp_path / "evil.pt2", in_json(name, change)))


def test_an_archive_that_was_only_copied_is_opened(plain: Path, tmp_path: Path) -> None:
    assert load_pretrained(changed(plain, tmp_path / "copy.pt2", lambda _: None)).backbone.num_features == 5


def test_nothing_is_unpickled(plain: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    buffer = io.BytesIO()
    torch.save((Payload(mark),), buffer)

    def inputs(entries: dict[str, bytes]) -> None:
        entries["data/sample_inputs/model.pt"] = buffer.getvalue()

    def opaque(entries: dict[str, bytes]) -> None:
        entries["data/constants/opaque_obj_0"] = pickle.dumps(Payload(mark))

    def old(entries: dict[str, bytes]) -> None:
        entries["data/weights/model.pt"] = buffer.getvalue()

    for place, change in enumerate((inputs, opaque, old)):
        with pytest.raises(CheckpointError, match="refused"):
            load_pretrained(changed(plain, tmp_path / f"{place}.pt2", change))
    torch.save({"a": Payload(mark)}, tmp_path / "pickle.pt")
    with pytest.raises(CheckpointError, match=r"no program of torch\.export but a pickle"):
        load_pretrained(f"torch:{tmp_path / 'pickle.pt'}")
    (tmp_path / "text.pt2").write_text("text")
    with pytest.raises(CheckpointError, match="or it is damaged"):
        load_pretrained(f"torch:{tmp_path / 'text.pt2'}")
    assert not mark.exists()


@pytest.mark.parametrize(("frames", "size"), [(4, 24), (6, 16)])
def test_clips_of_another_shape_are_refused_by_an_embedder_too(frames: int, size: int, plain: Path) -> None:
    embedder = Embedder(f"torch:{plain}", num_clips=1, num_frames=frames, size=size)
    clips = torch.zeros(1, frames, size, size, 3, dtype=torch.uint8)
    with pytest.raises(CheckpointError, match=r"exported for frames, height and width \[4, 16, 16\]"):
        embedder.encode(clips)
