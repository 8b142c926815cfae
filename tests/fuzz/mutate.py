"""A mutational engine in plain Python, for tests and for where there is no atheris; and a shrinker for both."""

from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.corpus import MAX_LENGTH

Check = Callable[[bytes], bool]
"""Whether the input was accepted; an exception is a failure."""

_POOL = 1024
_LONG = 512
_BYTES = [0, 1, 9, 10, 32, 34, 44, 91, 93, 123, 125, 127, 128, 191, 192, 254, 255]


class Mutator:
    """Inputs that differ a little from what is known to be accepted; the same for the same random numbers."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], random: Random) -> None:
        self._seeds = seeds
        self._pool = list(seeds)
        self._words = words
        self._random = random

    def keep(self, data: bytes) -> None:
        """Go on from this one, too: it has been accepted.  Not from a long one: they only become longer."""
        if len(data) > _LONG:
            return
        if len(self._pool) < _POOL:
            self._pool.append(data)
        else:
            self._pool[self._below(_POOL)] = data

    def next(self) -> bytes:
        data = bytearray(self._random.choice(self._pool if self._below(2) else self._seeds))
        for _ in range(1 + self._below(4)):
            self._mutate(data)
        return bytes(data[:MAX_LENGTH])

    def _below(self, bound: int) -> int:
        # randrange is several times slower.
        return int(self._random.random() * bound)

    def _mutate(self, data: bytearray) -> None:
        at = self._below(len(data) + 1)
        to = min(len(data), at + 1 + self._below(self._below(16) + 1))
        match self._below(9):
            case 0 if at < to:
                data[at] ^= 1 << self._below(8)
            case 1 if at < to:
                data[at] = _BYTES[self._below(len(_BYTES))]
            case 2:
                del data[at:to]
            case 3:
                data[at:at] = data[at:to] * (1 + self._below(1 + self._below(40)))
            case 4:
                data[at:to] = self._random.choice(self._words)
            case 5:
                other = self._random.choice(self._pool)
                start = self._below(len(other) + 1)
                data[at:to] = other[start : start + self._below(32)]
            case 6:
                other = self._random.choice(self._pool)
                data[at:] = other[self._below(len(other) + 1) :]
            case _:
                data[at:at] = self._random.choice(self._words)


def hunt(check: Check, mutator: Mutator, inputs: int) -> tuple[int, bytes | None]:
    """Check so many inputs: how many were accepted, and the first that failed."""
    accepted = 0
    for _ in range(inputs):
        data = mutator.next()
        try:
            if check(data):
                accepted += 1
                mutator.keep(data)
        except Exception:
            return accepted, data
    return accepted, None


def shrink(check: Check, data: bytes) -> bytes:
    """A smaller input that fails in the same way: parts are left out for as long as one can be."""
    kind = _failure(check, data)
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data):
            shorter = data[:at] + data[at + size :]
            if _failure(check, shorter) is kind:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _failure(check: Check, data: bytes) -> type[Exception] | None:
    try:
        check(data)
    except Exception as error:
        return type(error)
    return None
