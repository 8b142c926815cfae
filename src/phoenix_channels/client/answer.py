"""One answer that somebody waits for."""

from __future__ import annotations

from typing import Generic, TypeVar, final

import anyio

T = TypeVar("T")


@final
class Answer(Generic[T]):
    """A value or an error, whichever is given first."""

    def __init__(self) -> None:
        self._given = anyio.Event()
        self._value: T
        self._error: Exception | None = None

    @property
    def given(self) -> bool:
        return self._given.is_set()

    def give(self, value: T) -> None:
        if not self.given:
            self._value = value
            self._given.set()

    def fail(self, error: Exception) -> None:
        if not self.given:
            self._error = error
            self._given.set()

    async def wait(self) -> T:
        """The value.

        Raises:
            Exception: the error that was given instead.
        """
        await self._given.wait()
        if self._error is not None:
            raise self._error
        return self._value
