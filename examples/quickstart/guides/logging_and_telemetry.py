"""Log lines and their levels, parameters without secrets, metrics, error reports, and a look inside."""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from phoenix_channels import Channel, Endpoint, Keep, Reply, Socket, incoming, telemetry
from phoenix_channels.parameters import ParameterFilter


# Start: levels
class SearchChannel(Channel):
    log_join = logging.DEBUG
    log_handle_in = logging.INFO

    @incoming
    def search(self, payload: Any) -> Reply:
        return Reply.ok({"found": []})


class CursorChannel(Channel):
    """Hundreds of messages a minute from everybody: nothing of this is worth a line."""

    log_join = False
    log_handle_in = False

    @incoming
    def moved(self, payload: Any) -> None:
        self.broadcast_from("moved", payload)


class UserSocket(Socket):
    log = logging.DEBUG
    channels = {"search": SearchChannel, "cursors:*": CursorChannel}
    # End: levels


# Start: terms
endpoint = Endpoint(filter_parameters=["password", "token", "secret", "card_number"])
endpoint.socket("/socket", UserSocket)
# End: terms

# Start: keep
strict = Endpoint(filter_parameters=Keep("id", "page"))
strict.socket("/socket", UserSocket)
# End: keep

# Start: metrics
COUNTS: Counter[tuple[str, str]] = Counter()
SECONDS: defaultdict[tuple[str, str], float] = defaultdict(float)


def measure(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    channel = metadata["channel"].__name__
    COUNTS[event, channel] += 1
    SECONDS[event, channel] += measurements["duration"]


def start_metrics() -> None:
    telemetry.attach(telemetry.CHANNEL_JOINED, measure)
    telemetry.attach(telemetry.CHANNEL_HANDLED_IN, measure)


def stop_metrics() -> None:
    telemetry.detach(telemetry.CHANNEL_JOINED, measure)
    telemetry.detach(telemetry.CHANNEL_HANDLED_IN, measure)


# End: metrics


# Start: crashes
REPORTS: list[tuple[BaseException, str]] = []  # stands for an error tracker


def report(_event: str, _measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    REPORTS.append((metadata["error"], f"{metadata['channel'].__name__} on {metadata['topic']}"))


def start_reports() -> None:
    telemetry.attach(telemetry.CHANNEL_CRASHED, report)


# End: crashes

# Start: filter
shown = ParameterFilter.of(["password", "token"])


def describe(params: Mapping[str, Any]) -> str:
    return f"params: {shown.filter(params)}"


# End: filter


# Start: debug
def who_is_here() -> list[str]:
    return [
        f"{info.id or 'somebody'} on {channel.topic}: {channel.status}"
        for info in endpoint.debug.sockets()
        for channel in endpoint.debug.channels(info.socket)
    ]


# End: debug
