"""`--plugin`: a backbone and a pretext method from a file outside the package, from training to features."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.clips_on_disk import TINY, write_videos
from helpers.stopping import stop_after
from torch import Tensor, nn

from rspnet.cli import main, parse
from rspnet.core.errors import ConfigError
from rspnet.core.run_files import LAST
from rspnet.engine.checkpoint import load_checkpoint
from rspnet.engine.curves import METRICS, read_curves
from rspnet.features.read import read_features
from rspnet.models import registry
from rspnet.models.backbone import Backbone
from rspnet.models.kinds import InputKind
from rspnet.pretext import methods
from rspnet.pretext.base import PretextModel
from rspnet.pretext.create import create_method
from rspnet.pretext.pretrained import load_pretrained
from rspnet.pretext.rspnet import RSPNet
from rspnet.pretext.rspnet_method import RSPNetMethod

OUTSIDE = Path(__file__).parents[1] / "helpers" / "outside_arrow.py"
PLUGIN = ["--plugin", str(OUTSIDE)]
CHOICE = ["--model.method=arrow", "--model.backbone=one_layer", "--model.smoothing=0.1"]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Whatever a test registers is gone after it."""
    yield
    forget()


def forget() -> None:
    sys.modules.pop(OUTSIDE.stem, None)
    methods._METHODS.pop("arrow", None)
    registry._BUILDERS.pop("one_layer", None)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("videos"), count=8, num_frames=16)


def pretrain(videos: Path, out: Path, *more: str) -> int:
    base = ["pretrain", "--data.root", str(videos), "--out", str(out), "--max_steps=3", *TINY, *CHOICE]
    return main([*base, "--engine.log_every=1", "--model.virtual_ranks=2", *more])


def test_both_fit_in_sixty_lines() -> None:
    assert len(OUTSIDE.read_text().splitlines()) < 60


def test_training_resuming_and_embedding_with_a_method_and_a_backbone_from_outside(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretrain(videos, tmp_path / "whole", *PLUGIN) == 0
    with monkeypatch.context() as stopping:
        stop_after(stopping, 2)
        assert pretrain(videos, tmp_path / "cut", *PLUGIN, "--data.num_workers=1") == 130
    assert pretrain(videos, tmp_path / "cut", *PLUGIN, "--resume") == 0
    rows = [read_curves(tmp_path / name / METRICS)[-1] for name in ("whole", "cut")]
    assert rows[0]["loss"] == rows[1]["loss"]
    assert float(rows[0]["hits"]) in (0, 0.25, 0.5, 0.75, 1)
    whole, cut = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "cut"))
    assert all(bool((value == cut["model"][key]).all()) for key, value in whole["model"].items())
    assert whole["model_config"]["plugins"] == ["outside_arrow"]
    assert whole["config"]["model"] == {
        "method": "arrow", "backbone": "one_layer", "input": "difference", "virtual_ranks": 2, "smoothing": 0.1
    }  # fmt: skip
    weights = str(tmp_path / "whole" / LAST)
    assert (
        main(
            ["embed", f"--weights={weights}", str(videos), f"--out={tmp_path / 'features'}", "--num_workers=1", *PLUGIN]
        )
        == 0
    )
    assert read_features(tmp_path / "features").features.shape == (8, 3 * 8)  # mean, spread and change
    assert main(["export", weights, f"--out={tmp_path / 'export'}", *PLUGIN]) == 0
    assert load_pretrained(tmp_path / "export").config["plugins"] == ["outside_arrow"]
    assert main(["report", str(tmp_path / "whole"), *PLUGIN]) == 0
    forget()
    capsys.readouterr()
    for path in (weights, str(tmp_path / "export")):
        assert main(["embed", path, str(videos), f"--out={tmp_path / 'again'}"]) == 2
        assert "needs the plug-in 'outside_arrow', which is not loaded: add --plugin outside_arrow" in (
            capsys.readouterr().err
        )
    assert main(["report", str(tmp_path / "whole")]) == 0


