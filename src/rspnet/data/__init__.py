"""From lists of videos to batches of augmented clips."""

READERS = ("rspnet.data.loader",)
"""What the fork server of processes that read videos imports (see `rspnet.core.workers`)."""
