"""Telemetry: what happens inside, for metrics and error trackers.

Handlers are called synchronously, where the event happens.  One that raises is detached with a log: it never hurts
the caller.  Times and durations are seconds, as floats.

=====================================  ================================  ==========================================
event                                  measurements                      metadata
=====================================  ================================  ==========================================
``phoenix.endpoint.init``              ``system_time`` (Unix)            ``endpoint``, ``config``, ``pid``
``phoenix.socket_connected``           ``duration`` of ``connect``       ``endpoint``, ``user_socket`` (class),
                                                                         ``transport``, ``serializer`` (class),
                                                                         ``vsn``, ``params``, ``connect_info``,
                                                                         ``result``, ``refused``
                                                                         (``ConnectRefused`` or None), ``log``
``phoenix_channels.connect_crashed``   none                              ``endpoint``, ``socket`` (class),
                                                                         ``transport``, ``error``
``phoenix.socket_drain``               ``count`` in this round,          ``endpoint``, ``socket`` (class),
                                       ``total``, ``index`` from 1,      ``interval``, ``log``
                                       ``rounds``
``phoenix.channel_joined``             ``duration`` of ``join``          ``socket``, ``channel`` (class), ``topic``,
                                                                         ``params``, ``result``
``phoenix.channel_handled_in``         ``duration`` of the handler       ``socket``, ``channel`` (class), ``topic``,
                                                                         ``event``, ``ref``, ``params``
``phoenix_channels.channel_crashed``   none                              ``socket``, ``channel`` (class), ``topic``,
                                                                         ``callback``, ``error``
``phoenix_channels.frames_dropped``    ``count``                         ``socket``, ``channel`` (class), ``topic``,
                                                                         ``policy`` (name); ``channel`` and ``topic``
                                                                         are None where it is ``disconnect``
=====================================  ================================  ==========================================

``result`` is ``"ok"`` or ``"error"``: let in or refused.  A ``connect`` or a ``join`` that crashes is neither, and has
no such event; nor has a handler that crashes.  ``params`` are as the client sent them, passwords and tokens included.
Frames are dropped for a client that does not keep up, as its channel says by ``slow_consumer``, or with its connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Handler: TypeAlias = Callable[[str, Mapping[str, float], Mapping[str, Any]], None]
"""Called with the event's name, its measurements (seconds, counts) and its metadata."""

ENDPOINT_INIT: Final = "phoenix.endpoint.init"
SOCKET_CONNECTED: Final = "phoenix.socket_connected"
CONNECT_CRASHED: Final = "phoenix_channels.connect_crashed"
SOCKET_DRAIN: Final = "phoenix.socket_drain"
CHANNEL_JOINED: Final = "phoenix.channel_joined"
CHANNEL_HANDLED_IN: Final = "phoenix.channel_handled_in"
CHANNEL_CRASHED: Final = "phoenix_channels.channel_crashed"
FRAMES_DROPPED: Final = "phoenix_channels.frames_dropped"
EVENTS: Final = frozenset(
    {
        ENDPOINT_INIT,
        SOCKET_CONNECTED,
        CONNECT_CRASHED,
        SOCKET_DRAIN,
        CHANNEL_JOINED,
        CHANNEL_HANDLED_IN,
        CHANNEL_CRASHED,
        FRAMES_DROPPED,
    }
)

_logger = logging.getLogger("phoenix_channels")
_lock = threading.Lock()
_handlers: dict[str, tuple[Handler, ...]] = {}


def attach(event: str, handler: Handler) -> None:
    """Have ``handler(event, measurements, metadata)`` called for every such event in this process.

    Raises:
        ValueError: there is no such event.
        TypeError: the handler cannot be called.
    """
    if event not in EVENTS:
        raise ValueError(f"no telemetry event {event!r}; there are {', '.join(sorted(EVENTS))}")
    if not callable(handler):
        raise TypeError(f"a telemetry handler is a function of (event, measurements, metadata), not {handler!r:.200}")
    with _lock:
        _handlers[event] = (*_handlers.get(event, ()), handler)


def detach(event: str, handler: Handler) -> None:
    """Undo :func:`attach`; nothing happens when it is not attached."""
    with _lock:
        # By equality: a bound method is a new object each time it is looked up.
        _handlers[event] = tuple(other for other in _handlers.get(event, ()) if other != handler)


def attached(event: str) -> bool:
    """Does anybody listen?  What happens often asks first, and spares itself the clock and the metadata."""
    return bool(_handlers.get(event))


def execute(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    """Tell the handlers of an event; raises nothing but what ends the program."""
    for handler in _handlers.get(event, ()):
        try:
            handler(event, measurements, metadata)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            # A stray cancellation too: plain code cannot be cancelled, it can only let one through.
            _logger.exception("the telemetry handler %r of %s failed and is detached", handler, event)
            detach(event, handler)
