"""`rspnet study`: list the studies, or run one; the list does not wait for torch."""

from __future__ import annotations

from rspnet.config.study import StudyConfig
from rspnet.recipes import recipe_lines


def study(config: StudyConfig) -> int:
    """Run the command, or list the studies. Returns its exit code: 0 at the end, 130 where it was stopped."""
    if config.name is None:
        print("\n".join(recipe_lines("study/")))
        return 0
    from rspnet.lab.study.run_study import run_study

    return run_study(config, config.name)
