"""Telemetry: what happens inside, for metrics and error trackers.

Handlers are called synchronously, where the event happens.  One that raises is detached with a log: it never hurts
the caller.

=====================================  ================  ==========================================================
event                                  measurements      metadata
=====================================  ================  ==========================================================
``phoenix.socket_connected``           ``duration`` (s)  ``endpoint``, ``user_socket`` (class), ``transport``,
                                                         ``serializer`` (class), ``vsn``, ``params``,
                                                         ``connect_info``, ``result`` (``"ok"`` or ``"error"``)
``phoenix_channels.channel_crashed``   none              ``channel`` (class), ``topic``, ``callback``, ``error``
=====================================  ================  ==========================================================

``params`` are as the client sent them, tokens included.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Handler: TypeAlias = Callable[[str, Mapping[str, float], Mapping[str, Any]], None]
"""Called with the event's name, its measurements (seconds, counts) and its metadata."""

SOCKET_CONNECTED: Final = "phoenix.socket_connected"
CHANNEL_CRASHED: Final = "phoenix_channels.channel_crashed"
EVENTS: Final = frozenset({SOCKET_CONNECTED, CHANNEL_CRASHED})

_logger = logging.getLogger("phoenix_channels")
_lock = threading.Lock()
_handlers: dict[str, tuple[Handler, ...]] = {}


def attach(event: str, handler: Handler) -> None:
    """Have ``handler(event, measurements, metadata)`` called for every such event in this process.

    Raises:
        ValueError: there is no such event.
    """
    if event not in EVENTS:
        raise ValueError(f"no telemetry event {event!r}; there are {', '.join(sorted(EVENTS))}")
    with _lock:
        _handlers[event] = (*_handlers.get(event, ()), handler)


def detach(event: str, handler: Handler) -> None:
    """Undo :func:`attach`; nothing happens when it is not attached."""
    with _lock:
        # By equality: a bound method is a new object each time it is looked up.
        _handlers[event] = tuple(other for other in _handlers.get(event, ()) if other != handler)


def execute(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    """Tell the handlers of an event; never raises."""
    for handler in _handlers.get(event, ()):
        try:
            handler(event, measurements, metadata)
        except Exception:
            _logger.exception("the telemetry handler %r of %s failed and is detached", handler, event)
            detach(event, handler)
