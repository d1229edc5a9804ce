"""Running means of what a step reports, kept on the device so that no step waits for a copy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rspnet.core.distributed import average_in_place


class Meters:
    """Means of named 0-dim tensors since the last `reset`; part of a checkpoint."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def __len__(self) -> int:
        """Steps since the last reset."""
        return self._count

    def update(self, values: Mapping[str, Tensor]) -> None:
        """Add one step's values (0-dim tensors, any device)."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def means(self) -> dict[str, float]:
        """Means over the steps since the last reset and over all ranks (a collective call)."""
        if not self._count:
            return {}
        stacked = torch.stack([value / self._count for value in self._sums.values()])
        average_in_place([stacked])
        return dict(zip(self._sums, stacked.tolist(), strict=True))

    def average_over_ranks(self) -> None:
        """Give every rank the same sums, so that one rank's checkpoint holds them (a collective call)."""
        average_in_place(list(self._sums.values()))

    def reset(self) -> None:
        """Start a new mean."""
        self._sums, self._count = {}, 0

    def state_dict(self) -> dict[str, object]:
        """Sums and count."""
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state: dict[str, object], *, device: torch.device) -> None:
        """Take over sums and count."""
        sums, count = state["sums"], state["count"]
        assert isinstance(sums, dict)
        assert isinstance(count, int)
        self._sums = {name: value.to(device) for name, value in sums.items()}
        self._count = count
