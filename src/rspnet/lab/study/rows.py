"""One row of a study: pre-train, extract features once, score, write one JSON file; safe among processes and kills."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rspnet.api.open_embedder import open_embedder
from rspnet.api.pretraining import run_pretraining
from rspnet.api.pretraining_plan import build_model
from rspnet.config.pretrain import PairDataConfig, PretrainConfig
from rspnet.config.view import EvenViewConfig
from rspnet.core.errors import ConfigError, RSPNetError
from rspnet.core.files import atomic_path, sha256_of, write_json
from rspnet.core.run_files import LAST
from rspnet.core.weights_files import weights_file
from rspnet.data.sampler import epoch_steps
from rspnet.engine.curves import METRICS, read_curves
from rspnet.engine.stop import Stopped
from rspnet.features.embedder import Embedder
from rspnet.lab.study.finetuned import finetuned_hits
from rspnet.lab.study.judge import Judge
from rspnet.lab.study.row_scores import FINETUNED
from rspnet.lab.study.sets import StudySet
from rspnet.lab.study.spec import SECTIONS, Study, StudyView, is_hand_made, is_trained, without_machine
from rspnet.pretext.base import PretextModel
from rspnet.pretext.methods import choose_method, option_defaults
from rspnet.pretext.pretrained import load_pretrained
from rspnet.runs.built_in import BUILT_IN
from rspnet.runs.run_folder import plain

ROW, ORACLE = "row.json", "oracle.json"
VIDEOS_HASH, JUDGED_HASHES = "sha256", "judged_sha256"
_LAST_POINTS = 5


class Spent(NamedTuple):
    """CPU seconds (of this process and its children) and wall seconds."""

    cpu: float
    wall: float

    @classmethod
    def so_far(cls) -> Spent:
        """Since the process started; only differences mean something."""
        used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        return cls(sum(part.ru_utime + part.ru_stime for part in used), perf_counter())

    def since(self, start: Spent) -> dict[str, float]:
        """The difference, for a row."""
        return {"cpu_seconds": round(self.cpu - start.cpu, 1), "wall_seconds": round(self.wall - start.wall, 1)}


def row_folder(out: Path, run: str, seed: int) -> Path:
    """Where a row lives."""
    return out / "rows" / f"{run}-seed{seed}"


def finished(folder: Path, protocol: dict[str, Any]) -> bool:
    """Whether the row is there.

    Raises:
        ConfigError: it is there, but was made with other options, see `changed`.
    """
    if not (folder / ROW).exists():
        return False
    change = changed(read_row(folder / ROW)["protocol"], protocol)
    if change:
        raise ConfigError(f"{str(folder / ROW)!r} was made with {change}: use another --out, or remove the row")
    return True


def changed(made: Mapping[str, Any], protocol: Mapping[str, Any]) -> str:
    """In what the protocol of a row that is there differs from another one, in words; "" where it does not.

    An option that a row of an older version does not know had its default, and one of another method, or one that is
    gone and was off, does not count.
    """
    for name in {**protocol, **made}:
        value, old = protocol.get(name), made.get(name)
        if name in ("kind", "weights") and "kind" not in made:  # of an older version
            continue
        if name == JUDGED_HASHES and None in (value, old):
            continue
        if name == "videos" and VIDEOS_HASH not in made[name]:
            value = {key: it for key, it in protocol[name].items() if key != VIDEOS_HASH}
        if name == "view":
            old = asdict(StudyView()) | made[name]
        if name in SECTIONS:
            options = protocol[name]
            known = defaults(name, method=protocol["model"]["method"]) | (old or {})
            others = option_defaults() if name == "model" else {}  # of other methods, which do not count
            gone = {key: it for key, it in known.items() if key not in options and key not in others and it}
            on = {key: it for key, it in gone.items() if BUILT_IN.get(f"{name}.{key}") != it}
            old = {key: it for key, it in known.items() if key in options} | on
            if old != options:
                was = [f"{key} {old.get(key)}" for key in options if old.get(key) != options[key]]
                return f"{name} {was}, the study now says {options}"
        if old != value:
            return f"{name} {old}, the study now says {value}"
    return ""


def read_row(path: Path) -> dict[str, Any]:
    """A row as a dict.

    Raises:
        RSPNetError: the file is no row.
    """
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: row[name] for name in ("run", "seed", "protocol", "classes", "scores", "hits", "pretext", "spent")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RSPNetError(f"{str(path)!r} is no row of a study: {error!r}") from error


def training_seconds(rows: Sequence[dict[str, Any]]) -> float:
    """Mean CPU seconds of the pre-trainings of some rows; those that went on after a stop know only their last part
    and are left out where others are whole."""
    whole = [row for row in rows if not row["spent"]["pretrain"]["resumed"]] or rows
    return float(np.mean([row["spent"]["pretrain"]["cpu_seconds"] for row in whole]))


def row_protocol(
    study: Study, config: PretrainConfig, run: str, videos: StudySet, *, judged_hashes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All that a row's scores depend on, but for seed and software; without `judged_hashes` for a first look only."""
    settings = plain(config)
    trained = is_trained(study, run)
    return {
        "kind": "trained" if trained else "hand-made" if is_hand_made(study, run) else "fresh",
        **({"weights": sha256_of(weights_file(config.weights))} if trained and config.weights is not None else {}),
        "steps": steps_of(study, config, videos) if trained else 0,
        **{section: without_machine(settings[section]) for section in SECTIONS},
        "view": asdict(study.view),
        "labels": study.labels,
        **({"judged": {task: asdict(spec) for task, spec in study.judged.items()}} if study.judged else {}),
        **({JUDGED_HASHES: dict(judged_hashes)} if judged_hashes else {}),
        **({"finetune": study.finetune} if study.finetune else {}),
        **({"scenes": study.scenes} if study.scenes else {}),
        "videos": {
            "train": len(videos.train),
            "test": len(videos.test),
            "validation": int(videos.validation.sum()),
            VIDEOS_HASH: videos.hash(),
        },
    }


