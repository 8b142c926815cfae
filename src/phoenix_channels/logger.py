"""What an endpoint says about itself: telemetry events, and the log lines that Phoenix writes (A150 to A165).

Everything a client has chosen is shown without its secrets, without line breaks that could forge a line of the log, and
cut where it is long.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, final

from phoenix_channels import telemetry
from phoenix_channels.channel import Channel
from phoenix_channels.parameters import FILTERED, ParameterFilter
from phoenix_channels.protocol.messages import Payload, Ref, payload_size
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.socket import BaseSocket, Socket

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

Level: TypeAlias = int | Literal[False]
"""A level of ``logging``, or False for off."""
Result: TypeAlias = Literal["ok", "error"]
"""Let in, or refused."""

MAX_PARAMETERS: Final = 2_000
"""Characters of parameters in one line."""
MAX_PAYLOAD: Final = 8 * 1024
"""Bytes of a payload up to which it is decoded for the log.  A larger one would cost more than its 2,000 characters
are worth, and clients choose the size."""
MAX_NAME: Final = 200
"""Characters of a topic or an event in one line."""
_TOO_DEEP: Final = "<nested too deeply>"


class Subject(Protocol):
    """The channel that something is said about."""

    @property
    def channel_class(self) -> type[Channel[Any]]: ...
    @property
    def topic(self) -> str: ...
    @property
    def socket(self) -> Socket: ...


@final
class EventLogger:
    """Tells telemetry of the events of one endpoint, and writes its log lines.

    Args:
        parameters: what is shown of the parameters (A166).
        enabled: whether to write log lines at all (A168).  Telemetry is told in any case.
    """

    __slots__ = ("_enabled", "_parameters")

    def __init__(self, parameters: ParameterFilter | None = None, *, enabled: bool = True) -> None:
        self._parameters = ParameterFilter.of() if parameters is None else parameters
        self._enabled = enabled

    # The endpoint

    def endpoint_init(self, endpoint: Endpoint, config: Mapping[str, object]) -> None:
        """An endpoint has been made (A150); ``config`` are its options, without secrets."""
        metadata = {"endpoint": endpoint, "config": config, "pid": os.getpid()}
        telemetry.execute(telemetry.ENDPOINT_INIT, {"system_time": time.time()}, metadata)

    def socket_connected(
        self,
        socket_class: type[BaseSocket],
        *,
        endpoint: Endpoint,
        duration: float,
        result: Result,
        transport: str,
        serializer: type | None,
        vsn: object,
        params: Mapping[str, Any],
        connect_info: object,
        refused: Exception | None = None,
    ) -> None:
        """A client has been let in or refused by ``connect`` (P-027, A151, A160).

        Raw sockets have no serializer; ``refused`` is the exception that says no.
        """
        level: Level = socket_class.log
        metadata = {
            "endpoint": endpoint,
            "user_socket": socket_class,
            "transport": transport,
            "serializer": serializer,
            "vsn": vsn,
            "params": params,
            "connect_info": connect_info,
            "result": result,
            "refused": refused,
            "log": level,
        }
        telemetry.execute(telemetry.SOCKET_CONNECTED, {"duration": duration}, metadata)
        if self._logs(level):
            _logger.log(
                level,
                "%s %s in %s\n  Transport: %s%s\n  Parameters: %s",
                "CONNECTED TO" if result == "ok" else "REFUSED CONNECTION TO",
                socket_class.__qualname__,
                shown_duration(duration),
                transport,
                "" if serializer is None else f"\n  Serializer: {serializer.__qualname__}",
                self._shown(params),
            )

    def on_fast_lane(self, socket_class: type[BaseSocket]) -> None:
        """The endpoint has the socket of a client: there is no other way to see it."""
        if socket_class.log is not False and self._logs(logging.DEBUG):
            _logger.debug("%s: its client is on the fast lane", socket_class.__qualname__)

    def socket_drain(
        self,
        socket_class: type[BaseSocket],
        *,
        endpoint: Endpoint,
        count: int,
        total: int,
        index: int,
        rounds: int,
        interval: float,
        log: Level,
    ) -> None:
        """A round of draining begins (P-091, A152, A163)."""
        measurements = {"count": count, "total": total, "index": index, "rounds": rounds}
        metadata = {"endpoint": endpoint, "socket": socket_class, "interval": interval, "log": log}
        telemetry.execute(telemetry.SOCKET_DRAIN, measurements, metadata)
        if self._logs(log):
            _logger.log(
                log,
                "DRAINING %s of %s total connection(s) for socket %s every %sms - round %s of %s",
                count,
                total,
                socket_class.__qualname__,
                int(interval * 1_000),
                index,
                rounds,
            )

    # Channels: these come often.  Who asks gets None when nobody wants to know, and then nothing is measured or kept.

    def joining(self, channel: Subject, payload: Payload) -> Callable[[Result], None] | None:
        """A ``join`` begins: what to call with its result (A153, A161), unless it crashes."""
        logs = self._logs(channel.channel_class.log_join)
        if not logs and not telemetry.attached(telemetry.CHANNEL_JOINED):
            return None
        return partial(self._joined, channel, payload, logs, time.perf_counter())

    def handling(self, channel: Subject, event: object, payload: Payload, ref: Ref) -> Callable[[], None] | None:
        """The handling of a message begins: what to call when it is over (A154, A162), unless it crashes."""
        # As _logs, without the call.
        level: Level = channel.channel_class.log_handle_in
        logs = level is not False and self._enabled and _logger.isEnabledFor(level)
        if not logs and not telemetry.attached(telemetry.CHANNEL_HANDLED_IN):
            return None
        about = {"event": event, "ref": ref}
        return partial(self._handled, channel, about, payload, logs, time.perf_counter())

    def frames_dropped(self, channel: Subject, policy: str, count: int, *, first: bool) -> None:
        """So many pushes and broadcasts of a channel were dropped, because its client does not keep up."""
        if telemetry.attached(telemetry.FRAMES_DROPPED):
            telemetry.execute(telemetry.FRAMES_DROPPED, {"count": count}, {**_about(channel), "policy": policy})
        # Once: such a client would fill the log with what it is not sent.
        if first and self._logs(logging.INFO):
            _logger.info(
                "SLOW CLIENT ON %s (%s): frames for it are dropped (%s)",
                shown_name(channel.topic),
                channel.channel_class.__qualname__,
                policy,
            )

    def client_overflowed(self, socket: BaseSocket, count: int) -> None:
        """So many frames were lost with a connection that was closed, because its client does not keep up."""
        if telemetry.attached(telemetry.FRAMES_DROPPED):
            metadata = {"socket": socket, "channel": None, "topic": None, "policy": "disconnect"}
            telemetry.execute(telemetry.FRAMES_DROPPED, {"count": count}, metadata)

    def _joined(self, channel: Subject, payload: Payload, logs: bool, started: float, result: Result) -> None:
        duration = time.perf_counter() - started
        if telemetry.attached(telemetry.CHANNEL_JOINED):
            metadata = {**_about(channel), "params": _decoded(payload), "result": result}
            telemetry.execute(telemetry.CHANNEL_JOINED, {"duration": duration}, metadata)
        if logs and not _is_internal(channel.topic):
            _logger.log(
                channel.channel_class.log_join,
                "%s %s in %s\n  Parameters: %s",
                "JOINED" if result == "ok" else "REFUSED JOIN",
                shown_name(channel.topic),
                shown_duration(duration),
                self._shown_payload(payload),
            )

    def _handled(
        self, channel: Subject, about: Mapping[str, Any], payload: Payload, logs: bool, started: float
    ) -> None:
        duration = time.perf_counter() - started
        if telemetry.attached(telemetry.CHANNEL_HANDLED_IN):
            metadata = {**_about(channel), **about, "params": _decoded(payload)}
            telemetry.execute(telemetry.CHANNEL_HANDLED_IN, {"duration": duration}, metadata)
        if logs and not _is_internal(channel.topic):
            _logger.log(
                channel.channel_class.log_handle_in,
                "HANDLED %s INCOMING ON %s (%s) in %s\n  Parameters: %s",
                shown_name(about["event"]),
                shown_name(channel.topic),
                channel.channel_class.__qualname__,
                shown_duration(duration),
                self._shown_payload(payload),
            )

    # Help

    def _logs(self, level: Level) -> bool:
        return level is not False and self._enabled and _logger.isEnabledFor(level)

    def _shown_payload(self, payload: Payload) -> str:
        size = payload_size(payload)
        return f"<{size} bytes>" if size > MAX_PAYLOAD else self._shown(_decoded(payload))

    def _shown(self, params: object) -> str:
        try:
            # repr escapes what could break a line.
            text = repr(self._parameters.filter(params))
        except RecursionError:
            return _TOO_DEEP
        return text if len(text) <= MAX_PARAMETERS else f"{text[:MAX_PARAMETERS]}..."


def _about(channel: Subject) -> dict[str, Any]:
    return {"socket": channel.socket, "channel": channel.channel_class, "topic": channel.topic}


def _is_internal(topic: str) -> bool:
    # A164
    return topic.startswith("phoenix")


def _decoded(payload: Payload) -> Any:
    try:
        return decode_payload(payload)
    except RecursionError:
        # It could be decoded when it came, but there was more room on the stack.
        return FILTERED


def shown_name(name: object) -> str:
    """A topic or an event in one line of the log."""
    text = name if isinstance(name, str) and name.isprintable() else repr(name)
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."


def shown_duration(seconds: float) -> str:
    """Microseconds up to 1000, else whole milliseconds (A165)."""
    microseconds = int(seconds * 1_000_000)
    return f"{microseconds}µs" if microseconds <= 1_000 else f"{microseconds // 1_000}ms"
