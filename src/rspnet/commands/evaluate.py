"""Testing a classifier on the test split; `rspnet evaluate` repeats it for a run."""

from __future__ import annotations

from dataclasses import asdict, replace

from rspnet.api.finetuning_videos import carve_validation
from rspnet.api.labelled_options import labelled_records, read_sections, scoring_view
from rspnet.config.finetune import EvaluateConfig
from rspnet.config.labelled import LabelledDataConfig
from rspnet.core.errors import ConfigError
from rspnet.core.ranks import rank
from rspnet.core.urls import as_path
from rspnet.data.labelled.own import SEEDED
from rspnet.data.labelled.read_labelled import in_classes, scored_split
from rspnet.engine.processes import join_ranks, share_cores
from rspnet.engine.runtime import pick_device, pick_precision
from rspnet.models.layout import channels_last
from rspnet.runs.classifiers import Trained, open_classifier, shared_scores
from rspnet.runs.predictions import data_stamp
from rspnet.runs.resume import videos_sha256
from rspnet.runs.run_folder import open_run_folder
from rspnet.runs.scoring import finetune_stamp, write_scores


def refuse_other_split(data: LabelledDataConfig, trained: Trained) -> None:
    """Raise `ConfigError` where a split by seed is not that of the training: its videos might be tested on.

    Such a split is drawn from the videos that are there, and is another one where some have come or gone.
    """
    assert data.kind is not None
    assert data.root is not None
    if scored_split(data.kind, data.root, list=data.list) != SEEDED:
        return
    config = trained.config
    train, _ = carve_validation(labelled_records(data, "train"), config["validation_share"], seed=config["seed"])
    is_same = len(train) == config["train_videos"] and trained.videos_sha256 in (None, videos_sha256(train))
    if not is_same:
        raise ConfigError(
            f"the videos of {str(data.list or data.root)!r} are not those that {str(trained.path)!r} was trained and "
            "tested on, and their split by seed would test on training videos: restore them (rspnet predict classifies "
            "any videos; a list with the column split stays as it is)"
        )


def _where_now(data: LabelledDataConfig, root: str | None) -> LabelledDataConfig:
    """The data set, in the folder `root` if that is named; a list that is gone has moved there, too."""
    if root is None or data.list is None or as_path(data.list).exists():
        return replace(data, root=root or data.root)
    listed, before = as_path(data.list), as_path(data.root or "")
    name = listed.relative_to(before) if listed.is_relative_to(before) else listed.name
    return replace(data, root=root, list=str(as_path(root) / name))


def evaluate(config: EvaluateConfig) -> None:
    """Run the command: the run's checkpoint on the run's test split.

    Raises:
        RSPNetError: no fine-tuned run, or data that cannot be read.
    """
    device = pick_device(config.device)
    join_ranks(device)
    trained = open_classifier(config.weights)
    data, clips = read_sections(trained.config)
    data = _where_now(data, config.root)
    clips = replace(clips, num_clips=config.num_clips or clips.num_clips, num_crops=config.num_crops or clips.num_crops)
    shape = (3, clips.num_frames, clips.size, clips.size)
    workers = share_cores(trained.model.backbone, shape, device=device, workers=config.num_workers)
    of_run = trained.config.get("engine", {}).get("precision", "auto")
    asked = of_run if config.precision == "auto" else config.precision
    machine = {"device": device, "precision": pick_precision(asked, device), "num_workers": workers}
    model = channels_last(trained.model.to(device))
    # By their names: an older rspnet numbered ids of lists otherwise, and the data may have changed.
    refuse_other_split(data, trained)
    records = in_classes(labelled_records(data, "test"), trained.class_names, source=repr(str(trained.path)))
    view = scoring_view(clips)
    folder = open_run_folder(config.out or str(trained.path.parent / "evaluate"), config, command="evaluate")
    kept, scores, skipped = shared_scores(model, records, view, machine)
    if rank() > 0:
        return
    stamp = finetune_stamp(trained, view, precision=str(machine["precision"]))
    stamp |= data_stamp(asdict(data), train=trained.config["train_videos"], test=len(kept))
    write_scores(
        folder,
        (kept, scores, skipped),
        class_names=trained.class_names,
        chance=trained.chance,
        protocol=stamp,
        command="evaluate",
        extra={"checkpoint": str(trained.path)},
    )
