"""`rspnet classify run`: the moments of trained classes in videos, in the files of other programs."""

from __future__ import annotations

from pathlib import Path

from rspnet.api.open_embedder import open_embedder
from rspnet.config.classify import ClassifyRunConfig
from rspnet.config.view import EvenViewConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.errors import CheckpointError, ConfigError
from rspnet.core.files import sha256_of
from rspnet.core.progress import print_note
from rspnet.core.ranks import rank
from rspnet.core.weights_files import weights_file
from rspnet.data.skipped import SKIPPED
from rspnet.engine.processes import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.features.embedding import stamp_for, view_of_stamp
from rspnet.features.event_labels import BACKGROUND
from rspnet.features.read import STORE, holds_features, open_store, stream_videos
from rspnet.features.store import FeatureStore, Stamp
from rspnet.features.window_classifier import COMPARED, WindowClassifier, classifier_file
from rspnet.runs.embed_run import Embedding, preview, run_embedding, videos_of
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.show.timeline.write_timelines import EVENTS, PAGE, TimelineFiles

_SOME, _NEARLY = 8, 0.9
_TOO_MANY = (
    "nearly every video has an event. What nobody labelled goes to the nearest class: where that is wrong, label some "
    f"of it {BACKGROUND!r} and fit again"
)


def classify_run(config: ClassifyRunConfig) -> int:
    """Embed the videos where there are no features yet, judge every window, and write events.

    Returns:
        0, or 130 where SIGTERM or Ctrl-C stopped the embedding; the next run goes on.

    Raises:
        RSPNetError: no classifier, features of another kind, a lost checkpoint, or not one readable video.
    """
    join_ranks(pick_device(config.device))
    place = classifier_file(config.classifier)
    classifier = WindowClassifier.load(place)
    store = _given_features(config)
    if config.dry_run:
        _preview(config, classifier, store)
        return 0
    folder = open_run_folder(config.out, config, command="classify run")
    paths, skipped = None, 0
    if store is None:
        records = videos_of(config.videos)
        store = FeatureStore(folder / STORE)
        done = run_embedding(_job(config, classifier.stamp, store), records, skipped=folder / SKIPPED)
        if done.stopped:
            return done.exit_code
        paths, skipped, store = {str(record.path.absolute()) for record in records}, done.skipped, open_store(folder)
    assert store.stamp is not None
    classifier.refuse_other(store.stamp, place=str(store.folder))
    if rank() > 0:
        return 0
    with TimelineFiles(folder, classifier.names, title=f"Events of {', '.join(config.videos[:3])}") as files:
        for video in stream_videos(store, classifier.vectors, classifier.probabilities, only=paths):
            files.add(video, video.values, classifier.events(video.start_s, video.end_s, video.values))
    events = sum(len(video.events) for video in files.videos)
    settings = {name: value for name, value in plain(config).items() if name in ("batch_size", "device")}
    write_result(
        folder,
        command="classify run",
        protocol=settings | {"classifier_sha256": sha256_of(place)},
        results={"videos": len(files.videos), "windows": files.windows, "events": events, "skipped": skipped},
    )
    console = PlainConsole(stderr=True)
    console.print(f"{counted(len(files.videos), 'video')}, {counted(events, 'event')}: {folder / EVENTS}")
    console.print(f"look at them: {folder / PAGE}")
    print_note(console, COMPARED)
    if len(files.videos) >= _SOME and sum(bool(video.events) for video in files.videos) > _NEARLY * len(files.videos):
        print_note(console, _TOO_MANY)
    return 0


def _preview(config: ClassifyRunConfig, classifier: WindowClassifier, store: FeatureStore | None) -> None:
    """What a run would do, and what embedding costs, where it is to be done."""
    if store is None:
        job = _job(config, classifier.stamp, FeatureStore(Path(config.out) / STORE))
        preview(job, videos_of(config.videos))
    else:
        assert store.stamp is not None
        classifier.refuse_other(store.stamp, place=str(store.folder))
    source = (
        "these vectors" if store is None else f"{counted(len(store), 'vector')} of {store.folder}, no video is read"
    )
    text = f"then events of {', '.join(classifier.names)} from {source}; results: {config.out}"
    PlainConsole(quiet=rank() > 0).print(text)


def _given_features(config: ClassifyRunConfig) -> FeatureStore | None:
    """The store that the sources are; None where they are videos."""
    if not holds_features(Path(config.videos[0])):
        return None
    store = open_store(Path(config.videos[0]))
    if len(config.videos) > 1:
        raise ConfigError(f"{config.videos[0]!r} holds features: name one store of features, or videos only")
    return store


def _job(config: ClassifyRunConfig, stamp: Stamp, store: FeatureStore) -> Embedding:
    """Embedding as the classifier's features were made."""
    model = config.weights or stamp.model
    if not weights_file(model).exists():
        raise CheckpointError(f"the classifier's checkpoint {model!r} is not there: name where it is with --weights")
    if sha256_of(weights_file(model)) != stamp.weights_sha256:
        raise CheckpointError(f"--weights {model!r}: the classifier was fitted to features of another checkpoint")
    view = stamp.view
    options = EvenViewConfig(
        num_clips=view["num_clips"] or 1,
        num_frames=view["num_frames"],
        stride=view["stride"],
        fps=view["fps"] or 0,
        size=view["size"],
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        device=config.device,
        precision=view["precision"],
    )
    embedder = open_embedder(
        model, options, pooling=view["pooling"], descriptor=view["descriptor"], cluster=config.cluster()
    )
    windows = view_of_stamp(embedder, stamp)
    if other := stamp.difference(stamp_for(embedder, windows, model=model, dtype=stamp.dtype)):
        raise CheckpointError(
            f"the classifier was fitted to features of another version of rspnet ({other}): embed and fit again"
        )
    return Embedding(store, stamp, embedder, windows)
