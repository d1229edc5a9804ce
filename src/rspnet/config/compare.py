"""Options of `rspnet compare`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import positional


@dataclass(frozen=True)
class CompareConfig:
    """Put results side by side, with intervals and paired tests against the first; refuses unlike protocols.

    Predictions of other programs may stand among them: a CSV with the columns video and label, and either prediction or
    a column of scores for every class. A fine-tuned run of the paper's data and network is also set against the
    published result; then one result is enough.

    Example: rspnet compare runs/scratch runs/pretrained other_program.csv
    """

    results: list[str] = positional(
        "Run folders or their result.json, or predictions of other programs (.csv); the first is the baseline.",
        nargs="+",
    )
    allow_unlike: bool = False
    """Compare results of unlike protocols too; the table then says in what each differs from the first."""
    out: str | None = None
    """Run folder: compare.md, compare.csv, config.yaml, result.json go there; the table is only printed without it."""
