"""The options of every command: one frozen dataclass per command, read by `cli`, `lab`, `search` and `commands`.

Importing these modules must stay cheap (no torch): `rspnet COMMAND --help` reads them. The docstring below a field is
its help text; cross-field rules stand in `__post_init__`.
"""