def test_a_classifier_on_a_backbone_from_outside(videos: Path, tmp_path: Path) -> None:
    import torch

    from rspnet.core.errors import CheckpointError
    from rspnet.core.plugins import import_plugin
    from rspnet.models.classifier import Classifier, restore_classifier

    import_plugin(str(OUTSIDE))
    model = Classifier(registry.create_backbone("one_layer"), num_classes=3, dropout=0.0)
    config = model.config
    again = restore_classifier(config, model.state_dict(), source="it").eval()
    clips = torch.randn(1, 3, 4, 16, 16)
    assert torch.equal(again(clips), model.eval()(clips))
    forget()
    with pytest.raises(CheckpointError, match="needs the plug-in 'outside_arrow'"):
        restore_classifier(config, model.state_dict(), source="it")


def test_without_its_plugin_a_name_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    base = ["pretrain", "--data.root=videos", "--out=run"]
    assert main([*base, "--model.method=arrow"]) == 2
    error = capsys.readouterr().err
    assert "--model.method 'arrow': must be one of rspnet, pace," in error
    assert "--plugin" in error
    assert main([*base, "--model.backbone=one_layer"]) == 2
    assert "--plugin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("import no_such_module_anywhere", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raise SystemError('a\\nb')", "cannot be imported: SystemError: a b"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad_plugin_of_a_test.py"
    if text is not None:
        file.write_text(text)
    assert main(["recipes", f"--plugin={file}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert file.stem not in sys.modules


def test_a_plugin_may_be_a_module_and_is_asked_for_by_any_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "module_of_a_test.py").write_text("print('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["--plugin", "module_of_a_test", "recipes"]) == 0
    assert "imported\n" in capsys.readouterr().out
    sys.modules.pop("module_of_a_test")
    assert main(["recipes", "--plugin"]) == 2
    assert "--plugin: name a module or a file" in capsys.readouterr().err
    assert main([*PLUGIN]) == 2
    assert "no command: one of demo, doctor," in capsys.readouterr().err


def test_a_builder_gives_a_backbone_which_then_has_the_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    registry.register_backbone("changed", lambda **_: registry.create_backbone("r3d_10_slim"))
    assert registry.create_backbone("changed").name == "changed"
    assert registry.create_backbone("r3d_10_slim").name == "r3d_10_slim"
    registry.register_backbone("none", lambda **_: nn.Identity())  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match=r"'none': its builder must give an rspnet\.Backbone, not Identity"):
        registry.create_backbone("none")


class Staged(Backbone):
    """A backbone of one stage, as someone writes it who errs."""

    def __init__(self, stage: nn.Module, *, num_features: int = 8, name: str = "staged", input: InputKind = "rgb"):  # noqa: A002
        super().__init__(name=name, num_features=num_features, input=input)
        self.stage = stage

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return [self.stage]


class Unstaged(Backbone):
    stage = nn.Identity()


def test_mistakes_in_a_backbone_from_outside_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    conv = nn.Conv3d(3, 8, 1)
    pooled = nn.Sequential(conv, nn.AdaptiveAvgPool3d(1), nn.Flatten())
    registry.register_backbone("unstaged", partial(Unstaged, num_features=8))  # type: ignore[abstract]
    registry.register_backbone("empty", partial(Staged, nn.Identity()))
    for name, why in (("unstaged", "Unstaged defines no `stages`"), ("empty", "Staged has no parameters")):
        with pytest.raises(ConfigError, match=f"backbone '{name}': {why}"):
            registry.create_backbone(name)
    clips = torch.zeros(2, 3, 4, 8, 8)
    for stage, features, shape in ((conv, 16, r"\[2, 8, 4, 8, 8\]"), (pooled, 8, r"\[2, 8\]")):
        backbone = Staged(stage, num_features=features)
        with pytest.raises(ConfigError, match=rf"ends? with {shape}, but must .* num_features = {features} channels"):
            backbone(clips)
    assert Staged(conv)(clips).shape == (2, 8, 4, 8, 8)


@pytest.mark.parametrize(("name", "builder"), [(3, nn.Identity), ("mine", 3), ("", nn.Identity)])
def test_only_a_name_and_a_builder_can_be_registered(name: Any, builder: Any) -> None:
    with pytest.raises(ConfigError, match="needs a text and what makes a backbone"):
        registry.register_backbone(name, builder)
    assert not {3, "mine", ""} & set(registry._BUILDERS)


def test_registering_twice_or_badly_is_refused() -> None:
    from dataclasses import dataclass

    from rspnet import PretextMethod, register_backbone, register_method
    from rspnet.models.c3d import C3D

    with pytest.raises(ConfigError, match="backbone 'r3d_18' is there already"):
        register_backbone("r3d_18", C3D)
    register_backbone("c3d", partial(registry._c3d))  # the same one, as of a file that is imported again

    @dataclass(frozen=True)
    class Other(PretextMethod):
        method = "pace"

    with pytest.raises(ConfigError, match=r"method 'pace' is rspnet\.pretext\.pace\.PaceMethod already"):
        register_method(Other)

    @dataclass(frozen=True)
    class Clash(PretextMethod):
        method = "clash"
        temperature: float = 0.5

    with pytest.raises(ConfigError, match=r"option 'temperature' has the default 0\.5, but 0\.07 in another"):
        register_method(Clash)

    @dataclass(frozen=True)
    class Unbuilt(PretextMethod):
        method = "unbuilt"

        def clips(self, speeds: Any) -> Any: ...

    with pytest.raises(ConfigError, match="method 'unbuilt': Unbuilt defines no `build`"):
        register_method(Unbuilt)

    @dataclass(frozen=True)
    class Nameless(PretextMethod):
        pass

    with pytest.raises(ConfigError, match="Nameless has no name that can be used"):
        register_method(Nameless)

    @dataclass(frozen=True)
    class Flagged(RSPNetMethod):
        method = "flagged"
        twice: bool = False
        """A yes-or-no option."""

    register_method(Flagged)
    try:
        options = ["--data.root=v", "--out=o", "--model.method=flagged", "--model.twice", "--model.queue_size=3"]
        assert parse("pretrain", options).model == Flagged(twice=True, queue_size=3)
        with pytest.raises(ConfigError, match="must be true or false"):
            parse("pretrain", [*options[:-2], "--model.twice=perhaps"])
    finally:
        methods._METHODS.pop("flagged")
    assert methods.method_names() == ["rspnet", "pace", "speednet", "moco", "order"]


def test_only_frozen_dataclasses_of_their_own_are_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forgotten decorator would make a new field no option; a class of another kind would break the help."""
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))

    class Undecorated(RSPNetMethod):
        method = "undecorated"
        extra: float = 1.0

    with pytest.raises(ConfigError, match=r"'undecorated': Undecorated is no dataclass\(frozen=True\)"):
        methods.register_method(Undecorated)
    other: Any
    for other in (3, dataclass(frozen=True)(type("Plain", (), {"method": "plain"}))):
        with pytest.raises(ConfigError, match=r"needs a class derived from rspnet\.PretextMethod"):
            methods.register_method(other)
    assert "undecorated" not in methods.method_names()


def test_what_a_model_of_ones_own_takes_besides_is_in_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))

    class Softer(RSPNet):
        def __init__(self, backbone: str, *, gamma: float = 1.0, **rest: Any) -> None:
            super().__init__(backbone, **rest)
            self.gamma = gamma

    @dataclass(frozen=True)
    class SofterMethod(RSPNetMethod):
        method = "softer"
        gamma: float = 1.0

        @classmethod
        def build(cls, backbone: str, **arguments: Any) -> PretextModel:
            return Softer(backbone, **arguments)

    @dataclass(frozen=True)
    class Forgetful(RSPNetMethod):
        method = "forgetful"
        gamma: float = 1.0

    with pytest.raises(ConfigError, match=r"'forgetful': its model does not take all its options: .*'gamma'"):
        Forgetful.rebuild("r3d_10_slim", gamma=2.5, queue_size=4)
    methods.register_method(SofterMethod)
    model = SofterMethod.rebuild("r3d_10_slim", gamma=2.5, queue_size=4)
    assert model.config["gamma"] == 2.5
    again = create_method({name: value for name, value in model.config.items() if name != "plugins"})
    assert isinstance(again, Softer)
    assert again.gamma == 2.5


class Pictures(Backbone):
    """A network of one's own that looks at pictures one by one."""

    def __init__(self, *, name: str, input: InputKind) -> None:  # noqa: A002
        super().__init__(name=name, num_features=8, input=input)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return [self._maps]

    def _maps(self, clips: Tensor) -> Tensor:
        maps: Tensor = self.conv(clips.transpose(1, 2).flatten(0, 1))
        return maps.unflatten(0, (len(clips), -1)).transpose(1, 2)


@pytest.mark.parametrize("more", [["--dry_run"], [], ["--engine.channels_last=false"]], ids=" ".join)
def test_a_network_with_flat_convolutions_trains(
    more: list[str], videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout of clips is not that of pictures' weights."""
    monkeypatch.setitem(registry._BUILDERS, "pictures", Pictures)
    words = ["pretrain", str(videos), f"--out={tmp_path / 'run'}", *TINY, "--model.backbone=pictures", "--max_steps=1"]
    assert main([*words, "--model.queue_size=4", *more]) == 0
    assert (tmp_path / "run" / LAST).exists() != (more == ["--dry_run"])


def test_weights_of_a_script_name_its_file_as_their_plugin(videos: Path, tmp_path: Path) -> None:
    script = tmp_path / "my_training.py"
    script.write_text(
        OUTSIDE.read_text()
        + "\n\nif __name__ == '__main__':\n"
        + "    import rspnet\n"
        + "    data = {'num_frames': 4, 'size': 16, 'batch_size': 4, 'num_workers': 1}\n"
        + "    model = {'backbone': 'one_layer', 'queue_size': 8}\n"
        + f"    result = rspnet.pretrain({str(videos)!r}, out='run', max_steps=1, data=data, model=model)\n"
        + "    print(result.load().config['plugins'])\n"
    )
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "['my_training']"
    words = ["embed", str(tmp_path / "run" / LAST), str(videos), f"--out={tmp_path / 'features'}"]
    assert main([*words, "--plugin", str(script)]) == 0
    sys.modules.pop("my_training")


def test_edited_code_is_another_network(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Features, libraries and caches that the code of a plug-in made before it was edited are not taken for its own."""
    plugin = tmp_path / OUTSIDE.name
    plugin.write_text(OUTSIDE.read_text())
    use = ["--plugin", str(plugin)]
    assert pretrain(videos, tmp_path / "run", *use) == 0
    run, quick = f"--weights={tmp_path / 'run'}", ["--num_workers=0", "--device=cpu"]
    embed = ["embed", str(videos), run, f"--out={tmp_path / 'features'}", *quick, *use]
    assert main(embed) == 0
    before = read_features(tmp_path / "features").features
    plugin.write_text(OUTSIDE.read_text().replace("torch.relu]", "torch.tanh]"))
    assert plugin.read_text() != OUTSIDE.read_text()
    os.utime(plugin, (0, 0))  # as many bytes in the same second would be compiled code of before to Python
    forget()
    capsys.readouterr()
    assert main(embed) == 2
    assert "plugins_sha256" in capsys.readouterr().err
    assert main([*embed[:3], f"--out={tmp_path / 'anew'}", *quick, *use]) == 0
    assert (read_features(tmp_path / "anew").features != before).any()
    assert pretrain(videos, tmp_path / "run", *use, "--resume") == 0
    assert "the code of the plug-in has changed since the run was started" in capsys.readouterr().err
