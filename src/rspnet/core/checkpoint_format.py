"""How our checkpoints call themselves; written by `engine`, read by `engine` and `pretext`."""

FORMAT = "rspnet"
SCHEMA = 1
"""Version of the layout; a later one is refused."""
