"""The bits of a stream header, read in order."""

from __future__ import annotations

_LONGEST_PREFIX = 32  # zeros before a number of variable length


class Bits:
    """Reads from the first bit of `data` on."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits. Raises ValueError at the end."""
        self._left -= count
        return self._value >> self._left & (1 << count) - 1  # a negative shift is a ValueError

    def unsigned(self) -> int:
        """The next Exp-Golomb code, ue(v) of ISO/IEC 14496-10, 9.1. Raises ValueError at the end or if it is none."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _LONGEST_PREFIX:
                raise ValueError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """The next signed Exp-Golomb code, se(v) of ISO/IEC 14496-10, 9.1.1. Raises ValueError as `unsigned` does."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
