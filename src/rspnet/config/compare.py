"""Options of `rspnet compare`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import positional, require


@dataclass(frozen=True)
class CompareConfig:
    """Put results side by side, with intervals and paired bootstrap tests against the first; refuses unlike protocols.

    Example: rspnet compare runs/scratch/result.json runs/pretrained/result.json
    """

    results: list[str] = positional(
        "result.json files, or run folders that hold one; the first is the baseline.", nargs="+"
    )
    allow_unlike: bool = False
    """Compare results of unlike protocols too; the table then says in what each differs from the first."""
    out: str | None = None
    """Run folder: compare.md, compare.csv, config.yaml, result.json go there; the table is only printed without it."""

    def __post_init__(self) -> None:
        require(len(self.results) >= 2, f"compare needs at least two results, not {len(self.results)}")
