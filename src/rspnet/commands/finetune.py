"""`rspnet finetune`: train a classifier on labelled videos and test it (METHOD section 4)."""

from __future__ import annotations

from rspnet.api.finetuning import Finetuning, run_finetuning
from rspnet.config.finetune import FinetuneConfig
from rspnet.core.console import PlainConsole
from rspnet.engine.stop import STOPPED_EXIT_CODE


def finetune(config: FinetuneConfig) -> int:
    """Run the command. Returns its exit code: 0 at the end, 130 where it was stopped (and can be resumed)."""
    if config.dry_run:
        Finetuning.of(config).preview(PlainConsole(stderr=True))
        return 0
    return 0 if run_finetuning(config).finished else STOPPED_EXIT_CODE
