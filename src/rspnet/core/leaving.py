"""The end of a process that is one of several ranks.

Gloo's threads (one that polls the sockets, two that run collectives) live until the process group is destroyed. Where
Python ends before them, they run while the memory they use is taken down, and on busy cores the process may end by
SIGABRT after all its work is done. So the group is destroyed first; `rspnet` asks for that where it starts ranks.
"""

from __future__ import annotations

import atexit
import gc
import sys


def leave_in_order() -> None:
    """When this process ends, end its process group first, unless it ends by an error or `leave_at_once` is called."""
    atexit.unregister(_destroy_process_group)
    atexit.register(_destroy_process_group)


def leave_at_once() -> None:
    """Do not wait for collectives at the end: this rank has failed, and the others may never join them."""
    atexit.unregister(_destroy_process_group)


def end_process_group() -> None:
    """Destroy the process group and its threads; no network wrapped for it may be in use any more.

    A wrapped network that is freed after the group waits for Gloo's threads and holds Python's lock; a thread that
    still holds a tensor of the last collective waits for that lock: neither ever goes on. So networks are freed first.
    """
    import torch.distributed as dist

    gc.collect()  # the wrapped network refers to itself and to the group; the last reference ends the threads
    dist.destroy_process_group()


def _destroy_process_group() -> None:
    import torch.distributed as dist

    failed = getattr(sys, "last_value", None) is not None
    if dist.is_initialized() and not failed:
        end_process_group()
