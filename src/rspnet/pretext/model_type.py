"""`PretextModel` for annotations of methods, without torch.

A file of its own, for jsonargparse runs what stands below `if TYPE_CHECKING` in the files of options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rspnet.pretext.base import PretextModel
else:
    PretextModel = Any

__all__ = ["PretextModel"]
