"""`rspnet bench NAME`: run one bench, print its table, write its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from rspnet.config.tools import BenchConfig
from rspnet.core.console import PlainConsole
from rspnet.runs.run_folder import open_run_folder, plain, write_result


def bench(config: BenchConfig) -> int:
    """Run the bench, print a table and, with `out`, write config.yaml and result.json; 1 where it fails a demand."""
    folder = None if config.out is None else open_run_folder(config.out, config, command="bench")
    results = run_bench(config)
    print_results(results, title=f"rspnet bench {config.name}")
    if folder is not None:
        write_result(folder, command=f"bench {config.name}", protocol=plain(config), results=results)
    for sentence in results.get("failed", []):
        PlainConsole(stderr=True).print(f"failed: {sentence}")
    return int(bool(results.get("failed")))


def run_bench(config: BenchConfig) -> dict[str, Any]:
    """The figures of the bench; each is imported only when it is run."""
    paths = [Path(video) for video in config.videos]
    network: dict[str, Any] = {"backbone": config.backbone, "threads": config.threads}
    match config.name:
        case "step":
            from rspnet.lab.bench.bench_step import bench_step

            return bench_step(**network, batch_size=config.batch_size, repeats=config.repeats)
        case "data":
            from rspnet.lab.bench.bench_data import bench_data

            return bench_data(paths=paths or None, repeats=config.repeats)
        case "train":
            from rspnet.lab.bench.bench_train import bench_train

            return bench_train(
                **network, root=paths[0], batch_size=config.batch_size, steps=config.repeats, workers=config.num_workers
            )
        case "embed":
            from rspnet.lab.bench.bench_embed import bench_embed

            return bench_embed(**network, paths=paths or None)
        case "memory":
            from rspnet.lab.bench.bench_memory import bench_memory

            return bench_memory(**network, batch_size=config.batch_size, videos=config.loader_videos)
        case "checkpoint":
            from rspnet.lab.bench.bench_checkpoint import bench_checkpoint

            return bench_checkpoint(**network, batch_size=config.batch_size, repeats=config.repeats)
        case "scaling":
            from rspnet.lab.bench.bench_scaling import bench_scaling

            return bench_scaling(backbone=config.backbone, batch_size=config.batch_size, repeats=config.repeats)
        case "waits":
            from rspnet.lab.bench.bench_waits import bench_waits

            return bench_waits(videos=config.short_videos)
        case "search":
            from rspnet.lab.bench.bench_search import bench_search

            return bench_search(num_clips=config.library_clips)
        case "growth":
            from rspnet.lab.bench.bench_growth import bench_growth

            return bench_growth(sizes=config.growth_videos)


def print_results(results: dict[str, Any], *, title: str) -> None:
    """Print `rows` (a list of dicts of one shape) as a table and every other single value as a line."""
    console = PlainConsole()
    rows = results.get("rows", [])
    if rows:
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        console.print(table)
    for name, value in results.items():
        if not isinstance(value, dict | list):
            console.print(f"{name.replace('_', ' ')}: {_text(value)}")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
