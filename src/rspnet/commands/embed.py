"""`rspnet embed`: turn videos into feature vectors on disk, as they come."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

from rspnet.api.open_embedder import open_embedder
from rspnet.config.embed import EmbedConfig
from rspnet.config.on_ray import RayViewConfig
from rspnet.core.console import PlainConsole
from rspnet.core.counts import counted
from rspnet.core.ranks import rank
from rspnet.data.skipped import SKIPPED
from rspnet.engine.processes import join_ranks
from rspnet.engine.runtime import pick_device
from rspnet.features.descriptor import usual_descriptor
from rspnet.features.embedder import Embedder
from rspnet.features.embedding import EmbedView, even_view, sliding_view, stamp_for
from rspnet.features.read import STORE, read_features
from rspnet.features.spaces import usual_clips
from rspnet.features.store import FeatureStore
from rspnet.runs.embed_run import Embedding, preview, run_embedding, videos_of
from rspnet.runs.predictions import save_columns
from rspnet.runs.run_folder import open_run_folder, plain, write_result
from rspnet.runs.verdict import Verdict


def embed(config: EmbedConfig) -> int:
    """Embed every video that is not stored yet; unreadable ones are named in skipped.csv and left out.

    Returns:
        0, or 130 where SIGTERM or Ctrl-C stopped it; what was done is stored, the next run goes on.

    Raises:
        RSPNetError: a missing file, a bad checkpoint, features of another model or view, or not one readable video.
    """
    join_ranks(pick_device(config.device))
    records = videos_of(config.videos)
    embedder = open_embedder(config.weights, config, descriptor=config.descriptor, cluster=config.cluster())
    embedder.num_clips = config.clips_of_a_video
    clips = config.clips_of_a_row(several=usual_clips(embedder.model.backbone))
    embedder.descriptor = config.descriptor or usual_descriptor(clips)
    view = _view(config, embedder, clips)
    stamp = stamp_for(embedder, view, model=config.weights, dtype=config.dtype)
    out = Path(config.out)
    store = FeatureStore(out / STORE)
    store.refuse_other(stamp)
    job = Embedding(store, stamp, embedder, view)
    if config.dry_run:
        preview(job, records, drop_gone=config.drop_gone)
        return 0
    folder = open_run_folder(config.out, config, command="embed", goes_on=True)
    done = run_embedding(job, records, skipped=folder / SKIPPED, drop_gone=config.drop_gone)
    if rank() > 0 or done.stopped:
        return done.exit_code
    if config.format == "npz":
        _write_npz(folder)
    left_out = {"videos", "out", "dry_run", "drop_gone", *(field.name for field in fields(RayViewConfig))}
    settings = {name: value for name, value in plain(config).items() if name not in left_out}
    write_result(
        folder,
        command="embed",
        protocol=settings | dict(stamp.view) | {"weights_sha256": stamp.weights_sha256},
        results={
            "videos": done.done + done.unchanged,
            "new": done.done,
            "unchanged": done.unchanged,
            "dropped": done.dropped,
            "skipped": done.skipped,
            "vectors": len(store),
            "file": "features.npz" if config.format == "npz" else STORE,
        },
    )
    counts = f"{counted(done.done, 'video')}, {done.unchanged} unchanged, {done.skipped} skipped"
    counts += f", {done.dropped} forgotten" * bool(done.dropped)
    console = PlainConsole(stderr=True)
    console.print(f"{counts}: {folder / STORE}")
    if config.window_s is not None:
        fit = f"rspnet classify fit LABELS.csv --features {shlex.quote(config.out)}"
        Verdict((), [(fit, "learn classes of moments from few labels")]).print_to(console)
    return 0


def _view(config: EmbedConfig, embedder: Embedder, clips: int) -> EmbedView:
    if config.window_s is None:
        return even_view(embedder, level=config.level, fps=embedder.fps)
    hop = config.window_s / 2 if config.hop_s is None else config.hop_s
    return sliding_view(embedder, window_s=config.window_s, hop_s=hop, clips=clips, fps=embedder.fps)


def _write_npz(folder: Path) -> None:
    """All rows as one .npz: text and numbers as they are, vectors [N, length]."""
    found = read_features(folder / STORE)
    columns = {
        name: found.table[name].to_numpy(zero_copy_only=False)
        for name in found.table.column_names
        if found.stamp is None or name not in found.stamp.vectors
    }
    texts = {name: values.astype(str) if values.dtype == object else values for name, values in columns.items()}
    vectors = {kind: getattr(found, kind) for kind in (found.stamp.vectors if found.stamp else ())}
    save_columns(folder / "features.npz", texts | vectors)
