"""Options of `rspnet study`."""

from __future__ import annotations

from dataclasses import dataclass

from rspnet.config.rules import positional, require
from rspnet.recipes import study_path


@dataclass(frozen=True)
class StudyConfig:
    """Run a declared grid of pre-trainings x seeds, judge each, and sum it all up in tables and pictures.

    A study is a YAML file (ready-made ones: rspnet recipes, those under study/). Each run and seed is one row, kept in
    OUT/rows; finished rows are never made twice, a row that was stopped goes on where its last checkpoint was. Start
    the command several times with the same --out and the processes share the rows.

    Example: rspnet study claims human-motion --out runs/claims
    """

    name: str | None = positional(
        "A ready-made study, such as claims, or a YAML file; the ready-made ones are listed without it.",
        nargs="?",
        default=None,
    )
    dataset: str | None = positional(
        "Folder of the labelled videos; needed to run rows, not to report them.", nargs="?", default=None
    )
    out: str | None = None
    """Folder of the rows; the default is runs/study/NAME, and runs/study/NAME-smoke for tiny rows."""
    only: tuple[str, ...] = ()
    """Names of the runs to make; all without it."""
    seeds: tuple[int, ...] = ()
    """Seeds to run; those of the study without it."""
    smoke: bool = False
    """Try the whole path in seconds: a few tiny videos' clips, 2 steps, one seed. The figures mean nothing."""
    report: str | None = None
    """Run nothing; sum up the finished rows in this folder: NAME.json (the rows), NAME.md, NAME.csv, NAME.png. Without
    rows in OUT it does so from the NAME.json that is there."""
    dry_run: bool = False
    """Say which rows there are to make, how long they will take on this machine and how much disk, from a few steps of
    each run, and stop."""

    def __post_init__(self) -> None:
        if self.name is not None:
            study_path(self.name)  # a wrong name is said before a missing folder
        require(
            self.name is None or bool(self.dataset) or bool(self.report),
            f"name the folder of the labelled videos: rspnet study {self.name} DATASET",
        )
