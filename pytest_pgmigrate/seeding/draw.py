"""Repeatable choice: every value depends on the seed, the table, the column and the row number, on nothing else."""

from __future__ import annotations

import math
from hashlib import blake2b


class Stream:
    """The numbers of one column. Independent of the order in which tables and columns are filled."""

    __slots__ = ("_key",)

    def __init__(self, seed: int, *names: str) -> None:
        self._key = blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=16).digest()

    def number(self, row: int, salt: int = 0) -> int:
        """63 bits for a row."""
        packed = row.to_bytes(8, "big", signed=True) + salt.to_bytes(4, "big")
        return int.from_bytes(blake2b(packed, digest_size=8, key=self._key).digest(), "big") >> 1

    def below(self, row: int, bound: int, salt: int = 0) -> int:
        """A number in [0, bound)."""
        return self.number(row, salt) % bound if bound > 1 else 0

    def permuted(self, row: int, size: int) -> int:
        """A position in [0, size) such that ``size`` consecutive rows get different ones."""
        if size < 2:
            return 0
        step = 1 + self.number(-1) % (size - 1)
        while math.gcd(step, size) != 1:
            step = step % size + 1
        return (self.number(-2) + row * step) % size
