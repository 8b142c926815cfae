"""Things that a test opens: by ``await``, or for the length of an ``async with``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, final

T = TypeVar("T")


@final
class Opening(Generic[T]):
    """What :func:`connect`, :func:`make_socket` and :func:`subscribe` return.

    ``opened = await opening`` leaves the closing to the caller; ``async with opening as opened`` closes it at the end.

    Args:
        open_it: makes it.
        close_it: ends it; told of the exception that ends the block, if one does.
    """

    def __init__(
        self, open_it: Callable[[], Awaitable[T]], close_it: Callable[[T, BaseException | None], Awaitable[None]]
    ) -> None:
        self._open = open_it
        self._close = close_it
        self._opened: list[T] = []

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"{name!r} is not of this, but of what it opens: await it, or open it by `async with`")

    def __await__(self) -> Generator[Any, Any, T]:
        return self._open().__await__()

    async def __aenter__(self) -> T:
        opened = await self
        self._opened.append(opened)
        return opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close(self._opened.pop(), error)
