"""`rspnet subset`: some classes of a labelled dataset, as a folder of links."""

from __future__ import annotations

from pathlib import Path

from rspnet.config.labelled import SubsetConfig
from rspnet.core.counts import counted
from rspnet.data.labelled.kinetics import link_smallest_classes
from rspnet.data.labelled.layout import require_root


def make_subset(config: SubsetConfig) -> None:
    """Link the smallest classes into a new folder and name them."""
    require_root(Path(config.dataset))
    kept = link_smallest_classes(Path(config.dataset), Path(config.out), num_classes=config.num_classes)
    print(f"{counted(len(kept), 'class')} in {config.out}: {', '.join(kept)}")
