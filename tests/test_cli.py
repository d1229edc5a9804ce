"""The command line: help, one-line errors with their exit codes, recipes."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from rspnet import cli
from rspnet.api.pretraining_plan import build_model, make_plan
from rspnet.cli import COMMANDS, main, parse, resolve
from rspnet.config.words import expand
from rspnet.core import workers
from rspnet.recipes import recipe_names, recipe_path

PRETRAIN = ["pretrain", "--data.root", "videos", "--out", "run"]


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    config = resolve(COMMANDS[command].config)
    told = [
        item.metadata.get("positional", {}).get("help", f"--{item.name.removesuffix('_')}") for item in fields(config)
    ]
    assert all(part in text for part in told)
    undocumented = re.findall(r"--(\S+) \S+ \((?:required, )?type", text)
    assert not undocumented
    assert not re.search(r"type: [^()]*(Unvalidated|Optional|Literal|tuple\[|null)", text)


_SAID_AT_ONCE = [
    ["--help"], ["--version"], ["pretrian", "videos"], ["pretrain", "videos", "--data.sise", "3"],
    ["finetune", "videos", "--optim.lr", "much"], *([*command.split(), "--help"] for command in COMMANDS),
]  # fmt: skip


def test_help_and_errors_of_options_import_nothing_heavy() -> None:
    """One process for all: what the first imports counts for every later one."""
    code = (
        "import contextlib, io, sys\nfrom rspnet.cli import main\nfor words in eval(sys.argv[1]):\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        assert main(words) in (0, 2), words\n"
        "    print(words, [name for name in ('torch', 'numpy', 'pyarrow', 'av', 'PIL') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, repr(_SAID_AT_ONCE)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines() == [f"{words} []" for words in _SAID_AT_ONCE]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to count threads")
def test_products_of_numpy_leave_no_thread_awake() -> None:
    code = (
        "import os\nfrom rspnet.cli import main\nmain(['--version'])\nimport numpy as np\n"
        "np.ones((700, 700)) @ np.ones((700, 700))\nprint(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert shown.splitlines()[-1] == "1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "unknown command 'fly': one of demo,"),
        (["pretrain", "--out", "run"], "name a folder or a list of videos: rspnet pretrain VIDEOS"),
        ([*PRETRAIN, "--data.sise", "3"], "did you mean --data.size? (rspnet pretrain --help"),
        ([*PRETRAIN, "--data.size", "3"], "--data.size 3: must be at least 16 pixels"),
        ([*PRETRAIN, "--data.size", "large"], "--data.size 'large': must be a whole number (rspnet pretrain --help"),
        (["index", "videos", "--window_s", "abc"], "--window_s 'abc': must be a number (rspnet index"),
        (
            ["pretrain", "videos", "--recipe", "smal-cpu"],
            "recipe 'pretrain/smal-cpu': did you mean pretrain/small-cpu?",
        ),
        ([*PRETRAIN, "--data.fps", "nan"], "--data.fps 'nan': must be a number (rspnet"),
        ([*PRETRAIN, "--optim.lr", ".inf"], "--optim.lr inf: must be finite"),
        (["embed", "videos", "--window_s=.inf"], "--window_s inf: must be finite"),
        ([*PRETRAIN, "--data.speeds", "2"], "--data.speeds '2': must be a list such as [2] (rspnet"),
        ([*PRETRAIN, "--data.speeds", "[1]"], "--data.speeds [1]: each must be above --data.base_speed 1"),
        ([*PRETRAIN, "--data.noise_std", "2"], "--data.noise_std 2.0: must be in 0..1"),
        ([*PRETRAIN, "--model.backbone", "x3d"], "--model.backbone 'x3d': must be one of c3d, r2plus1d_18,"),
        ([*PRETRAIN, "--model.motion_weight", "0", "--model.appearance_weight", "0"], "are both 0: nothing to learn"),
        ([*PRETRAIN, "--model.method", "byol"], "--model.method 'byol': must be one of rspnet, pace,"),
        ([*PRETRAIN, "--model.method", "pace", "--model.motion_weight", "0"], "weigh RSP and A-VID; pace has neither"),
        ([*PRETRAIN, "--model.virtual_ranks", "3"], "--data.batch_size 64: must divide by ranks x virtual ranks = 3"),
        ([*PRETRAIN, "--model.virtual_ranks", "64"], "leaves 1 clip for each of 64 ranks; batch norm needs 2"),
        ([*PRETRAIN, "--optim.lr", "0"], "--optim.lr 0.0: must be above 0"),
        ([*PRETRAIN, "--optim.schedule", "step"], "--optim.milestones belong to --optim.schedule step"),
        ([*PRETRAIN, "--engine.precision", "fp16", "--engine.device", "cpu"], "fp16 needs CUDA: use bf16 or fp32"),
        ([*PRETRAIN, "--epochs", "0"], "--epochs 0: must be at least 1"),
        ([*PRETRAIN, "--recipe", "pretrain/none"], "recipe 'pretrain/none': one of"),
        ([*PRETRAIN, "--recipe", "finetune/ucf101-c3d"], "recipe 'finetune/ucf101-c3d': one of pretrain/k400-c3d,"),
        (["embed", "a", "b", "--recipe=pretrain/small-cpu"], "rspnet embed has no recipes"),
        ([*PRETRAIN, "--config", str(Path(sys.executable).resolve())], "--config: the file is no text in UTF-8"),
        ([*PRETRAIN, "--config", "none.yaml"], "none.yaml"),
        (PRETRAIN, "'videos' does not exist: name a folder of videos"),
        (["embed", "--weights=none.ckpt", "none.mp4"], "'none.mp4' does not exist: name a video,"),
        (["convert", "none.ckpt"], "cannot read weights 'none.ckpt': no such file"),
        (["embed"], "the following arguments are required: videos"),
        (["predict", "a"], "the following arguments are required: --weights"),
        (["embed", "a", "b", "--num_frames", "1"], "--num_frames 1: must be at least 2"),
        (["probe", "b", "--size", "0"], "--size 0: must be at least 16"),
        (["retrieve", "b", "--num_workers=-2"], "--num_workers -2: must be at least 0"),
        (["index", "a", "--out=b", "--weights=c", "--num_clips=0"], "--num_clips 0: must be at least 1"),
        (["roi", "a", "b", "--weights=c", "--num_frames=1"], "--num_frames 1: must be at least 2"),
        (["predict", "a", "--weights=b", "--num_workers=-1"], "--num_workers -1: must be at least 0"),
        (["evaluate", "a", "--num_crops=2"], "--num_crops '2': must be one of 1, 3"),
        (["finetune", "--data.root=a", "--out=b", "--clips.num_frames=1"], "--clips.num_frames 1: must be at least 2"),
        (["convert", "."], "cannot read weights '.': a folder without weights; name a run folder of a training"),
        (["bench", "everything"], "name 'everything': must be one of step, data,"),
        (["bench", "step", "--out="], "--out '': must not be empty"),
        (["embed", "a", ""], "videos '': must not be empty"),
        (["transcode", ""], "videos '': must not be empty"),
        (["pretrain", ""], "videos '': must not be empty"),
        (["search", "a", "b", "--unlike", ""], "--unlike '': must not be empty"),
        (["probe", "a", "--data.list="], "--data.list '': must not be empty"),
        (["recipes", "none"], "recipe 'none': one of"),
        (
            ["embed", "a", "b", "--out", "s3://bucket/run"],
            "--out 's3://bucket/run' is an address: results are written to",
        ),
        (["pretrain", "--data.root=v", "--out=gs://b/x"], "--out 'gs://b/x' is an address"),
        (["probe", "b", "--cache=hf://x"], "--cache 'hf://x' is an address"),
        (["subset", "a", "--out=file:///tmp/x"], "--out 'file:///tmp/x' is an address"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("rspnet: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_section_that_holds_no_options_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd.yaml").write_text("data: 3\n")
    assert main(["pretrain", "--config", str(tmp_path / "odd.yaml"), "--out", "run"]) == 2
    assert "data: 3 is no section: it must hold options of its own\n" in capsys.readouterr().err


def test_the_home_folder_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "more.yaml").write_text("out: ~/from-file\nmodel: {backbone: s3dg}\n")
    words = ["pretrain", "--data.root=~/videos", "--config=~/more.yaml"]
    config = parse(*_split(words))
    assert (config.data.root, config.out) == (f"{tmp_path}/videos", f"{tmp_path}/from-file")
    assert parse(*_split([*words, "--out=~/x y"])).out == f"{tmp_path}/x y"
    assert parse("embed", ["--weights=~/a.ckpt", "~/b.mp4", "c~.mp4", "--out=~"]).videos == [
        f"{tmp_path}/b.mp4",
        "c~.mp4",
    ]
    assert expand(["--out=~/x"], flags=()) == [f"--out={tmp_path}/x"]


def _split(words: list[str]) -> tuple[str, list[str]]:
    return words[0], words[1:]


@pytest.mark.parametrize(("words", "code"), [("recipes", 141), ("recipes --help", 0), ("--help", 141), ("-V", 141)])
def test_a_reader_that_has_gone_ends_a_command_quietly(words: str, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rspnet", *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert (process.communicate()[1], process.returncode) == ("", code)


def test_a_reader_of_errors_that_has_gone_is_no_traceback() -> None:
    done = subprocess.run(
        f"{{ {sys.executable} -m rspnet fly; echo $? >&3; }} 2>&1 3>&1 | cat >/dev/null; exec 3>&1; "
        f"{{ {sys.executable} -m rspnet recipes >&-; echo $?; }} 2>&1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rspnet", "recipes"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "rspnet: error: cannot write the output: No space left on device\n"


def test_later_options_win_over_recipe_and_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optim:\n  lr: 0.5\ndata:\n  size: 64\n")
    base = ["--recipe", "pretrain/k400-s3dg", "--config", str(file), "--data.root", "videos", "--out", "run"]
    config = parse("pretrain", base)
    assert (config.model.backbone, config.optim.lr, config.data.size) == ("s3dg", 0.5, 64)
    assert parse("pretrain", [*base, "--optim.lr=0.25"]).optim.lr == 0.25


def test_expand_spells_options_and_flags() -> None:
    words = ["--data.max-skipped", "0.1", "--dry-run", "--resume", "false", "--out=a-b", "--engine.log-every=3"]
    assert expand(words, flags={"--dry_run", "--resume"}) == [
        "--data.max_skipped",
        "0.1",
        "--dry_run=true",
        "--resume",
        "false",
        "--out=a-b",
        "--engine.log_every=3",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("pretrain/")])
def test_every_pretraining_recipe_parses_plans_and_builds(name: str) -> None:
    config = parse("pretrain", ["--recipe", name, "--data.root", "videos", "--out", "run", "--engine.devices", "1"])
    plan = make_plan(config, num_videos=240_000)
    assert plan.total_steps > 0
    model = build_model(config)
    assert model.backbone.name == config.model.backbone
    header = recipe_path(name).read_text().split("\ndata:")[0]
    assert f"--recipe {name} " in header


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch", "lr"), [("r3d_18", 256, 0.4), ("c3d", 128, 0.2), ("r2plus1d_vcop", 192, 0.15), ("s3dg", 256, 0.2)]
)
def test_k400_recipes_are_as_published(name: str, batch: int, lr: float) -> None:
    """METHOD.md section 2: per-GPU batch x GPUs, rate per 64 clips scaled linearly, 200 epochs, SGD, no warm-up."""
    config = parse("pretrain", ["--recipe", f"pretrain/k400-{name}", "--data.root", "videos", "--out", "run"])
    plan = make_plan(config, num_videos=240_000)
    assert config.data.batch_size == batch
    assert plan.schedule.peak == pytest.approx(lr)
    assert (config.epochs, config.model.queue_size, config.model.momentum) == (200, 16384, 0.999)
    assert (config.model.temperature, config.model.margin, config.model.head) == (0.07, 2.0, "linear")
    assert (config.optim.name, config.optim.weight_decay) == ("sgd", 1e-4)
    assert (config.optim.schedule, config.optim.schedule_unit, config.optim.warmup_steps) == ("cosine", "epoch", 0)
    assert (config.data.num_frames, config.data.size) == (16, 224 if name == "s3dg" else 112)
    assert config.model.input == "rgb"


def test_recipes_lists_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in recipe_names())
    assert main(["recipes", "pretrain/k400-c3d"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"]["backbone"] == "c3d"


@pytest.mark.parametrize(
    ("words", "early"),
    [
        (["embed", "videos", "--out=f"], True),
        (["embed", "videos", "--out=f", "--num_workers=0"], False),
        (["embed", "videos", "--out=f", "--on=ray"], False),
        (["pretrain", "videos", "--out=f", "--data.num_workers=0"], False),
        (["pretrain", "videos", "--dry_run"], False),
        (["weights"], False),
    ],
)
def test_readers_begin_before_the_command_imports(
    words: list[str], early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not where nothing, or no process of this machine, will read."""
    (tmp_path / "videos").mkdir()
    monkeypatch.chdir(tmp_path)
    began: list[str] = []

    def no_command(name: str) -> object:
        began.append(name)
        return resolve(name) if name.startswith("rspnet.config.") else lambda *_: None

    monkeypatch.setattr(cli, "resolve", no_command)
    monkeypatch.setattr(workers, "start_early", began.extend)
    assert main(words) == 0
    assert (began[1] == "rspnet.data.loader") == early


