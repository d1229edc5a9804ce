"""Mistakes in what options name: said before torch is imported, by every command that names something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rspnet.cli import COMMANDS
from rspnet.core.locks import LOCK, claimed

_MISTAKES = [
    ("demo --out other", "--out 'other' holds a run of rspnet subset: name another folder"),
    ("doctor nowhere", "'nowhere' does not exist: name a folder of videos"),
    ("doctor videos --against nowhere", "'nowhere' does not exist: name a folder of videos"),
    ("transcode nowhere", "'nowhere' does not exist: name a folder of videos"),
    ("pack nowhere.csv", "'nowhere.csv' does not exist: name a folder or a list of videos"),
    ("pretrain nowhere", "'nowhere' does not exist: name a folder of videos"),
    ("pretrain nowhere.txt", "'nowhere.txt' does not exist: name a folder or a list of videos"),
    ("pretrain videos --weights nowhere", "cannot read weights 'nowhere': no such file"),
    (
        "pretrain videos --weights rspnet-c3d-200",
        "cannot read weights 'rspnet-c3d-200': they do not come with the package; get their file by rspnet weights "
        "rspnet-c3d-200 --download FOLDER, and name it",
    ),
    ("pretrain videos --weights torch:e.pt2", "--weights torch:e.pt2: an encoder of another program stays as it"),
    ("pretrain videos --out used", "--out 'used' already holds a run: add --resume, or name a new folder"),
    ("pretrain videos --resume --out other", "--out 'other' holds a run of rspnet subset: name another folder"),
    ("embed videos nowhere", "'nowhere' does not exist: name a video, or a folder or list of videos"),
    (
        "embed videos --weights rspnet-smal",
        "cannot read weights 'rspnet-smal': no such file; did you mean rspnet-small?",
    ),
    (
        "embed videos --weights s3://bucket/w.ckpt",
        "weights 's3://bucket/w.ckpt' is an address: this is read from local",
    ),
    ("embed videos --out videos/v.mp4", "--out 'videos/v.mp4' is a file: name a folder"),
    ("embed videos --out busy", "'busy' is in use by another run of rspnet (process "),
    ("index nowhere", "'nowhere' does not exist: name a folder of videos"),
    ("index videos --out videos", "--out 'videos' is the folder of the videos: name another one"),
    ("index videos --out busy", "'busy' is in use by another run of rspnet (process "),
    ("embed videos --out videos --dry_run", "--out 'videos' is the folder of the videos: name another one"),
    ("transcode videos --out videos/small", "--out 'videos/small' lies in the folder of the videos, 'videos': name"),
    ("pack videos --out videos/shards", "--out 'videos/shards' lies in the folder of the videos, 'videos': name"),
    ("pack videos --out other", "--out 'other' holds other files: name a new folder"),
    ("transcode videos --out other", "--out 'other' holds other files: name a new folder"),
    ("transcode videos --out .", "--out '.' holds the folder of the videos, 'videos': name another one"),
    ("search nowhere videos/v.mp4", "'nowhere' is no library of videos: make one with rspnet index DIR --out nowhere"),
    ("search nowhere nowhere.mp4", "query 'nowhere.mp4' does not exist"),
    ("search nowhere --class nowhere:jump", "'nowhere' is no classifier of rspnet classify fit"),
    ("serve nowhere", "'nowhere' is no library of videos: make one with rspnet index DIR --out nowhere"),
    ("serve nowhere --labels nowhere.csv", "'nowhere.csv' does not exist: name a folder or a list of videos"),
    ("classify fit nowhere.csv --features nowhere", "'nowhere' holds no features: rspnet embed writes"),
    ("classify run other videos", "'other/classifier.npz' is no classifier of rspnet classify fit"),
    ("probe nowhere", "'nowhere' is not a folder: name the folder that holds the data set"),
    ("probe videos", "no 'ucfTrainTestlist/classInd.txt' in 'videos': expected UCF101's class list"),
    ("probe videos --data.kind folders --out other", "--out 'other' holds a run of rspnet subset: name another folder"),
    ("finetune nowhere.csv", "'nowhere.csv' does not exist: name a folder or a list of videos"),
    ("finetune videos --data.kind folders --out used", "--out 'used' holds a run of rspnet pretrain: name"),
    ("evaluate other", "cannot read weights 'other': a folder without weights; name a run folder of a training"),
    ("evaluate used", "weights 'used' are of rspnet pretrain, not of rspnet finetune: they know no classes"),
    ("predict videos --weights rspnet-small", "weights 'rspnet-small' are of rspnet pretrain, not of rspnet finetune"),
    ("predict videos --weights nowhere", "cannot read weights 'nowhere': no such file"),
    ("retrieve videos --data.kind folders --out other", "--out 'other' holds a run of rspnet subset: name another"),
    ("compare first second", "first and second were not measured alike: num_clips: first 1, second 3: make them"),
    ("compare used nowhere", "'used/result.json' does not exist: name a run folder, its result.json, or a CSV"),
    ("roi videos/v.mp4 nowhere.mp4", "'nowhere.mp4' does not exist: name a video, or a folder or list of videos"),
    ("roi videos/v.mp4 videos/v.mp4 --out roi.png", "--out 'roi.png' ends like a file: the command writes a folder"),
    ("report nowhere", "'nowhere' is no run folder: it holds no config.yaml; name the --out of a run, as"),
    ("report store", "'store' is a library, no run folder: rspnet search and rspnet serve show what is in it"),
    ("convert first/result.json", "cannot read weights 'first/result.json': damaged, or not a torch file"),
    ("embed videos --weights videos/v.mp4", "cannot read weights 'videos/v.mp4': damaged, or not a torch file"),
    ("convert nowhere", "cannot read weights 'nowhere': no such file"),
    ("export nowhere", "cannot read weights 'nowhere': no such file"),
    ("subset nowhere", "'nowhere' is not a folder: name the folder that holds the data set"),
    ("study clams videos", "study 'study/clams': did you mean study/claims?"),
    ("study clams", "study 'study/clams': did you mean study/claims?"),
    ("study claims nowhere", "'nowhere' is not a folder: name the folder that holds the data set"),
    ("study disentangle --weights nowhere", "cannot read weights 'nowhere': no such file"),
]
_NAME_NOTHING = {"weights", "recipes", "recipes plan", "study shipped", "bench"}
"""Commands that read nothing that a user names, or (bench) little."""


def test_mistakes_are_said_before_torch_is_imported(tmp_path: Path) -> None:
    """One process for all: what the first imports counts for every later one."""
    assert {command for command in COMMANDS if not any(words.startswith(f"{command} ") for words, _ in _MISTAKES)} == (
        _NAME_NOTHING
    )
    for folder, maker in {"other": "subset", "used": "pretrain"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.yaml").write_text(f"# rspnet {maker}\n")
    (tmp_path / "used" / "last.ckpt").write_bytes(b"PK")
    for folder, clips in {"first": 1, "second": 3}.items():
        (tmp_path / folder).mkdir()
        row = {"value": 0.5, "low": 0.4, "high": 0.6}
        result = {"protocol": {"method": "finetune", "num_clips": clips}, "results": {"scores": {"top1": row}}}
        (tmp_path / folder / "result.json").write_text(json.dumps(result))
    (tmp_path / "store" / "videos.lance").mkdir(parents=True)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v.mp4").touch()
    code = (
        "import sys\nfrom rspnet.cli import main\nfor words in sys.argv[1:]:\n"
        "    code = main(words.split())\n"
        "    print(code, [name for name in ('torch', 'lancedb') if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *(words for words, _ in _MISTAKES)]
    with claimed(tmp_path / "busy" / LOCK):
        before = sorted(tmp_path.rglob("*"))
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert sorted(tmp_path.rglob("*")) == before
    lines = run.stderr.splitlines()
    assert lines[1::2] == ["2 []"] * len(_MISTAKES), run.stderr
    for (_, message), line in zip(_MISTAKES, lines[::2], strict=True):
        assert line.startswith(f"rspnet: error: {message}")
