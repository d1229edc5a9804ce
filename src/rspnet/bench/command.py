"""`rspnet bench NAME`: run one bench, print its table, write its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rspnet.bench.checkpoint import bench_checkpoint
from rspnet.bench.data import bench_data
from rspnet.bench.scaling import bench_scaling
from rspnet.bench.step import bench_step
from rspnet.config.tools import BenchConfig
from rspnet.tasks.run_folder import open_run_folder, plain, write_result


def bench(config: BenchConfig) -> None:
    """Run the bench, print a table and, with `out`, write config.yaml and result.json."""
    if config.name == "step":
        results = bench_step(
            backbone=config.backbone, batch_size=config.batch_size, repeats=config.repeats, threads=config.threads
        )
    elif config.name == "checkpoint":
        results = bench_checkpoint(
            backbone=config.backbone, batch_size=config.batch_size, repeats=config.repeats, threads=config.threads
        )
    elif config.name == "scaling":
        results = bench_scaling(backbone=config.backbone, batch_size=config.batch_size, repeats=config.repeats)
    elif config.name == "search":
        from rspnet.bench.search import bench_search

        results = bench_search()
    else:
        results = bench_data(paths=[Path(video) for video in config.videos] or None, repeats=config.repeats)
    print_results(results, title=f"rspnet bench {config.name}")
    if config.out is not None:
        folder = open_run_folder(config.out, config)
        write_result(folder, command=f"bench {config.name}", protocol=plain(config), results=results)


def print_results(results: dict[str, Any], *, title: str) -> None:
    """Print `rows` (a list of dicts of one shape) as a table and every other single value as a line."""
    console = Console()
    rows = results.get("rows", [])
    if rows:
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        console.print(table)
    for name, value in results.items():
        if not isinstance(value, dict | list):
            console.print(f"{name.replace('_', ' ')}: {_text(value)}", highlight=False)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