def test_no_garbage_is_collected_while_a_command_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imports_much.py").write_text("import gc\ncollects = gc.isenabled()\n")
    (tmp_path / "imports_nothing.py").write_text("raise ImportError\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert gc.isenabled()
    assert not resolve("imports_much:collects")
    with pytest.raises(ImportError):
        resolve("imports_nothing:collects")
    assert gc.isenabled()


def test_sigterm_stops_a_command_as_ctrl_c_does(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    code = (
        "import os, signal, sys, rspnet.commands.doctor as module\n"
        "module.doctor = lambda config: os.kill(os.getpid(), signal.SIGTERM) or __import__('time').sleep(20)\n"
        "from rspnet.cli import main\n"
        "code = main(['doctor', 'videos'])\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "sys.exit(code)\n"
    )
    run = [sys.executable, "-c", code]
    stopped = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=15, check=False)
    assert (stopped.returncode, stopped.stderr) == (130, "rspnet: stopped\n")
    rank = os.environ | {"WORLD_SIZE": "2", "RANK": "1"}
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, timeout=15, check=False, env=rank)
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    "error", [MemoryError("no room for 9 TiB"), RuntimeError("[x] DefaultCPUAllocator: can't allocate memory\nmore")]
)
def test_too_little_memory_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_config: object) -> None:
        raise error

    monkeypatch.setattr("rspnet.commands.doctor.doctor", fail)
    assert main(["doctor", str(tmp_path)]) == 5
    said = capsys.readouterr().err
    assert said.startswith("rspnet: error: out of memory: do less at once, or with smaller clips (")
    assert said.count("\n") == 1


def test_other_errors_of_the_runtime_are_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_config: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr("rspnet.commands.doctor.doctor", fail)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        main(["doctor", str(tmp_path)])