def defaults(section: str, *, method: str) -> dict[str, Any]:
    """Defaults of the options of one section of `rspnet pretrain` for a pretext method."""
    config = PretrainConfig(PairDataConfig(root="videos"), out="run", model=choose_method(method))
    return without_machine(plain(getattr(config, section)))


def steps_of(study: Study, config: PretrainConfig, videos: StudySet) -> int:
    """Steps of a row's pre-training."""
    data = config.data
    steps = epoch_steps(study.scenes or len(videos.train), data.batch_size, clips_per_video=data.clips_per_video)
    return config.max_steps or config.epochs * steps


def make_row(
    study: Study, run: str, config: PretrainConfig, judge: Judge, *, protocol: Mapping[str, Any]
) -> dict[str, Any]:
    """Make one row with its `row_protocol` and write it to `config.out`; the caller holds the claim.

    Raises:
        Stopped: a training was asked to stop; the row goes on from there next time.
        RSPNetError: bad data, or a loss that is not finite.
    """
    folder, start, videos = Path(config.out), Spent.so_far(), judge.videos
    model: PretextModel
    resumed = (folder / LAST).exists()
    if is_trained(study, run):
        if not run_pretraining(config).finished:
            raise Stopped
        model, pretext = load_pretrained(folder / LAST), last_points(folder / METRICS)
    else:
        torch.set_num_threads(config.engine.threads or 1)
        model, pretext = build_model(config).eval(), {}
    trained = Spent.so_far()
    embedder = embedder_of(study, model, config)
    features, found = judge(None if is_hand_made(study, run) else embedder, seed=config.seed)
    spent = {"pretrain": trained.since(start) | {"resumed": resumed}, "judge": Spent.so_far().since(trained)}
    if study.finetune:
        judged = Spent.so_far()
        for name, hits in finetuned_hits(study, run, config, videos).items():
            found[name].add(FINETUNED, hits)
        spent["finetune"] = Spent.so_far().since(judged)
    with atomic_path(folder / "features.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: part.astype(np.float16) for name, part in features.items()})  # type: ignore[arg-type]
    row = {
        "study": study.name,
        "run": run,
        "seed": config.seed,
        "protocol": dict(protocol),
        "software": {"rspnet": version("rspnet"), "torch": torch.__version__, "machine": platform.machine()},
        "classes": judge.classes,
        "scores": {name: _rounded(part.scores) for name, part in found.items()},
        "hits": {name: {score: _as_text(hits) for score, hits in part.hits.items()} for name, part in found.items()},
        "pretext": pretext,
        "spent": spent,
    }
    write_json(folder / ROW, row)
    return row


def embedder_of(study: Study, model: PretextModel, config: PretrainConfig) -> Embedder:
    """What judges a network; the precision is "auto", whatever the training's was: all rows are judged alike."""
    view = EvenViewConfig(
        num_clips=study.view.num_clips, stride=study.view.stride, num_workers=0, device=config.engine.device
    )
    return open_embedder(model, view, descriptor=study.view.descriptor, set_threads=False)


def last_points(path: Path) -> dict[str, float]:
    """The mean of every curve over its last few points."""
    rows = read_curves(path)[-_LAST_POINTS:]
    left_out = ("step", "lr", "epoch", "clips_per_second", "data_wait_share")
    names = [name for name in rows[-1] if name not in left_out]
    return _rounded({name: float(np.mean([float(row[name]) for row in rows])) for name in names})


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}


def _as_text(hits: NDArray[np.bool_]) -> str:
    return "".join("1" if hit else "0" for hit in hits)
