"""`rspnet pretrain`: learn a video network from unlabelled videos by RSP and A-VID, or by a baseline's task."""

from __future__ import annotations

from rspnet.api.pretraining import Pretraining, run_pretraining
from rspnet.config.pretrain import PretrainConfig
from rspnet.core.console import PlainConsole
from rspnet.engine.stop import STOPPED_EXIT_CODE


def pretrain(config: PretrainConfig) -> int:
    """Run the command. Returns its exit code: 0 at the end, 130 where it was stopped (and can be resumed)."""
    if config.dry_run:
        Pretraining.of(config).preview(PlainConsole(stderr=True))
        return 0
    return 0 if run_pretraining(config).finished else STOPPED_EXIT_CODE
