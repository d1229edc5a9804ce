"""Every command that takes weights takes a checkpoint, a run folder, an export and a name; one function opens them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.core.weights_files import weights_file
from rspnet.models.exported import save_exported
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.classifiers import open_classifier, read_backbone


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same weights in every form."""
    pytest.importorskip("safetensors", reason="the extra rspnet[export] is not installed")
    base = tmp_path_factory.mktemp("forms")
    (base / "run").mkdir()
    (base / "reported").mkdir()
    checkpoint = save_tiny_checkpoint(base / "run" / "last.ckpt")
    (base / "reported" / "best.ckpt").write_bytes(checkpoint.read_bytes())
    (base / "reported" / "last.ckpt").write_bytes(b"not the one that is reported")
    (base / "reported" / "result.json").write_text('{"results": {"checkpoint": "best.ckpt"}}')
    network, description = load_pretrained(checkpoint).exported()
    (base / "export").mkdir()
    save_exported(network, base / "export", description)
    return {"file": checkpoint, "run": base / "run", "reported": base / "reported", "export": base / "export"}


@pytest.mark.parametrize("form", ["run", "reported", "export"])
def test_all_forms_are_the_same_network(forms: dict[str, Path], form: str) -> None:
    state = load_pretrained(forms["file"]).backbone.state_dict()
    for backbone in (load_pretrained(forms[form]).backbone, read_backbone(str(forms[form]))):
        found = backbone.state_dict()
        assert all(torch.equal(found[name], value) for name, value in state.items())
    assert load_pretrained(forms[form]).config["num_frames"] == 4
    assert weights_file(forms[form]).is_file()
    assert weights_file("rspnet-small").is_file()


@pytest.mark.parametrize(
    "words",
    [
        "pretrain {videos} --recipe pretrain/small-cpu --weights {empty}",
        "embed {videos} --weights {empty}",
        "index {videos} --weights {empty} --out {out}",
        "finetune {videos} --weights {empty} --data.kind folders",
        "evaluate {empty}",
        "predict {videos} --weights {empty}",
        "roi {videos}/a/1.mp4 {videos}/a/2.mp4 --weights {empty}",
        "export {empty} --format program",
        "convert {empty}",
        "study disentangle --weights {empty} --out {out}",
        "probe {videos} --weights {empty} --data.kind folders",
        "retrieve {videos} --weights {empty} --data.kind folders",
    ],
)
def test_every_command_opens_them_by_the_same_way(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    (tmp_path / "empty").mkdir()
    assert main(words.format(videos="videos", empty="empty", out="out").split()) == 2
    assert (
        "cannot read weights 'empty': a folder without weights; name a run folder of a training"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_a_network_without_classes_is_no_classifier(forms: dict[str, Path]) -> None:
    with pytest.raises(Exception, match="is an export of no classifier"):
        open_classifier(str(forms["export"]))
