"""Commands that write features, killed at seeded moments and run again, against undisturbed ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.clips_on_disk import write_videos
from helpers.extras import need
from helpers.forking import Mother
from helpers.tiny_model import save_tiny_checkpoint

from rspnet.cli import main
from rspnet.data.annotations import read_folder
from rspnet.features.read import read_features

OPTIONS = ["--num_workers=0", "--precision=fp32"]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("material")
    write_videos(root / "videos", count=8)
    save_tiny_checkpoint(root / "model.ckpt")
    return root


def killed(mother: Mother, folder: Path, words: list[str], *, faults: int) -> list[str]:
    """Run the command straight and killed, below `folder`; the faults that killed it."""
    found: list[str] = mother.call("helpers.killing_features:run_and_kill", str(folder), 1, faults, words)
    return found


def test_embed_goes_on_to_the_same_table(mother: Mother, material: Path, tmp_path: Path) -> None:
    words = ["embed", f"--weights={material / 'model.ckpt'}", str(material / "videos"), "--window_s=0.05", *OPTIONS]
    deaths = killed(mother, tmp_path, words, faults=8)
    assert len(deaths) >= 5, deaths
    one, other = (read_features(tmp_path / name).table for name in ("straight", "killed"))
    assert len(one) > 60
    assert one.equals(other)
    assert not [path for path in (tmp_path / "killed" / "features.parquet").iterdir() if path.suffix == ".tmp"]


def test_classify_run_goes_on_to_the_same_files(mother: Mother, material: Path, tmp_path: Path) -> None:
    need("sklearn")
    names = [record.name for record in read_folder(material / "videos")]
    rows = [f"videos/{name},{'ab'[number % 2]},0,0.3" for number, name in enumerate(names)]
    (material / "labels.csv").write_text("\n".join(["path,label,start_s,end_s", *rows]))
    features = [
        "embed",
        f"--weights={material / 'model.ckpt'}",
        str(material / "videos"),
        f"--out={tmp_path / 'features'}",
    ]
    assert main([*features, "--window_s=0.05", *OPTIONS]) == 0
    fit = ["classify", "fit", str(material / "labels.csv"), f"--features={tmp_path / 'features'}", "--background"]
    assert main([*fit, f"--out={tmp_path / 'classifier'}"]) == 0
    words = ["classify", "run", str(tmp_path / "classifier"), str(material / "videos"), "--num_workers=0"]
    deaths = killed(mother, tmp_path, words, faults=4)
    assert len(deaths) >= 3, deaths
    for name in ("windows.parquet", "events.csv", "events.parquet", "boris.tsv"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
